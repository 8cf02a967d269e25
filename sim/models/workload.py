"""Workload of a layer on the PE array, and totals of a network (docs: definitions).

A group is `n_pe` consecutive filters, one a PE, with a barrier at its end. A filter can have weights
of two convolutions: a layer's and its shortcut's, which run as one filter with one barrier. A step is
one (weight, position, tick) triple. All counts are exact Python integers; a ratio that does not exist is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sw.balance import filter_nnz, sort_order
from sw.compile import Program
from sw.layers import Network


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one convolution or linear map gives to a layer's filters."""

    name: str
    filter_nnz: np.ndarray | Sequence[int]
    """Non-zero weights of each filter, (K,), in the order in which filters are grouped."""
    parameters: int
    """Weights, zero or not."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What the array does in one layer, for one image; or the row of a part of one.

    filters, nnz, parameters, positions and work are the part's own. What follows from the barrier (idle, latency,
    utilization, occupancy) is the whole layer's, and stands in the row of its last part; the other
    rows have 0 and None.
    """

    name: str
    filters: int
    nnz: int
    """Non-zero weights."""
    parameters: int
    """Weights, zero or not."""
    positions: int
    """Output positions, before pooling."""
    work: int
    """Steps over all PEs."""
    idle: int
    """Steps that PEs spend at the barrier, over all PEs."""
    latency: int
    """Steps from start to end: of the slowest filter of each group."""
    utilization: float | None
    """Mean of Eq. 2 over the groups that have weights; None without weights, and of other parts."""
    occupancy: float | None
    """Work / (work + idle), of all parts; None without weights, and of other parts."""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over rows, per image; `utilization` is weighted by the parameters of the rows that have one."""

    filters: int
    nnz: int
    parameters: int
    positions: int
    work: int
    idle: int
    latency: int
    utilization: float | None
    occupancy: float | None
    weight_sparsity: float


def layer_workload(
    name: str,
    filter_nnz: np.ndarray | Sequence[int],
    *,
    parameters: int,
    positions: int,
    ticks: int,
    n_pe: int,
) -> Workload:
    """Workload of a layer of one part; see `part_workloads`."""
    part = Part(name=name, filter_nnz=filter_nnz, parameters=parameters)
    return part_workloads([part], positions=positions, ticks=ticks, n_pe=n_pe)[0]


def part_workloads(
    parts: Sequence[Part], *, positions: int, ticks: int, n_pe: int
) -> list[Workload]:
    """A row for each part of a layer, the layer's own last.

    Raises ValueError, naming the part, for a size below 1 or more non-zero weights than weights.
    """
    nnz = [np.asarray(part.filter_nnz).tolist() for part in parts]
    for part, counts in zip(parts, nnz, strict=True):
        sizes = {"filters": len(counts), "positions": positions, "ticks": ticks, "n_pe": n_pe}
        for what, value in sizes.items():
            if value < 1:
                raise ValueError(f"{part.name}: {what} = {value}; allowed: 1 or more")
        if min(counts) < 0 or sum(counts) > part.parameters:
            raise ValueError(
                f"{part.name}: {sum(counts)} non-zero weights out of {part.parameters}; "
                "allowed: 0 to all"
            )
    steps = int(ticks) * int(positions)  # of one weight
    filters = [sum(counts) for counts in zip(*nnz, strict=True)]
    groups = [filters[start : start + n_pe] for start in range(0, len(filters), n_pe)]
    latency = steps * sum(max(group) for group in groups)
    work = steps * sum(filters)
    idle = int(n_pe) * latency - work
    used = [group_utilization(group, n_pe) for group in groups if any(group)]
    rows = [
        Workload(
            name=part.name,
            filters=len(counts),
            nnz=sum(counts),
            parameters=int(part.parameters),
            positions=int(positions),
            work=steps * sum(counts),
            idle=0,
            latency=0,
            utilization=None,
            occupancy=None,
        )
        for part, counts in zip(parts, nnz, strict=True)
    ]
    rows[-1] = replace(
        rows[-1],
        idle=idle,
        latency=latency,
        utilization=math.fsum(used) / len(used) if used else None,
        occupancy=work / (work + idle) if work else None,
    )
    return rows


def of_network(
    network: Network, nnz: Mapping[str, np.ndarray], *, ticks: int, n_pe: int, sort: bool = False
) -> list[Workload]:
    """Rows of the layers of a network that the array runs, without compiling it.

    nnz: of each filter of each source with weights, (K,), by name. sort: filters are loaded in order of
    it. Equal to `of_program` where the array can run the network.
    """
    shapes = network.shapes()
    rows = []
    for layer in network.array:
        filters = np.sum([nnz[source.name] for source in layer.learned], axis=0)
        order = sort_order(filters) if sort else np.arange(len(filters))
        parts = [
            Part(
                name=source.name,
                filter_nnz=nnz[source.name][order],
                parameters=math.prod(source.weight_shape(layer.filters)),
            )
            for source in layer.learned
        ]
        sums = layer.neurons(shapes)
        positions = sums.height * sums.width
        rows += part_workloads(parts, positions=positions, ticks=ticks, n_pe=n_pe)
    return rows


def of_program(program: Program) -> list[Workload]:
    """Rows of every layer of a program, its filters in the order in which they are loaded."""
    config = program.config
    rows = []
    for layer in program.layers:
        parts = [
            Part(
                name=part.name,
                filter_nnz=filter_nnz(part.mask)[layer.order],
                parameters=part.parameters,
            )
            for part in layer.integer.learned
        ]
        positions = layer.positions
        rows += part_workloads(parts, positions=positions, ticks=program.ticks, n_pe=config.n_pe)
    return rows


def group_utilization(group: Sequence[int], n_pe: int) -> float:
    """Eq. 2 with the exact mean; filters missing from a short group count as empty.

    1 - (max - mean) / max * n / (n - 1), which is 1 - (n * max - sum) / (max * (n - 1)).
    """
    if n_pe == 1:
        return 1.0
    longest = max(group)
    return 1 - (n_pe * longest - sum(group)) / (longest * (n_pe - 1))


def totals(layers: Iterable[Workload]) -> Totals:
    """Sums over layers; layers without weights are left out of the means."""
    layers = list(layers)
    parameters = sum(layer.parameters for layer in layers)
    if not parameters:
        raise ValueError("totals of no layers at all")
    rated = [
        (layer.parameters, layer.utilization) for layer in layers if layer.utilization is not None
    ]
    weight = sum(size for size, _ in rated)
    nnz = sum(layer.nnz for layer in layers)
    work = sum(layer.work for layer in layers)
    idle = sum(layer.idle for layer in layers)
    return Totals(
        filters=sum(layer.filters for layer in layers),
        nnz=nnz,
        parameters=parameters,
        positions=sum(layer.positions for layer in layers),
        work=work,
        idle=idle,
        latency=sum(layer.latency for layer in layers),
        utilization=math.fsum(size * value for size, value in rated) / weight if rated else None,
        occupancy=work / (work + idle) if work else None,
        weight_sparsity=1 - nnz / parameters,
    )


def rtl_bound_cycles(work: int, *, lanes: int, n_pe: int) -> int:
    """Fewest cycles in which `n_pe` PEs of `lanes` lanes can do `work` steps, rounded up."""
    return -(-work // (lanes * n_pe))
