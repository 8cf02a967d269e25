"""The numbers of a run: `layers`, `totals` and `components` of report.json (docs/report.md)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hw.config import Config
from hw.counters import counter_names, cycle_names
from sim.deployment import Run
from sim.models import memory
from sim.models.components import Counts, add_counts, breakdown, step_counts, total_pj
from sim.models.eq3 import Activity, Energies, layer_energies
from sim.models.event_cycles import CASTER, EventCycles
from sim.models.technology import ComponentTable
from sim.models.workload import Workload, rtl_bound_cycles
from sim.rtl.batches import BatchResult
from sim.rtl.rows import RowResult


def rows(
    run: Run, labels: np.ndarray | None, spent: Energies, view: str = "spikes"
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """`layers` and `totals` of the report: means over the images, ratios of sums.

    labels: of the images, None where nobody knows them. spent: technologies of energy.
    """
    loads = run.deployment.workload
    activities = [_activity(run, row, load) for row, load in enumerate(loads)]
    energies = _with_their_hosts(run, layer_energies(activities, spent.eq3, view=view))
    layers = [
        _layer_row(run, row, load, activity, energy / len(run.images), spent.table)
        for row, (load, activity, energy) in enumerate(
            zip(loads, activities, energies, strict=True)
        )
    ]
    return layers, _total_row(run, layers, labels)


def _layer_numbers(run: Run) -> list[int | None]:
    """For each row the layer whose cycles stand there; a shortcut convolution's are its host's."""
    numbers: list[int | None] = []
    for k, layer in enumerate(run.deployment.program.layers):
        numbers += [*[None] * (len(layer.integer.learned) - 1), k]
    return numbers


def _with_their_hosts(run: Run, energies: list[float]) -> list[float]:
    """A shortcut convolution's energy in its host's row, which comes next: they are one filter."""
    result = []
    waiting = 0.0
    for energy, number in zip(energies, _layer_numbers(run), strict=True):
        waiting += energy
        result.append(0.0 if number is None else waiting)
        waiting = waiting if number is None else 0.0
    return result


def _activity(run: Run, row: int, load: Workload) -> Activity:
    """Of a row, summed over the images."""
    count = len(run.images)
    return Activity(
        work=load.work * count,
        idle=load.idle * count,
        # more is a mismatch, and was told
        accumulates=min(sum(image.accumulates[row] for image in run.images), load.work * count),
        input_zeros=sum(image.input_zeros[row] for image in run.images),
        inputs=sum(image.inputs[row] for image in run.images),
    )


def _layer_row(
    run: Run,
    row: int,
    load: Workload,
    activity: Activity,
    energy: float,
    table: ComponentTable,
) -> dict[str, Any]:
    images, count, config = run.images, len(run.images), run.deployment.config
    k = _layer_numbers(run)[row]
    own = [] if k is None else [k]
    events = _events(run, own)
    spent = breakdown(table, _rtl_counts(run, own), accounting="rtl", config=config)
    return {
        "name": load.name,
        "filters": load.filters,
        "parameters": load.parameters,
        "positions": load.positions,
        "nnz": load.nnz,
        "spike_sparsity": activity.spike_sparsity,
        "input_sparsity": activity.input_sparsity,
        "work": load.work,
        "idle": load.idle,
        "latency": load.latency,
        "utilization": load.utilization,
        "occupancy": load.occupancy,
        "accumulates": mean(sum(image.accumulates[row] for image in images), count),
        **_cycles(run, k),
        "rtl_bound_cycles": _bound(load, events, config),
        "energy": energy,
        "energy_pj": total_pj(spent),
        **events,
    }


def _bound(load: Workload, events: dict[str, Any], config: Config) -> int:
    """Cycles of a layer in which every lane of a sweep has a step, or every bank of the event machine a position."""
    if config.machine != "event":
        return rtl_bound_cycles(load.work, lanes=config.lanes, n_pe=config.n_pe)
    return math.ceil((events["event_work"] or 0) / (config.banks * config.n_pe))


def _cycles(run: Run, k: int | None) -> dict[str, Any]:
    """Of layer k, if a row has one: the mean over images, and the extremes, which differ on the event machine alone."""
    if k is None:
        return {"rtl_cycles": 0, "rtl_cycles_min": 0, "rtl_cycles_max": 0, "model_cycles": 0}
    taken = [image.cycles[k] for image in run.images]
    model = [image.model[k].cycles for image in run.images]
    return {
        "rtl_cycles": mean(sum(taken), len(taken)),
        "rtl_cycles_min": min(taken),
        "rtl_cycles_max": max(taken),
        "model_cycles": mean(sum(model), len(model)),
    }


def _events(run: Run, layers: Sequence[int]) -> dict[str, Any]:
    """What the event machine counts of positions, and where its caster's cycles went, says the cycle model.

    Of some layers, mean over images; None for a sweep, and where there are none.
    """
    models = [image.model[k] for image in run.images for k in layers]
    events = [model for model in models if isinstance(model, EventCycles)]
    found = [model.group_positions for model in events]
    if not found:
        nothing = (
            "event_work",
            "event_idle",
            "dynamic_occupancy",
            *(f"caster_{c}" for c in CASTER),
        )
        return dict.fromkeys(nothing)
    work = sum(int(groups.sum()) for groups in found)
    slots = sum(int(groups.max(axis=1).sum()) * groups.shape[1] for groups in found)
    return {
        "event_work": mean(work, len(run.images)),
        "event_idle": mean(slots - work, len(run.images)),
        "dynamic_occupancy": work / slots if slots else None,
        **{
            f"caster_{c}": mean(sum(model.caster[c] for model in events), len(run.images))
            for c in CASTER
        },
    }


def _total_row(run: Run, layers: list[dict[str, Any]], labels: np.ndarray | None) -> dict[str, Any]:
    """Loading the input is part of the cycles."""
    images, count = run.images, len(run.images)
    load = run.deployment.totals
    sums = {
        name: sum(row[name] for row in layers)
        for name in (
            "accumulates",
            "rtl_cycles",
            "model_cycles",
            "rtl_bound_cycles",
            "energy",
            "energy_pj",
        )
    }
    input_cycles = mean(sum(image.input_cycles for image in images), count)
    rtl_cycles = sums["rtl_cycles"] + input_cycles
    taken = [sum(image.cycles) + image.input_cycles for image in images]
    model_input_cycles = mean(sum(image.model_input_cycles for image in images), count)
    inputs = sum(sum(image.inputs) for image in images)
    predictions = [image.prediction for image in images]
    return {
        "filters": load.filters,
        "parameters": load.parameters,
        "positions": load.positions,
        "nnz": load.nnz,
        "spike_sparsity": 1 - min(sums["accumulates"] / load.work, 1) if load.work else None,
        "input_sparsity": sum(sum(image.input_zeros) for image in images) / inputs,
        "work": load.work,
        "idle": load.idle,
        "latency": load.latency,
        "utilization": load.utilization,
        "occupancy": load.occupancy,
        "accumulates": sums["accumulates"],
        "rtl_cycles": rtl_cycles,
        "rtl_cycles_min": min(taken),
        "rtl_cycles_max": max(taken),
        "model_cycles": sums["model_cycles"] + model_input_cycles,
        "rtl_bound_cycles": sums["rtl_bound_cycles"],
        "energy": sums["energy"],
        "energy_pj": sums["energy_pj"],
        **_events(run, range(len(run.deployment.program.layers))),
        "input_cycles": input_cycles,
        "rtl_efficiency": sums["rtl_bound_cycles"] / rtl_cycles,
        "rtl_accuracy": None if labels is None else float(np.mean(predictions == labels)),
        "predictions": predictions,
        "labels": None if labels is None else labels.tolist(),
    }


def component_energy(run: Run, accounting: str, table: ComponentTable) -> dict[str, Any]:
    """Energy of an image in pJ by component (docs/energy.md), whose parts add up to `total_pj`.

    `paper`: from steps and accumulates. `rtl`: from the RTL's own cycles and what its program reads.
    """
    count, config = len(run.images), run.deployment.config
    layers = run.deployment.program.layers
    if accounting == "rtl":
        counts = _rtl_counts(run, range(len(layers)))
    else:
        loads = run.deployment.workload
        counts = step_counts(
            work=sum(load.work for load in loads),
            idle=sum(load.idle for load in loads),
            accumulates=sum(sum(image.accumulates) for image in run.images) / count,
            accounting=accounting,
            lif_updates=sum(memory.lif_updates(layer, config) for layer in layers),
        )
    lines = breakdown(table, counts, accounting=accounting, config=config)
    return {"components": lines, "total_pj": total_pj(lines)}


def _rtl_counts(run: Run, numbers: Iterable[int]) -> Counts:
    """What the RTL did in some layers, mean over the images."""
    config, count = run.deployment.config, len(run.images)
    names = counter_names(config.machine)
    parts = []
    for k in numbers:
        sums = {c: np.sum([i.counters[k][c] for i in run.images], axis=0) for c in names}
        means = {name: values / count for name, values in sums.items()}
        parts.append(memory.rtl_counts(run.deployment.program.layers[k], means, config))
    return add_counts(parts)


def pe_cycles(run: Run) -> dict[str, np.ndarray]:
    """Where each PE's cycles went over all layers, (n_pe,) by category, of the first image."""
    names = cycle_names(run.deployment.config.machine)
    return {c: np.sum([row[c] for row in run.images[0].counters], axis=0) for c in names}


def categories(run: Run) -> dict[str, np.ndarray]:
    """Where the RTL's cycles went: mean over PEs, (rows of the report,) by category."""
    counters, numbers = run.images[0].counters, _layer_numbers(run)
    return {
        c: np.array([0.0 if k is None else counters[k][c].mean() for k in numbers])
        for c in cycle_names(run.deployment.config.machine)
    }


def row_numbers(found: RowResult, run: Run) -> dict[str, Any]:
    """`overlap` of report.json, but for its checks: all images but the first and the last.

    Each of them follows one, and takes another's input in. run: of the same images, one by one.
    """
    inner = found.images[1:-1]
    alone = [image.input_cycles + sum(image.cycles) for image in run.images[1:-1]]
    periods, latencies = [one.period for one in inner], [one.latency for one in inner]
    each = zip(*(one.cycles for one in inner), strict=True)
    return {
        "images": len(inner),
        "alone_cycles": mean(sum(alone), len(inner)),
        "period_cycles": mean(sum(periods), len(inner)),
        "period_cycles_min": min(periods),
        "period_cycles_max": max(periods),
        "latency_cycles": mean(sum(latencies), len(inner)),
        "latency_cycles_min": min(latencies),
        "latency_cycles_max": max(latencies),
        "layers": [
            {"name": layer.name, "cycles": mean(sum(cycles), len(inner))}
            for layer, cycles in zip(found.program.layers, each, strict=True)
        ],
    }


def told_row(numbers: dict[str, Any]) -> str:
    """Of `row_numbers`, one line."""
    period, alone, latency = (numbers[f"{name}_cycles"] for name in ("period", "alone", "latency"))
    return (
        f"in a row, all but the first and the last: an image each {period:,.0f} cycles, one by one {alone:,.0f}; "
        f"{latency:,.0f} from its input to its end"
    )


def batch_numbers(found: BatchResult, table: ComponentTable) -> dict[str, Any]:
    """`batch` of report.json, but for its checks: all images, the first batch's first input included, which nothing hides."""
    batch, taken, config = found.batch, found.cycles, found.batch.programs[0].config
    images = batch.size * len(taken)
    cycles: dict[str, int] = {}
    counts: dict[str, Counts] = {}
    for k, run in enumerate(found.programs):
        layers = batch.programs[k % len(batch.programs)].layers
        for layer, count, counters in zip(layers, run.cycles, run.counters, strict=True):
            one, name = memory.rtl_counts(layer, counters, config), layer.name
            cycles[name] = cycles.get(name, 0) + count
            counts[name] = add_counts([counts[name], one]) if name in counts else one
    spent = {
        name: total_pj(breakdown(table, one, accounting="rtl", config=config)) / images
        for name, one in counts.items()
    }
    return {
        "size": batch.size,
        "images": images,
        "resident": [layer.name for layer in batch.layers],
        "inputs_early": batch.early,
        "program_beats": mean(batch.beats, batch.size),
        "image_cycles": mean(sum(taken), images),
        "cycles": mean(sum(taken), len(taken)),
        "cycles_min": min(taken),
        "cycles_max": max(taken),
        "energy_pj": sum(spent.values()),
        "layers": [
            {"name": name, "cycles": mean(count, images), "energy_pj": spent[name]}
            for name, count in cycles.items()
        ],
    }


def told_batch(numbers: dict[str, Any]) -> str:
    """Of `batch_numbers`, one line."""
    return (
        f"in batches of {numbers['size']}: an image each {numbers['image_cycles']:,.0f} cycles; "
        f"weights loaded once from {numbers['resident'][0]} on"
    )


def mean(total: int, count: int) -> int | float:
    """An integer where it is one."""
    return total // count if total % count == 0 else total / count
