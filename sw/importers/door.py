"""The doors: a file or a module of the user's -> graph -> layers -> what each machine says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hw.config import Config
from sw.importers import nir
from sw.importers.fit import Report, fit
from sw.importers.graph import ASSUMED, GIVEN, Choice, Graph, Options, Refused
from sw.importers.lower import lower
from sw.importers.lowered import Lowered
from sw.layers import Encoding, Input
from sw.ticket import Ticket

WEIGHT_BITS = 16
FORMATS: dict[str, Callable[[Path, Options], Graph]] = {".nir": nir.read}
"""By how a file's name ends; any other is taken for NIR."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Of an image's channels: (pixel / 255 - mean) / std."""

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Imported:
    """A network of the user's, as graph, as layers, and what the machines say of it."""

    graph: Graph
    lowered: Lowered
    report: Report
    options: Options

    def ticket(self, weight_bits: int = WEIGHT_BITS) -> Ticket:
        """Raises Refused for a network that no machine runs."""
        if self.report.reason:
            raise Refused(self.report.reason)
        notes: dict[str, Any] = {"import": self.report.to_dict()}
        return self.lowered.ticket(self.options.ticks, weight_bits, notes)


def network_input(options: Options, scaling: Scaling) -> tuple[Input, tuple[Choice, ...]]:
    """What the network sees, and what of that was assumed. Raises Refused for wrong numbers."""
    channels = options.shape[0]
    choices = [
        Choice("input", "x".join(map(str, options.shape)), GIVEN),
        Choice("ticks", str(options.ticks), GIVEN),
    ]
    known = ASSUMED if options.spikes is None else GIVEN
    if options.spikes:
        if scaling.mean is not None or scaling.std is not None:
            raise Refused("--mean and --std of spikes; allowed: of images")
        choices.append(Choice("encoding", "spikes", known))
        return Input(shape=options.shape, encoding=Encoding.SPIKES), tuple(choices)
    choices.append(
        Choice("encoding", "image: the first layer runs in software, the same every tick", known)
    )
    numbers = []
    for what, given, default in (("mean", scaling.mean, 0.0), ("std", scaling.std, 1.0)):
        values = (default,) * channels if given is None else given
        values = values * channels if len(values) == 1 else values
        least = np.nextafter(0, 1) if what == "std" else -np.inf
        if len(values) != channels or not all(np.isfinite(v) and v >= least for v in values):
            allowed = f"{channels} numbers" + (" above 0" if what == "std" else "")
            raise Refused(f"--{what} {','.join(map(str, values))}; allowed: {allowed}")
        text = ", ".join(f"{value:g}" for value in values)
        choices.append(Choice(f"{what} of pixel / 255", text, ASSUMED if given is None else GIVEN))
        numbers.append(values)
    mean, std = numbers
    return Input(shape=options.shape, mean=mean, std=std), tuple(choices)


def imported(
    graph: Graph, options: Options, scaling: Scaling, hardware: Config | None = None
) -> Imported:
    """A graph as layers. Raises Refused, naming the node, for what no lowering makes into layers.

    hardware: whose sizes the layers must fit, by default the preset `paper`'s.
    """
    seen, choices = network_input(options, scaling)
    lowered = lower(graph, options, seen)
    report = fit(lowered, options, choices + graph.choices, hardware)
    return Imported(graph, lowered, report, options)


def read(
    source: str, options: Options, *, weights: Path | None = None, trust: bool = False
) -> Graph:
    """A graph from `net.nir`, or from `model.py:build`, a function that returns a torch module.

    weights: a state dict for that module. trust: whether a pickle may be opened.
    """
    path, _, attribute = source.rpartition(":")
    if source.endswith(".py"):
        raise Refused(
            f"{source} names no function; allowed: {source}:FUNCTION, which returns a torch module"
        )
    if path.endswith(".py"):
        try:
            from sw.importers import torch as door
        except ImportError as error:
            text = f"PyTorch modules need {error.name}; .venv/bin/pip install -e '.[train,import]'"
            raise Refused(text) from None
        return door.read(Path(path), attribute, options, weights=weights, trust=trust)
    if weights is not None:
        raise Refused(f"--weights with {source}; allowed: with FILE.py:FUNCTION")
    return FORMATS.get(Path(source).suffix, nir.read)(Path(source), options)
