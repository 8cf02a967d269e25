"""The report of `uticket sim`: JSON, CSV, HTML and the printed table (docs/report.md has every field)."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hw.config import Config
from hw.counters import COUNTERS, CYCLES
from sim.files import atomic_write, write_json
from sim.models import memory
from sim.models.components import (
    ACCOUNTINGS,
    add_counts,
    breakdown,
    load_table,
    step_counts,
    total_pj,
)
from sim.models.eq3 import Activity, Technology, layer_energies, load_technology
from sim.models.workload import Workload, layer_workload, rtl_bound_cycles, totals
from sim.simulate import MethodRun
from sw.balance import filter_nnz

SCHEMA = "uticket-report-1"
TICKET = (
    "network",
    "dataset",
    "accuracy",
    "accuracy_quantized",
    "weight_sparsity",
    "policy",
    "n_pe",
)
TECHNOLOGY = "32nm"  # of the energy by component
COLUMNS = {  # of the table: header with its unit, by field
    "work": "work (steps)",
    "idle": "idle (steps)",
    "latency": "latency (steps)",
    "utilization": "utilization",
    "occupancy": "occupancy",
    "rtl_cycles": "RTL (cycles)",
    "energy": "energy (E_dyn)",
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run found: `content` is report.json, the rest is for plots and tables."""

    content: dict[str, Any]
    run: MethodRun
    baseline: MethodRun | None
    baseline_layers: list[dict[str, Any]]
    mismatch: str | None
    """The first one, in one line with method and image; None where everything agreed."""
    counters: int
    """Counter values compared."""

    @property
    def methods(self) -> list[tuple[str, list[dict[str, Any]], dict[str, Any]]]:
        """Name, layers and totals of the baseline, if there is one, and of the method."""
        mine = (self.content["method"], self.content["layers"], self.content["totals"])
        if self.baseline is None:
            return [mine]
        reference = self.content["baseline"]
        return [(reference["method"], self.baseline_layers, reference["totals"]), mine]

    @property
    def verdict(self) -> str:
        """One line: what was proven, or what failed."""
        if self.mismatch is not None:
            return f"mismatch: {self.mismatch}"
        content = self.content
        images = f"{content['images']} image" + ("s" if content["images"] > 1 else "")
        return (
            f"proven: {content['checks']['outputs_compared']:,} output values "
            f"({', '.join(name for name, _, _ in self.methods)}; {images}) equal the golden model's, "
            f"{self.counters:,} counters of {content['hardware']['n_pe']} PEs and the cycles of every "
            "layer equal the models'"
        )


def build(
    model: str,
    config: Config,
    run: MethodRun,
    baseline: MethodRun | None,
    labels: np.ndarray,
    *,
    build_s: float,
    view: str = "spikes",
) -> Report:
    """The report of a method's run, beside that of the baseline. view: of energy, `energy.VIEWS`."""
    technology = load_technology()
    layers, total = rows(run, config, technology, labels, view)
    other_layers: list[dict[str, Any]] = []
    reference: dict[str, Any] | None = None
    if baseline is not None:
        other_layers, other_total = rows(baseline, config, technology, labels, view)
        reference = {"method": baseline.prepared.method.name, "totals": other_total}
    runs = [run] if baseline is None else [run, baseline]
    compared = [image.comparison for one in runs for image in one.images]
    metadata = run.prepared.metadata
    rtl_s = sum(image.rtl_s for image in run.images)
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "model": model,
        "method": run.prepared.method.name,
        "images": len(run.images),
        "ticket": {name: metadata[name] for name in TICKET}
        | ({"policy": "sort"} if run.prepared.method.sort else {}),
        "hardware": config.to_dict(),
        "layers": layers,
        "totals": total,
        "checks": {
            "spikes_match": all(c.spikes is None for c in compared),
            "cycles_match": all(c.cycles is None for c in compared)
            and all(one.uneven is None for one in runs),
            "counters_match": all(c.counters is None for c in compared),
            "outputs_compared": sum(c.outputs for c in compared),
        },
        "baseline": reference,
        "reduction": {
            name: _reduction(total[name], reference["totals"][name]) if reference else None
            for name in ("latency", "energy")
        },
        "components": {
            "technology": TECHNOLOGY,
            "unit": "pJ",
            "methods": {
                one.prepared.method.name: {
                    accounting: component_energy(one, config, accounting)
                    for accounting in ACCOUNTINGS
                }
                for one in runs
            },
        },
        "timing": {
            "build_s": build_s,
            "rtl_s": rtl_s,
            "rtl_cycles_per_s": total["rtl_cycles"] * len(run.images) / rtl_s,
        },
    }
    return Report(
        content=content,
        run=run,
        baseline=baseline,
        baseline_layers=other_layers,
        mismatch=next(filter(None, map(_first_mismatch, runs)), None),
        counters=sum(
            len(values)
            for one in runs
            for i in one.images
            for row in i.counters
            for values in row.values()
        ),
    )


def rows(
    run: MethodRun,
    config: Config,
    technology: Technology,
    labels: np.ndarray,
    view: str = "spikes",
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """`layers` and `totals` of the report: means over the images, ratios of sums."""
    loads = workloads(run, config)
    activities = [_activity(run, row, load) for row, load in enumerate(loads)]
    energies = layer_energies(activities, technology, view=view)
    layers = [
        _layer_row(run, row, load, config, activity, energy / len(run.images))
        for row, (load, activity, energy) in enumerate(
            zip(loads, activities, energies, strict=True)
        )
    ]
    return layers, _total_row(run, loads, layers, labels)


def workloads(run: MethodRun, config: Config) -> list[Workload]:
    """Of each source of each layer, its filters in the order in which they are loaded."""
    return [
        layer_workload(
            part.layer.name,
            filter_nnz(part.mask)[layer.order],
            parameters=part.mask.size,
            positions=layer.side**2,
            ticks=config.ticks,
            n_pe=config.n_pe,
        )
        for layer in run.prepared.program.layers
        for part in layer.sources
    ]


def _layer_numbers(run: MethodRun) -> list[int | None]:
    """For each row the layer whose cycles stand there; a shortcut convolution's are its host's."""
    numbers: list[int | None] = []
    for k, layer in enumerate(run.prepared.program.layers):
        numbers += [k] if layer.convolution is None else [None, k]
    return numbers


def _activity(run: MethodRun, row: int, load: Workload) -> Activity:
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
    run: MethodRun, row: int, load: Workload, config: Config, activity: Activity, energy: float
) -> dict[str, Any]:
    images, count = run.images, len(run.images)
    k = _layer_numbers(run)[row]
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
        "accumulates": _mean(sum(image.accumulates[row] for image in images), count),
        "rtl_cycles": 0 if k is None else _mean(sum(image.cycles[k] for image in images), count),
        "model_cycles": 0 if k is None else run.prepared.cycles[k].cycles,
        "rtl_bound_cycles": rtl_bound_cycles(load.work, lanes=config.lanes, n_pe=config.n_pe),
        "energy": energy,
    }


def _total_row(
    run: MethodRun, loads: list[Workload], layers: list[dict[str, Any]], labels: np.ndarray
) -> dict[str, Any]:
    """Loading the input is part of the cycles."""
    images, count = run.images, len(run.images)
    load = totals(loads)
    sums = {
        name: sum(row[name] for row in layers)
        for name in ("accumulates", "rtl_cycles", "model_cycles", "rtl_bound_cycles", "energy")
    }
    input_cycles = _mean(sum(image.input_cycles for image in images), count)
    rtl_cycles = sums["rtl_cycles"] + input_cycles
    model_input_cycles = _mean(sum(image.model_input_cycles for image in images), count)
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
        "model_cycles": sums["model_cycles"] + model_input_cycles,
        "rtl_bound_cycles": sums["rtl_bound_cycles"],
        "energy": sums["energy"],
        "input_cycles": input_cycles,
        "rtl_efficiency": sums["rtl_bound_cycles"] / rtl_cycles,
        "rtl_accuracy": float(np.mean(np.array(predictions) == labels)),
        "predictions": predictions,
        "labels": labels.tolist(),
    }


def component_energy(run: MethodRun, config: Config, accounting: str) -> dict[str, Any]:
    """Energy of an image in pJ by component (docs/energy.md), whose parts add up to `total_pj`.

    `paper`: from steps and accumulates. `rtl`: from the RTL's own cycles and what its program reads.
    """
    table, count = load_table(TECHNOLOGY), len(run.images)
    layers = run.prepared.program.layers
    if accounting == "rtl":
        parts = []
        for k, layer in enumerate(layers):
            sums = {c: np.sum([i.counters[k][c] for i in run.images], axis=0) for c in COUNTERS}
            means = {name: values / count for name, values in sums.items()}
            parts.append(memory.rtl_counts(layer, means, config))
        counts = add_counts(parts)
    else:
        loads = workloads(run, config)
        counts = step_counts(
            work=sum(load.work for load in loads),
            idle=sum(load.idle for load in loads),
            accumulates=sum(sum(image.accumulates) for image in run.images) / count,
            accounting=accounting,
            lif_updates=sum(memory.lif_updates(layer, config) for layer in layers),
        )
    lines = breakdown(table, counts, accounting=accounting, config=config)
    return {"components": lines, "total_pj": total_pj(lines)}


def write(report: Report, folder: Path, json_path: Path | None = None) -> None:
    """Write report.json, report.html and counters.csv into `folder`, each whole or not at all.

    json_path: where the JSON goes, too.
    """
    html, table = page(report), counters_csv(report)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("counters.csv", table), ("report.html", html)):
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    write_json(folder / "report.json", report.content)
    if json_path is not None:
        write_json(json_path, report.content)


def counters_csv(report: Report) -> str:
    """Every counter of every PE, per image (accumulates: the mean), as the RTL counted them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "method", "layer", "pe", *COUNTERS])
    for run in filter(None, (report.run, report.baseline)):
        for k, layer in enumerate(run.prepared.program.layers):
            sums = {c: np.sum([i.counters[k][c] for i in run.images], axis=0) for c in COUNTERS}
            for pe in range(report.content["hardware"]["n_pe"]):
                values = [_mean(int(sums[c][pe]), len(run.images)) for c in COUNTERS]
                names = [report.content["model"], run.prepared.method.name]
                writer.writerow([*names, layer.integer.layer.name, pe, *values])
    return text.getvalue()


def table_rows(report: Report) -> tuple[list[str], list[list[object]], list[object]]:
    """Header, rows and last row of the printed table: of each layer the baseline, then the method."""
    methods = report.methods

    def cells(name: str, method: str, row: dict[str, Any]) -> list[object]:
        whole = {field: f"{row[field]:,.0f}" for field in ("rtl_cycles", "energy")}
        return [name, method, *((row | whole)[field] for field in COLUMNS)]

    lines = [
        cells(row["name"], method, row)
        for pair in zip(*(layers for _, layers, _ in methods), strict=True)
        for (method, _, _), row in zip(methods, pair, strict=True)
    ]
    *before, last = [cells("total", method, total) for method, _, total in methods]
    return ["layer", "method", *COLUMNS.values()], [*lines, *before], last


def page(report: Report) -> str:
    """The HTML page, complete in itself."""
    from sim.reports.html import render
    from sim.reports.plots import plots

    runs = _runs(report)
    return render(
        "report.html.j2",
        report=report.content,
        methods=report.methods,
        columns=COLUMNS,
        verdict=report.verdict,
        plots=plots(
            report.methods,
            {name: categories(run) for name, run in runs.items()},
            {name: pe_cycles(run) for name, run in runs.items()},
            report.content["components"]["methods"],
        ),
    )


def pe_cycles(run: MethodRun) -> dict[str, np.ndarray]:
    """Where each PE's cycles went over all layers, (n_pe,) by category, of the first image."""
    return {c: np.sum([row[c] for row in run.images[0].counters], axis=0) for c in CYCLES}


def categories(run: MethodRun) -> dict[str, np.ndarray]:
    """Where the RTL's cycles went: mean over PEs, (rows of the report,) by category."""
    counters, numbers = run.images[0].counters, _layer_numbers(run)
    return {
        c: np.array([0.0 if k is None else counters[k][c].mean() for k in numbers]) for c in CYCLES
    }


def _runs(report: Report) -> dict[str, MethodRun]:
    return {r.prepared.method.name: r for r in (report.baseline, report.run) if r is not None}


def _first_mismatch(run: MethodRun) -> str | None:
    name = run.prepared.method.name
    found = ((i, image.comparison.first) for i, image in enumerate(run.images))
    told = next((f"{name}, image {i}: {text}" for i, text in found if text), None)
    return told or (f"{name}: {run.uneven}" if run.uneven else None)


def _mean(total: int, count: int) -> int | float:
    return total // count if total % count == 0 else total / count


def _reduction(mine: float, other: float) -> float | None:
    return 1 - mine / other if other else None
