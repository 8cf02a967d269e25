"""What lowering works with and what it gives: maps as nodes see them, and a network with where its layers come from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sw.importers.currents import Current
from sw.importers.graph import INPUT, Choice, refuse
from sw.importers.taps import View
from sw.layers import Network, Shape
from sw.ticket import Parameters, Ticket


@dataclass(frozen=True)
class Spikes:
    """A map of 0 and 1, or the image's pixels, as a node hands it on."""

    map: str
    shape: Shape  # of the map itself
    view: View = field(default_factory=View)
    flat: bool = False
    factors: tuple[float, ...] = ()  # what a spike of each channel counts; (): 1
    trail: tuple[str, ...] = ()  # nodes that made it of the map
    maker: str = INPUT  # the node of its neurons

    @property
    def seen(self) -> Shape:
        """Of what the node hands on."""
        return self.view.output(self.shape)

    @property
    def plain(self) -> bool:
        """Whether it is the map itself."""
        return self.view == View() and not self.flat and not self.factors


@dataclass(frozen=True)
class Row:
    """What `check` says of a layer."""

    name: str
    node: str  # whose value is the layer's map
    nodes: tuple[str, ...]
    choices: tuple[Choice, ...]
    approximate: tuple[str, ...]


@dataclass(frozen=True)
class Lowered:
    """A network, its numbers, and where each layer comes from."""

    network: Network
    parameters: tuple[Parameters, ...]
    rows: tuple[Row, ...]  # as network.layers

    def ticket(self, ticks: int, weight_bits: int, notes: dict) -> Ticket:
        """As a ticket."""
        metadata = {
            "ticks": ticks,
            "weight_bits": weight_bits,
            "scale": "grid",
            "notes": notes,
        }
        return Ticket(metadata, self.network, self.parameters, {}, {})


def per_channel(node: str, what: str, values: np.ndarray, current: Current) -> np.ndarray:
    """One number, or one a channel (K,). Raises Refused where they differ inside a channel, or are of another map."""
    values = np.asarray(values, np.float64)
    channels, count = current.filters, current.filters * current.sides[0] * current.sides[1]
    if values.size not in (1, channels, count):
        sides = "x".join(map(str, (channels, *current.sides)))
        refuse(node, f"{what} of shape {values.shape}, and its input is {sides}")
    if (values == values.flat[0]).all():
        return np.asarray(values.flat[0])
    rows = values.reshape(channels, -1)
    if (rows != rows[:, :1]).any():
        refuse(node, f"{what} differs inside a channel; allowed: one number a channel")
    return rows[:, 0]
