"""Compiles a network for whichever machine the hardware is."""

from __future__ import annotations

import numpy as np

from hw.config import Config
from sw.compile import Program, compiling
from sw.event.compile import compiling_events
from sw.integers import IntegerNetwork
from sw.lowering import Steps


def compiling_for(
    network: IntegerNetwork, config: Config, *, orders: dict[str, np.ndarray] | None = None
) -> Steps[Program]:
    """The passes from integers to the machine's program; see sw.compile.compile_network.

    Raises DoesNotFit, as they run, for what the hardware cannot run.
    """
    compiler = compiling_events if config.machine == "event" else compiling
    return compiler(network, config, orders=orders)
