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
from sw.layers import Source


@dataclass(frozen=True, kw_only=True)
class Task:
    """A layer to run. mask: (K, C, kh, kw) or (K, C). spikes: (T, C, H, W), for rivals that see data."""

    source: Source
    mask: np.ndarray
    positions: int
    spikes: np.ndarray | None = None

    @property
    def slices(self) -> np.ndarray:
        """The mask by kernel position: boolean (K, C, positions of the kernel)."""
        return self.mask.reshape(*self.mask.shape[:2], -1)


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

    Their channels (N,), and through which kernel positions an output position sees them: boolean
    (N, positions of the kernel). Raises ValueError for a task without spikes.
    """
    if task.spikes is None:
        raise ValueError(f"layer {task.source.name}: this rival needs the input's spikes")
    source, fires = task.source, task.spikes.any(axis=0)
    if source.kernel is None:
        fires = fires.reshape(-1, 1, 1)
    channel, y, x = np.nonzero(fires)
    kernel = task.slices.shape[2]
    height, width = source.output(*fires.shape[1:])
    wide = 1 if source.kernel is None else source.kernel[1]
    seen = np.zeros((len(channel), kernel), bool)
    for p in range(kernel):
        dy, dx = divmod(p, wide)
        row, column = y + source.padding - dy, x + source.padding - dx
        meets = (row % source.stride == 0) & (column % source.stride == 0)
        row, column = row // source.stride, column // source.stride
        seen[:, p] = meets & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    used = seen.any(axis=1)
    return channel[used], seen[used]
