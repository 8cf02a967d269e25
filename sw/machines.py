"""The compiler: the passes from an integer network to the program of whichever machine the hardware is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from hw.config import Config
from sw import compile as sweep
from sw.compile import Program
from sw.encoding import Encoded
from sw.event import compile as event
from sw.integers import IntegerNetwork
from sw.lowering import Steps, finish, running
from sw.order import order_filters
from sw.placement import place

Orders = dict[str, np.ndarray]
"""By layer, position -> output channel, where filters are loaded in another order than the network's."""


def passes(
    config: Config, orders: Orders | None = None, *, encoded: dict[str, Encoded] | None = None
) -> list[Callable[[Any], Any]]:
    """In this order; each takes what the one before it made.

    encoded: of the sweep machine; filled with the layers' streams, or taken from, where the same network in the
    same order was compiled before.
    """
    encode: Callable[[Any], Program]
    if config.machine == "event":
        encode = partial(event.encode, config=config)
    else:
        encode = partial(sweep.encode, config=config, encoded=encoded)
    return [partial(order_filters, orders=orders or {}), partial(place, config=config), encode]


def compiling(
    network: IntegerNetwork, config: Config, orders: Orders | None = None
) -> Steps[Program]:
    """Runs the passes, and tells each one; as `compile_network`."""
    return running(passes(config, orders), network)


def compile_network(
    network: IntegerNetwork,
    config: Config,
    orders: Orders | None = None,
    *,
    encoded: dict[str, Encoded] | None = None,
) -> Program:
    """Compile everything that the array runs; parameters as of `passes`.

    Raises DoesNotFit for what the hardware cannot run.
    """
    return finish(running(passes(config, orders, encoded=encoded), network))
