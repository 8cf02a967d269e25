"""Design-space sweeps: each point through compiler, cycle and energy model; docs/sweep.md.

Rows are kept in a journal as they come, so a sweep that is killed goes on where it stopped. Points of
the same masks go to the same process. A few configurations are drawn for which the RTL is built and
must say what the cycle model says.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import as_completed as processes_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import hw
import sim
import sw
from hw.config import Config
from sim.errors import BadInput
from sim.explore.drawn_networks import synthetic_network
from sim.explore.spec import Point, Spec
from sim.files import atomic_write
from sim.models import golden, memory
from sim.models.components import Counts, add_counts, breakdown, pe_area_um2, total_pj
from sim.models.cycles import LayerCycles, bound, input_cycles, predict
from sim.models.eq3 import eq3, load_technology
from sim.models.technology import load_table
from sim.models.workload import of_program, rtl_bound_cycles, totals
from sim.processes import processes
from sim.rtl.checks import compare
from sim.rtl.harness import Rtl
from sw.compile import CompiledLayer, DoesNotFit, Encoded, Program, compile_network, sort_orders
from sw.layers import Shape
from sw.quantize import IntegerNetwork, part

SIDE = 32  # of the first layer's map
BATCH = 12  # points a task holds at most
CHECK_CYCLES = 400_000  # of a spot check, by the model
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
    """What a point does not say and its masks depend on."""

    seed: int
    spread: float
    spike_sparsity: float


def evaluate(point: Point, draws: Draws) -> Row:
    """A row: the point and RESULTS, null but for `note` where the array cannot run it."""
    config = point.config
    row: Row = {**asdict(point), **dict.fromkeys(RESULTS)}
    try:
        program = _program(point.masks, config, draws)
    except DoesNotFit as error:
        return {**row, "note": str(error)}
    loads = of_program(program)
    total = totals(loads)
    predicted = predict(program)
    cycles = sum(layer.cycles for layer in predicted)
    bounds = [rtl_bound_cycles(x.work, lanes=config.lanes, n_pe=config.n_pe) for x in loads]
    energy_counts = [
        _counts(*pair, config, draws) for pair in zip(program.layers, predicted, strict=True)
    ]
    table = load_table()
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
            leak=load_technology().leak,
        ),
        "energy_pj": total_pj(lines),
        "pe_area_mm2": config.n_pe * pe_area_um2(table, accounting="rtl", config=config) / 1e6,
    }


def _counts(layer: CompiledLayer, cycles: LayerCycles, config: Config, draws: Draws) -> Counts:
    """For energy in accounting `rtl`, with the spike sparsity that the sweep takes."""
    steps = config.ticks * layer.side**2
    active = steps * (1 - draws.spike_sparsity)
    weights = int(layer.integer.filter_nnz.sum())
    identities = layer.descriptor.filters * layer.descriptor.identity
    counters = {
        **cycles.counters,
        "accumulates": np.array([weights * active]),
        "shortcut_accumulates": np.array([identities * active]),
    }
    return memory.rtl_counts(layer, counters, config)


def evaluate_batch(points: Sequence[Point], draws: Draws) -> list[Row]:
    """Rows of points that share masks."""
    return [evaluate(point, draws) for point in points]


@lru_cache(maxsize=2)
def _network(
    name: str, sparsity: float, policy: str, n_pe: int, ticks: int, seed: int, spread: float
) -> IntegerNetwork:
    return synthetic_network(
        name,
        sparsity=sparsity,
        policy=policy,
        n_pe=n_pe,
        ticks=ticks,
        seed=seed,
        spread=spread,
    )


@lru_cache(maxsize=2)
def _program(masks: tuple[str, float, str, int], config: Config, draws: Draws) -> Program:
    network = _network(*masks, config.ticks, draws.seed, draws.spread)
    orders = sort_orders(network) if masks[2] == "sort" else None
    encoded = _encoded(masks, draws)
    return compile_network(network, config, orders=orders, encoded=encoded)


@lru_cache(maxsize=1)
def _encoded(masks: tuple[str, float, str, int], draws: Draws) -> dict[str, Encoded]:
    """The streams of these masks: whatever the array, they are the same."""
    return {}


def run(
    spec: Spec,
    journal: Path,
    *,
    jobs: int,
    scheduler: str | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> list[Row]:
    """All rows, in the order of the points.

    journal: keeps rows as they come; those of an earlier run of the same sweep are taken from it.
    jobs: processes on this machine. scheduler: address of a Dask scheduler to use instead.
    done: is told how many points came to be there.
    """
    draws = Draws(spec.seed, spec.spread, spec.spike_sparsity)
    rows = read_journal(journal, spec)
    if rows:
        done(len(rows))
    left = [point for point in spec.points if point not in rows]
    tasks = batches(left)
    fresh = not rows
    with open_journal(journal, spec, fresh=fresh) as write, _cluster(jobs, scheduler) as submit:
        for batch, found in submit(tasks, draws):
            for point, row in zip(batch, found, strict=True):
                rows[point] = row
            write(found)
            done(len(found))
    return [rows[point] for point in spec.points]


def batches(points: Sequence[Point]) -> list[list[Point]]:
    """The points in tasks of at most BATCH that share masks."""
    groups: dict[tuple, list[list[Point]]] = {}
    for point in points:
        tasks = groups.setdefault(point.masks, [[]])
        if len(tasks[-1]) == BATCH:
            tasks.append([])
        tasks[-1].append(point)
    return [task for tasks in groups.values() for task in tasks]


Submit = Callable[[Sequence[list[Point]], Draws], Iterator[tuple[list[Point], list[Row]]]]


@contextmanager
def _cluster(jobs: int, scheduler: str | None) -> Iterator[Submit]:
    """Something that evaluates tasks in any order: this process, several, or a Dask cluster."""
    if scheduler is not None:
        with _dask(scheduler) as submit:
            yield submit
        return
    if jobs == 1:

        def here(
            tasks: Sequence[list[Point]], draws: Draws
        ) -> Iterator[tuple[list[Point], list[Row]]]:
            for task in tasks:
                yield task, evaluate_batch(task, draws)

        yield here
        return
    with processes(jobs) as pool:

        def spread(
            tasks: Sequence[list[Point]], draws: Draws
        ) -> Iterator[tuple[list[Point], list[Row]]]:
            futures: dict[Future[list[Row]], list[Point]] = {
                pool.submit(evaluate_batch, task, draws): task for task in tasks
            }
            for future in processes_completed(futures):
                yield futures[future], future.result()

        yield spread


@contextmanager
def _dask(address: str) -> Iterator[Submit]:
    try:
        import distributed
    except ImportError:
        raise BadInput(
            "--scheduler needs Dask: `pip install -e .[sweep]`, as `make sweep` does"
        ) from None
    try:
        client = distributed.Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"--scheduler {address}: {' '.join(str(error).split())}") from None
    with client, client.as_current():
        if not client.scheduler_info()["workers"]:
            raise BadInput(f"--scheduler {address}: it has no workers; allowed: one or more")

        def submit(
            tasks: Sequence[list[Point]], draws: Draws
        ) -> Iterator[tuple[list[Point], list[Row]]]:
            futures = {
                client.submit(evaluate_batch, task, draws, pure=False): task for task in tasks
            }
            for future in distributed.as_completed(futures):
                yield futures[future], future.result()

        yield submit


def code_version() -> str:
    """Changes with the code that decides rows."""
    digest = hashlib.sha256()
    for folder in (Path(hw.__file__).parent, Path(sw.__file__).parent, Path(sim.__file__).parent):
        for path in sorted(
            [*folder.rglob("*.py"), *folder.rglob("*.cpp"), *folder.rglob("*.yaml")]
        ):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _header(spec: Spec) -> dict[str, str]:
    return {"sweep": spec.fingerprint, "code": code_version()}


def read_journal(path: Path, spec: Spec) -> dict[Point, Row]:
    """Rows of this sweep that an earlier run left, by point; none of another sweep or other code."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return {}
    *whole, _ = lines  # what follows the last newline was cut off
    try:
        header, *found = [json.loads(line) for line in whole]
    except ValueError:
        return {}
    if header != _header(spec):
        return {}
    names = [field.name for field in fields(Point)]
    return {Point(**{name: row[name] for name in names}): row for row in found}


@contextmanager
def open_journal(path: Path, spec: Spec, *, fresh: bool) -> Iterator[Callable[[list[Row]], None]]:
    """Something that adds rows, each a line that is either whole or cut off at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if fresh:
        path.write_text(json.dumps(_header(spec)) + "\n", encoding="utf-8")
    else:  # a line that was cut off goes
        text = path.read_text(encoding="utf-8")
        path.write_text(text[: text.rindex("\n") + 1], encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:

        def write(rows: list[Row]) -> None:
            for row in rows:
                file.write(json.dumps(row) + "\n")
            file.flush()

        yield write


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """CSV, or Parquet by the file's name. Raises BadInput where pyarrow is missing."""
    if path.suffix == ".parquet":
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise BadInput(
                f"{path}: Parquet needs pyarrow; allowed: .csv, or `pip install -e .[sweep]`"
            ) from None
        table = pyarrow.table({name: [row[name] for row in rows] for name in COLUMNS})
        with atomic_write(path) as file:
            pyarrow.parquet.write_table(table, file)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def pareto(rows: Sequence[Row], x: str, y: str) -> list[Row]:
    """Rows that no other beats in one of two columns without losing in the other, by x."""
    known = [row for row in rows if row[x] is not None and row[y] is not None]
    best: list[Row] = []
    for row in sorted(known, key=lambda row: (row[x], row[y])):
        if not best or row[y] < best[-1][y]:
            best.append(row)
    return best


@dataclass(frozen=True, kw_only=True)
class SpotCheck:
    """One configuration, its RTL against the models on a program of a point's leading layers."""

    point: Point
    layers: int
    side: int
    cycles: int
    mismatch: str | None


def drawn_points(spec: Spec, count: int) -> list[Point]:
    """Points of different configurations, drawn from the seed; all where there are fewer."""
    by_config: dict[Config, list[Point]] = {}
    for point in spec.points:
        by_config.setdefault(point.config, []).append(point)
    rng = np.random.default_rng([spec.seed, 7])
    chosen = [list(by_config)[i] for i in rng.permutation(len(by_config))[:count]]
    return [by_config[c][int(rng.integers(len(by_config[c])))] for c in chosen]


def spot_check(point: Point, spec: Spec) -> SpotCheck:
    """Build the RTL of a point's configuration and run its network's leading layers on a small map.

    Spikes, every counter of every PE and all cycles are compared. Raises RtlError if the RTL errs.
    """
    config = point.config
    rng = np.random.default_rng([spec.seed, spec.points.index(point)])
    side = int(rng.integers(5, 17))
    network = _network(*point.masks, config.ticks, spec.seed, spec.spread)
    network, program = _leading(network, config, side, sort=point.policy == "sort")
    shape = (config.ticks, *network.input.shape)
    spikes = (rng.random(shape) > spec.spike_sparsity).astype(np.uint8)
    predicted = predict(program)
    with Rtl(config) as rtl:
        done = rtl.run(program, spikes, max_cycles=bound(program, spikes))
    comparison = compare(
        program,
        golden.run(network, spikes),
        done,
        predicted,
        input_cycles=input_cycles(program, spikes),
    )
    return SpotCheck(
        point=point,
        layers=len(program.layers),
        side=side,
        cycles=done.cycles,
        mismatch=comparison.first,
    )


def _leading(
    network: IntegerNetwork, config: Config, side: int, *, sort: bool
) -> tuple[IntegerNetwork, Program]:
    """As many of the network's layers, on a map of `side`, as the array takes in CHECK_CYCLES."""
    best = None
    names = [integer.name for integer in network.array]
    seen = Shape(network.array[0].own.source.channels, side, side)
    for count in range(1, len(names) + 1):
        leading = part(network, names[:count], seen)
        try:
            orders = sort_orders(leading) if sort else None
            program = compile_network(leading, config, orders=orders)
        except DoesNotFit:
            break
        if best is not None and sum(layer.cycles for layer in predict(program)) > CHECK_CYCLES:
            break
        best = leading, program
    if best is None:
        raise BadInput(f"spot check: the first layer does not fit {config}")
    return best
