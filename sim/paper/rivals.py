"""Other ways to keep PEs busy, as models of their cycles and of the area they add; docs/rivals.md.

All run the same layer on the same array: n_pe PEs of `ticks` lanes, so a PE visits one (weight,
position) pair a cycle with all its ticks. A rival says how long each PE of each group is busy;
from that follow latency (the slowest of each group, and what its front end waits) and occupancy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.models.components import ComponentTable, pe_area_um2
from sw.balance import filter_nnz, sort_order
from sw.networks import Layer

CHUNK_WEIGHTS = 128  # of SparTen: the weights that are matched at once
FIFO_BITS = 16  # of an entry: position and tick bits


@dataclass(frozen=True, kw_only=True)
class Task:
    """A layer to run. mask: (K, C, kh, kw) or (K, C). spikes: (T, C, H, W), for rivals that see data."""

    layer: Layer
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


@dataclass(frozen=True, kw_only=True)
class Total:
    """Of a network: cycles, occupancy, and Eq. 2 weighted by parameters; None without work."""

    busy: float
    latency: float
    occupancy: float | None
    utilization: float | None


def network(loads: list[Load]) -> Total:
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


def as_it_is(task: Task, n_pe: int) -> Load:
    """Consecutive filters, one a PE: the lottery ticket, or a u-Ticket, as the array runs it."""
    nnz = filter_nnz(task.mask)
    return load(_groups(nnz, n_pe) * task.positions, task.mask.size)


def sort(task: Task, n_pe: int) -> Load:
    """Filters in descending order of nnz, one a PE: no cost in hardware."""
    nnz = filter_nnz(task.mask)
    return load(_groups(nnz[sort_order(nnz)], n_pe) * task.positions, task.mask.size)


def gb_s(task: Task, n_pe: int) -> Load:
    """SparTen's GB-S: sorted whole filters, a dense and a sparse one on each PE.

    Of each 2 n_pe sorted filters PE i runs the i-th and the i-th from the end: accumulators twice.
    """
    nnz = filter_nnz(task.mask)
    busy = _fold(_groups(nnz[sort_order(nnz)], 2 * n_pe))
    return load(busy * task.positions, task.mask.size)


def gb_h(task: Task, n_pe: int) -> Load:
    """SparTen's GB-H: the same pairing anew for each chunk of input channels, sums being routed.

    The fullest pair of a chunk goes to the PE with the least work so far, which the network allows. A
    PE goes on to the next chunk at its own pace; the barrier is at the end of the group.
    """
    per_chunk = max(1, CHUNK_WEIGHTS // task.slices.shape[2])
    counts = task.slices.sum(axis=2)
    counts = counts[sort_order(counts.sum(axis=1))]
    total = np.zeros((math.ceil(len(counts) / (2 * n_pe)), n_pe))
    for start in range(0, counts.shape[1], per_chunk):
        chunk = _groups(counts[:, start : start + per_chunk].sum(axis=1), 2 * n_pe)
        pairs = -np.sort(-_fold(-np.sort(-chunk, axis=1)), axis=1)
        total = np.sort(total, axis=1) + pairs  # which PE is which does not matter
    return load(total * task.positions, task.mask.size)


def n_of_m(task: Task, n_pe: int, m: int = 64) -> Load:
    """An N:M mask of the layer's density: see `n_of_m_mask`."""
    nnz = filter_nnz(n_of_m_mask(task.mask, m))
    return load(_groups(nnz, n_pe) * task.positions, task.mask.size)


def n_of_m_mask(mask: np.ndarray, m: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """The mask with N weights in each m consecutive ones of a filter, N the density's nearest from 1.

    Weights of `mask` are kept first, in order; what is missing is drawn from the empty places.
    """
    rng = rng or np.random.default_rng(0)
    flat = mask.reshape(len(mask), -1)
    n = max(1, round(m * np.count_nonzero(flat) / flat.size))
    result = np.zeros_like(flat)
    for start in range(0, flat.shape[1], m):
        block = flat[:, start : start + m]
        keys = rng.random(block.shape) + ~block  # those of the mask come first
        chosen = np.argsort(keys, axis=1)[:, : min(n, block.shape[1])]
        np.put_along_axis(result[:, start : start + m], chosen, True, axis=1)
    return result.reshape(mask.shape)


def loas(task: Task, n_pe: int) -> Load:
    """LoAS-style: all ticks of a neuron in a word, silent neurons dropped, filters as they come.

    A PE takes a cycle for each (weight, position) whose input neuron fires in any tick.
    """
    channel, seen = _visits(task)
    active = np.zeros(task.slices.shape[1:], np.int64)  # (C, kernel positions)
    np.add.at(active, channel, seen)
    busy = task.mask.reshape(len(task.mask), -1).astype(np.int64) @ active.ravel()
    return load(_groups(busy, n_pe), task.mask.size)


def gospa(task: Task, n_pe: int, depth: int = 8) -> Load:
    """GoSPA-style: a front end sends one active neuron a cycle to all PEs, through FIFOs of `depth`.

    A PE that has weights for it takes a cycle for each; the front end waits while any FIFO that the
    neuron must enter is full. Every group of filters has the front end run over the input again.
    """
    channel, seen = _visits(task)
    groups = math.ceil(len(task.mask) / n_pe)
    mask = np.zeros((groups * n_pe, *task.slices.shape[1:]), np.float32)
    mask[: len(task.mask)] = task.slices
    busy, end = np.zeros((2, groups, n_pe))
    front = np.zeros(groups)
    starts = np.full((depth, groups, n_pe), -1.0)  # of each PE's last `depth` jobs, oldest first
    for c in np.unique(channel):
        jobs = (seen[channel == c].astype(np.float32) @ mask[:, c].T).reshape(-1, groups, n_pe)
        busy += jobs.sum(axis=0)
        if not jobs.any():
            front += len(jobs)
            continue
        for job in jobs:
            has = job > 0
            front = np.maximum(front + 1, np.where(has, starts[0], -1).max(axis=1))
            start = np.maximum(end, front[:, None] + 1)
            end = np.where(has, start + job, end)
            starts = np.where(has, np.concatenate([starts[1:], start[None]]), starts)
    times = np.maximum(front, end.max(axis=1))
    return load(busy, task.mask.size, times)


RIVALS: dict[str, Callable[[Task, int], Load]] = {
    "as it is": as_it_is,
    "sort": sort,
    "GB-S": gb_s,
    "GB-H": gb_h,
    "N:M": n_of_m,
}
"""Those that see masks alone; `loas` and `gospa` need spikes."""


def added_area(name: str, table: ComponentTable, *, n_pe: int, depth: int = 8) -> float | None:
    """Area that a rival adds, as a share of the PEs' own; None where it is not modelled.

    FIFOs: one a PE, in proportion to depth beyond the table's. GB-S: a second set of accumulators.
    GB-H: that, and a butterfly of log2(n_pe) stages, a 2:1 multiplexer (three gates a bit) and a
    register of an accumulator's width for each PE and stage. Raises ValueError for another name.
    """
    area = pe_area_um2(table)
    register = table.components["reg-acc"]
    accumulators = 256 * register.area_um2
    gate = table.components["and-gate"]
    multiplexer = 3 * gate.area_um2 * register.width_bits / gate.width_bits
    network = math.ceil(math.log2(n_pe)) * (multiplexer + register.area_um2) if n_pe > 1 else 0.0
    deepest = max(table.fifo_um2)
    fifo = table.fifo_um2.get(depth, table.fifo_um2[deepest] * depth / deepest)
    added: dict[str, float | None] = {
        "as it is": 0.0,
        "sort": 0.0,
        "u-Ticket": 0.0,
        "N:M": 0.0,
        "GB-S": accumulators / area,
        "GB-H": (accumulators + network) / area,
        "GoSPA": fifo / area,
        "LoAS": None,
    }
    if name not in added:
        raise ValueError(f"unknown rival {name!r}; known: {', '.join(added)}")
    return added[name]


def synthetic_mask(nnz: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A mask whose filters have `nnz` (K,) weights, at places drawn uniformly."""
    size = math.prod(shape[1:])
    ranks = rng.random((len(nnz), size)).argsort(axis=1).argsort(axis=1)
    return (ranks < np.asarray(nnz)[:, None]).reshape(shape)


def _groups(values: np.ndarray, n_pe: int) -> np.ndarray:
    """(K,) in groups of n_pe, missing filters as 0: (groups, n_pe)."""
    padded = np.zeros(-(-len(values) // n_pe) * n_pe, values.dtype)
    padded[: len(values)] = values
    return padded.reshape(-1, n_pe)


def _fold(values: np.ndarray) -> np.ndarray:
    """The i-th plus the i-th from the end: (groups, 2 n) -> (groups, n)."""
    half = values.shape[1] // 2
    return values[:, :half] + values[:, : half - 1 : -1]


def _visits(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Neurons of the input that some weight can meet and that are not silent, channel after channel.

    Their channels (N,), and through which kernel positions an output position sees them: boolean
    (N, positions of the kernel). Raises ValueError for a task without spikes.
    """
    if task.spikes is None:
        raise ValueError(f"layer {task.layer.name}: this rival needs the input's spikes")
    layer, fires = task.layer, task.spikes.any(axis=0)
    if layer.kind == "linear":
        fires = fires.reshape(-1, 1, 1)
    channel, y, x = np.nonzero(fires)
    kernel = task.slices.shape[2]
    out = layer.output_side(fires.shape[1]) if layer.kind == "conv" else 1
    seen = np.zeros((len(channel), kernel), bool)
    for p in range(kernel):
        dy, dx = divmod(p, math.isqrt(kernel))
        row, column = y + layer.padding - dy, x + layer.padding - dx
        meets = (row % layer.stride == 0) & (column % layer.stride == 0)
        row, column = row // layer.stride, column // layer.stride
        seen[:, p] = meets & (row >= 0) & (row < out) & (column >= 0) & (column < out)
    used = seen.any(axis=1)
    return channel[used], seen[used]
