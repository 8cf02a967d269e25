"""Workload of a layer on the PE array, and totals of a network (docs: definitions).

A group is `n_pe` consecutive filters, one a PE, with a barrier at its end. A step is one (weight,
position, tick) triple. All counts are exact Python integers; a ratio that does not exist is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sw.balance import filter_nnz
from sw.compile import Program


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What the array does in one layer, for one image."""

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
    """Mean of Eq. 2 over the groups that have weights; None without weights."""
    occupancy: float | None
    """work / (work + idle); None without weights."""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over layers, per image; `utilization` is weighted by the layers' parameters."""

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
    """Workload of a layer whose filters, in the order in which they are grouped, have `filter_nnz`.

    filter_nnz: non-zero weights of each filter, (K,). parameters: weights of the whole layer.
    Raises ValueError, naming the layer, for a size below 1 or more non-zero weights than weights.
    """
    counts = np.asarray(filter_nnz).tolist()
    sizes = {"filters": len(counts), "positions": positions, "ticks": ticks, "n_pe": n_pe}
    for what, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name}: {what} = {value}; allowed: 1 or more")
    groups = [counts[start : start + n_pe] for start in range(0, len(counts), n_pe)]
    steps = int(ticks) * int(positions)  # of one weight
    nnz = sum(counts)
    if min(counts) < 0 or nnz > parameters:
        raise ValueError(f"{name}: {nnz} non-zero weights out of {parameters}; allowed: 0 to all")
    work = steps * nnz
    latency = steps * sum(max(group) for group in groups)
    idle = int(n_pe) * latency - work
    used = [group_utilization(group, n_pe) for group in groups if any(group)]
    return Workload(
        name=name,
        filters=len(counts),
        nnz=nnz,
        parameters=int(parameters),
        positions=int(positions),
        work=work,
        idle=idle,
        latency=latency,
        utilization=math.fsum(used) / len(used) if used else None,
        occupancy=work / (work + idle) if work else None,
    )


def of_program(program: Program) -> list[Workload]:
    """Of each source of each layer, its filters in the order in which they are loaded."""
    config = program.config
    return [
        layer_workload(
            part.layer.name,
            filter_nnz(part.mask)[layer.order],
            parameters=part.mask.size,
            positions=layer.side**2,
            ticks=config.ticks,
            n_pe=config.n_pe,
        )
        for layer in program.layers
        for part in layer.sources
    ]


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
