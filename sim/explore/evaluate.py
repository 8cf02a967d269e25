"""A design's row: its masks through compiler, cycle and energy model; points of the same masks share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

from hw.config import Config
from sim.explore.drawn_networks import synthetic_network
from sim.explore.spec import BASE, Point
from sim.models import memory
from sim.models.components import add_counts, breakdown, pe_area_um2, total_pj
from sim.models.cycles import predict
from sim.models.eq3 import energies, eq3
from sim.models.workload import of_program, rtl_bound_cycles, totals
from sw.compile import Program
from sw.encoding import Encoded
from sw.limits import DoesNotFit
from sw.machines import compile_network
from sw.order import sort_orders

BATCH = 12  # points a task holds at most
RESULTS = (
    "weight_sparsity",
    "nnz",
    "work",
    "idle",
    "latency",
    "utilization",
    "occupancy",
    "cycles",
    "bound_cycles",
    "efficiency",
    "energy",
    "energy_pj",
    "pe_area_mm2",
    "note",
)
COLUMNS = (*(field.name for field in fields(Point)), *RESULTS)
Row = dict[str, Any]


@dataclass(frozen=True)
class Draws:
    """What a point does not say and its row depends on."""

    seed: int
    spread: float
    spike_sparsity: float
    technology: str | None = None
    base: Config = BASE


def evaluate(point: Point, draws: Draws) -> Row:
    """A row: the point and RESULTS, null but for `note` where the array cannot run it."""
    config = point.on(draws.base)
    row: Row = {**asdict(point), **dict.fromkeys(RESULTS)}
    try:
        program = program_of(point.masks, config, draws)
    except DoesNotFit as error:
        return {**row, "note": str(error)}
    loads = of_program(program)
    total = totals(loads)
    predicted = predict(program)
    cycles = sum(layer.cycles for layer in predicted)
    bounds = [rtl_bound_cycles(x.work, lanes=config.lanes, n_pe=config.n_pe) for x in loads]
    energy_counts = [
        memory.expected_counts(*pair, config, spike_sparsity=draws.spike_sparsity)
        for pair in zip(program.layers, predicted, strict=True)
    ]
    spent = energies(draws.technology)
    table = spent.table
    lines = breakdown(table, add_counts(energy_counts), accounting="rtl", config=config)
    return {
        **row,
        "weight_sparsity": total.weight_sparsity,
        "nnz": total.nnz,
        "work": total.work,
        "idle": total.idle,
        "latency": total.latency,
        "utilization": total.utilization,
        "occupancy": total.occupancy,
        "cycles": cycles,
        "bound_cycles": sum(bounds),
        "efficiency": sum(bounds) / cycles,
        "energy": eq3(
            work=total.work,
            idle=total.idle,
            active=1 - draws.spike_sparsity,
            leak=spent.eq3.leak,
        ),
        "energy_pj": total_pj(lines),
        "pe_area_mm2": config.n_pe * pe_area_um2(table, accounting="rtl", config=config) / 1e6,
    }


def evaluate_batch(points: Sequence[Point], draws: Draws) -> list[Row]:
    """Rows of points that share masks."""
    return [evaluate(point, draws) for point in points]


@lru_cache(maxsize=2)
def program_of(masks: tuple[str, float, str, int], config: Config, draws: Draws) -> Program:
    """Of masks on an array; the last two are kept. Raises DoesNotFit."""
    network = synthetic_network(*masks, config.ticks, config.neuron, draws.seed, draws.spread)
    orders = sort_orders(network) if masks[2] == "sort" else None
    encoded = _encoded(masks, draws)
    return compile_network(network, config, orders=orders, encoded=encoded)


@lru_cache(maxsize=1)
def _encoded(masks: tuple[str, float, str, int], draws: Draws) -> dict[str, Encoded]:
    """The streams of these masks: whatever the array, they are the same."""
    return {}


def batches(points: Sequence[Point]) -> list[list[Point]]:
    """The points in tasks of at most BATCH that share masks."""
    groups: dict[tuple, list[list[Point]]] = {}
    for point in points:
        tasks = groups.setdefault(point.masks, [[]])
        if len(tasks[-1]) == BATCH:
            tasks.append([])
        tasks[-1].append(point)
    return [task for tasks in groups.values() for task in tasks]


def pareto(rows: Sequence[Row], x: str, y: str) -> list[Row]:
    """Rows that no other beats in one of two columns without losing in the other, by x."""
    known = [row for row in rows if row[x] is not None and row[y] is not None]
    best: list[Row] = []
    for row in sorted(known, key=lambda row: (row[x], row[y])):
        if not best or row[y] < best[-1][y]:
            best.append(row)
    return best
