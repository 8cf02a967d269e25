"""What every door gives: a graph of plain nodes, each under the name that it has in the user's file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from hw.neuron import RESETS, STARTS

FILE, GIVEN, ASSUMED = "from the file", "given", "assumed"


class Refused(ValueError):  # noqa: N818 - reads as what it says
    """A network that cannot be imported: the node's name, what it needs, what there is."""

    def __init__(self, text: str, node: str | None = None) -> None:
        super().__init__(text)
        self.node = node


@dataclass(frozen=True)
class Choice:
    """One thing that decides what the network computes, and where it comes from."""

    what: str
    value: str
    source: str  # FILE, GIVEN or ASSUMED


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user says of a network beside its file. Raises Refused for numbers and names that cannot be."""

    shape: tuple[int, int, int]  # channels, height, width
    ticks: int
    dt: float | None = None  # seconds, or whatever unit the file's time constants have
    reset: str | None = None
    start: str = "zero"  # of potentials: hw.neuron.STARTS
    spikes: bool | None = None  # the input: spikes, an image, or not said
    round_leak: bool = False

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or any(type(side) is not int or side < 1 for side in self.shape):
            shown = ",".join(map(str, self.shape))
            raise Refused(f"input = {shown}; allowed: channels, height, width, at least 1 each")
        if type(self.ticks) is not int or self.ticks < 1:
            raise Refused(f"ticks = {self.ticks}; allowed: a whole number, at least 1")
        if self.dt is not None and not 0 < self.dt < np.inf:
            raise Refused(f"dt = {self.dt:g}; allowed: above 0")
        if self.reset not in (None, *RESETS):
            raise Refused(f"reset = {self.reset!r}; allowed: {', '.join(RESETS)}")
        if self.start not in STARTS:
            raise Refused(f"start = {self.start!r}; allowed: {', '.join(STARTS)}")


@dataclass(frozen=True)
class Conv:
    """A convolution: weight (K, C / groups, kh, kw), bias (K,) or None; pairs are (down, across)."""

    weight: np.ndarray
    bias: np.ndarray | None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Linear:
    """weight (K, C), bias (K,) or None."""

    weight: np.ndarray
    bias: np.ndarray | None


@dataclass(frozen=True)
class BatchNorm:
    """(x - mean) / sqrt(var + eps) * weight + bias, each (K,)."""

    weight: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    eps: float


@dataclass(frozen=True)
class Scale:
    """Times a number a channel, or one for all."""

    factor: np.ndarray


@dataclass(frozen=True)
class Pooling:
    """max, mean or sum. kernel None: over the whole map."""

    kind: str
    kernel: tuple[int, int] | None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Flatten:
    """A map as a list of numbers, channel after channel."""


@dataclass(frozen=True)
class Ignored:
    """A node that does nothing after training."""

    why: str


@dataclass(frozen=True)
class Add:
    """The sum of its inputs."""


@dataclass(frozen=True)
class Spiking:
    """v = leak v + gain x + offset; fires at v >= threshold, or above it; then its reset.

    gain, offset, threshold: a number, or an array a channel or of the map's shape.
    """

    leak: float
    gain: np.ndarray
    threshold: np.ndarray
    reset: str
    above: bool
    offset: np.ndarray = field(default_factory=lambda: np.zeros(()))
    start: str = "zero"  # v before the first tick: 0, or half the threshold
    approximate: str | None = None  # what differs from the file


Operation = Conv | Linear | BatchNorm | Scale | Pooling | Flatten | Ignored | Add | Spiking


@dataclass(frozen=True)
class Node:
    """A node of the user's network; `kind` is what its framework calls it."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    operation: Operation
    choices: tuple[Choice, ...] = ()


INPUT = ""  # the network's input, in `Node.inputs`


@dataclass(frozen=True)
class Live:
    """The module of a framework that a graph was traced from, and where its forward has the ticks."""

    module: Any
    loops: bool = False  # forward goes over the ticks, one call of each module after the other
    indexed: bool = False  # it takes them from its input one by one
    repeats: bool = False  # its input is an image, which it repeats


@dataclass(frozen=True)
class Graph:
    """Nodes, each after its inputs. output: the name of the node whose value is the result."""

    nodes: tuple[Node, ...]
    output: str
    choices: tuple[Choice, ...] = ()
    live: Live | None = None  # None: of a file

    def readers(self, name: str) -> tuple[str, ...]:
        """Names of the nodes that read a node's value."""
        return tuple(node.name for node in self.nodes if name in node.inputs)


def refuse(node: str, text: str) -> NoReturn:
    """Raise Refused of one line."""
    raise Refused(f"node {node}: {text}", node)


def finite(node: str, **arrays: np.ndarray | None) -> None:
    """Refuse NaN and infinity. arrays: by what they are."""
    for what, array in arrays.items():
        if array is None:
            continue
        if not np.issubdtype(array.dtype, np.floating) and not np.issubdtype(
            array.dtype, np.integer
        ):
            refuse(node, f"{what} has type {array.dtype}; allowed: numbers")
        wrong = ~np.isfinite(array)
        if wrong.any():
            at = [int(i) for i in np.argwhere(np.atleast_1d(wrong))[0]]
            refuse(node, f"{what}{at} = {np.atleast_1d(array)[tuple(at)]}; allowed: finite numbers")


def ordered(nodes: dict[str, Node], output: str) -> tuple[Node, ...]:
    """Nodes after their inputs, in the file's order otherwise.

    Raises Refused for a loop, naming a node in it, and for a node that does not lead to the output.
    """
    needed, todo = {output}, [output]
    while todo:
        for name in nodes[todo.pop()].inputs:
            if name != INPUT and name not in needed:
                needed.add(name)
                todo.append(name)
    for name in nodes:
        if name not in needed:
            refuse(name, "leads to no output; allowed: networks with one output")
    done: list[str] = []
    while len(done) < len(nodes):
        ready = [
            name
            for name, node in nodes.items()
            if name not in done and all(i == INPUT or i in done for i in node.inputs)
        ]
        if not ready:
            stuck = next(name for name in nodes if name not in done)
            refuse(stuck, "is in or after a loop; allowed: networks without recurrence")
        done += ready
    return tuple(nodes[name] for name in done)
