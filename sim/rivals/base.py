"""What rivals are: a layer to run, what an array does with it, and the class that each one extends.

All run the same layer on the same array: n_pe PEs of `ticks` lanes, so a PE visits one (weight,
position) pair a cycle with all its ticks. A rival says how long each PE of each group is busy;
from that follow latency (the slowest of each group, and what its front end waits) and occupancy.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.models.technology import ComponentTable
from sw.balance import filter_nnz
from sw.layers import Source


@dataclass(frozen=True, kw_only=True)
class Operand:
    """What one source gives to a layer's filters."""

    source: Source
    mask: np.ndarray
    """(K, C, kh, kw), or (K, C) of a linear source."""
    spikes: np.ndarray | None = None
    """(T, C, H, W), for rivals that see data."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A layer to run. A convolution and its shortcut convolution are one filter here, too."""

    operands: tuple[Operand, ...]
    """The layer's own first."""
    positions: int

    @property
    def filters(self) -> int:
        """K."""
        return len(self.operands[0].mask)

    @property
    def parameters(self) -> int:
        """Weights, zero or not."""
        return sum(one.mask.size for one in self.operands)

    @property
    def filter_nnz(self) -> np.ndarray:
        """Weights of each filter, (K,)."""
        return np.sum([filter_nnz(one.mask) for one in self.operands], axis=0)

    @property
    def slices(self) -> np.ndarray:
        """The mask by kernel position: boolean (K, C of all sources, positions of the own kernel)."""
        flat = [one.mask.reshape(*one.mask.shape[:2], -1) for one in self.operands]
        return np.concatenate([self.centred(slices) for slices in flat], axis=1)

    def centred(self, by_position: np.ndarray) -> np.ndarray:
        """What is by kernel position, (..., positions), in the own kernel: 1x1 stands in its centre."""
        positions = self.operands[0].mask[0, 0].size
        if by_position.shape[-1] == positions:
            return by_position
        result = np.zeros((*by_position.shape[:-1], positions), by_position.dtype)
        result[..., positions // 2] = by_position[..., 0]
        return result


@dataclass(frozen=True, kw_only=True)
class Load:
    """What an array does in a layer, in cycles of a PE."""

    busy: float
    """Summed over the PEs."""
    latency: float
    n_pe: int
    utilization: float | None
    """Mean of Eq. 2 over groups with work, T_max being the group's time; None without work."""
    parameters: int

    @property
    def occupancy(self) -> float | None:
        """Busy / (n_pe * latency)."""
        return self.busy / (self.n_pe * self.latency) if self.latency else None


def load(busy: np.ndarray, parameters: int, times: np.ndarray | None = None) -> Load:
    """Of groups with PEs that are busy (groups, n_pe) cycles; `times` (groups,), by default the slowest's."""
    n_pe = busy.shape[1]
    times = busy.max(axis=1) if times is None else times
    used = times > 0
    wait = times[used] - busy[used].mean(axis=1)
    eq2 = 1 - wait / times[used] * (n_pe / (n_pe - 1) if n_pe > 1 else 0)
    return Load(
        busy=float(busy.sum()),
        latency=float(times.sum()),
        n_pe=n_pe,
        utilization=float(eq2.mean()) if used.any() else None,
        parameters=parameters,
    )


class Rival(ABC):
    """A way to keep PEs busy. A file of this folder holds one, as its only class of this kind."""

    name: str
    """In tables and legends."""
    style: tuple[str, str]
    """Colour and line of its curve, as Matplotlib has them."""
    needs_spikes: bool = False
    """Whether it sees data; `Task.spikes` is there then."""
    on_uticket: bool = False
    """Whether it is tried on the u-Ticket, too."""
    note: str = ""
    """What a reader of Fig. 1 must know of it; stands below."""

    @abstractmethod
    def load(self, task: Task, n_pe: int) -> Load:
        """What `n_pe` PEs do in a layer."""

    def added_area(self, table: ComponentTable, n_pe: int) -> float | None:
        """Area that it adds, as a share of the PEs' own: none. None where it is not modelled."""
        return 0.0

    @property
    def label(self) -> str:
        """Of this one of its variants."""
        return self.name

    def variants(self) -> Sequence[Rival]:
        """What the table of final tickets compares: itself, or itself with other sizes."""
        return [self]

    def total(self, tasks: Sequence[Task], n_pe: int) -> Total:
        """Of a network."""
        return network([self.load(task, n_pe) for task in tasks])


@dataclass(frozen=True, kw_only=True)
class Total:
    """Of a network: cycles, occupancy, and Eq. 2 weighted by parameters; None without work."""

    busy: float
    latency: float
    occupancy: float | None
    utilization: float | None


def network(loads: Sequence[Load]) -> Total:
    """Of all layers."""
    busy, latency = sum(one.busy for one in loads), sum(one.latency for one in loads)
    rated = [(one.parameters, one.utilization) for one in loads if one.utilization is not None]
    weight = sum(size for size, _ in rated)
    return Total(
        busy=busy,
        latency=latency,
        occupancy=busy / (loads[0].n_pe * latency) if latency else None,
        utilization=sum(size * u for size, u in rated) / weight if rated else None,
    )


def synthetic_mask(nnz: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A mask whose filters have `nnz` (K,) weights, at places drawn uniformly."""
    size = math.prod(shape[1:])
    ranks = rng.random((len(nnz), size)).argsort(axis=1).argsort(axis=1)
    return (ranks < np.asarray(nnz)[:, None]).reshape(shape)


def groups(values: np.ndarray, n_pe: int) -> np.ndarray:
    """(K,) in groups of n_pe, missing filters as 0: (groups, n_pe)."""
    padded = np.zeros(-(-len(values) // n_pe) * n_pe, values.dtype)
    padded[: len(values)] = values
    return padded.reshape(-1, n_pe)


def fold(values: np.ndarray) -> np.ndarray:
    """The i-th plus the i-th from the end: (groups, 2 n) -> (groups, n)."""
    half = values.shape[1] // 2
    return values[:, :half] + values[:, : half - 1 : -1]


def visits(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Neurons of the input that some weight can meet and that are not silent, channel after channel.

    Their channels (N,), of all sources in a row, and through which kernel positions an output position
    sees them: boolean (N, positions of the kernel). Raises ValueError for a task without spikes.
    """
    channels, seen, first = [], [], 0
    for one in task.operands:
        channel, through = _visits(one)
        channels.append(first + channel)
        seen.append(task.centred(through))
        first += one.mask.shape[1]
    return np.concatenate(channels), np.concatenate(seen)


def _visits(one: Operand) -> tuple[np.ndarray, np.ndarray]:
    if one.spikes is None:
        raise ValueError(f"layer {one.source.name}: this rival needs the input's spikes")
    source, fires = one.source, one.spikes.any(axis=0)
    if source.kernel is None:
        fires = fires.reshape(-1, 1, 1)
    channel, y, x = np.nonzero(fires)
    tall, wide = source.kernel or (1, 1)
    height, width = source.output(*fires.shape[1:])
    seen = np.zeros((len(channel), tall * wide), bool)
    for p in range(tall * wide):
        dy, dx = divmod(p, wide)
        row, column = y + source.padding - dy, x + source.padding - dx
        meets = (row % source.stride == 0) & (column % source.stride == 0)
        row, column = row // source.stride, column // source.stride
        seen[:, p] = meets & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    used = seen.any(axis=1)
    return channel[used], seen[used]
