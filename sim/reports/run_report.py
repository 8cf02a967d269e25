"""The report of `uticket sim`: JSON, CSV, HTML and the printed table (docs/report.md has every field)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hw.counters import counter_names
from sim.deployment import Run
from sim.models.components import ACCOUNTINGS
from sim.models.eq3 import Energies, energies
from sim.reports import answer
from sim.reports.answer import Answer
from sim.reports.drawing import Plot
from sim.reports.headlines import headlines
from sim.reports.provenance import provenance
from sim.reports.run_numbers import (
    batch_numbers,
    categories,
    component_energy,
    mean,
    pe_cycles,
    row_numbers,
    rows,
)
from sim.reports.units import UNITS
from sim.rtl.batches import BatchResult
from sim.rtl.checks import Comparison
from sim.rtl.rows import RowResult
from support.files import atomic_write, write_json

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
COLUMNS = {  # of the table: header with its unit, by field
    "work": "work (steps)",
    "idle": "idle (steps)",
    "latency": "latency (steps)",
    "utilization": "utilization",
    "occupancy": "occupancy",
    "rtl_cycles": "RTL (cycles)",
    "energy": "energy (E_dyn)",
}
PAGE_COLUMNS = {
    "work": "work (steps)",
    "idle": "idle (steps)",
    "latency": "latency (steps)",
    "utilization": "utilization (share)",
    "occupancy": "occupancy (share)",
    "rtl_cycles": "RTL (cycles)",
    "bound": "fewest possible / RTL (share)",
    "energy": "energy (E_dyn)",
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run found: `content` is report.json, the rest is for plots and tables."""

    content: dict[str, Any]
    run: Run
    baseline: Run | None
    baseline_layers: list[dict[str, Any]]
    mismatch: str | None
    """The first one, in one line with method and image; None where everything agreed."""
    counters: int
    """Counter values compared."""
    answers: list[Answer]
    """Of METHOD, of the baseline, and of what the models say beside them."""

    @property
    def methods(self) -> list[tuple[str, list[dict[str, Any]], dict[str, Any]]]:
        """Name, layers and totals of the baseline, if there is one, and of the method."""
        mine = (self.content["method"], self.content["layers"], self.content["totals"])
        if self.baseline is None:
            return [mine]
        reference = self.content["baseline"]
        return [(reference["method"], self.baseline_layers, reference["totals"]), mine]

    def plots(self) -> dict[str, str]:
        """Those of the page: title and SVG."""
        return {title: plot.wide for title, plot in self.drawings().items()}

    def drawings(self) -> dict[str, Plot]:
        """Plots by title, each for a screen and for a phone."""
        from sim.reports.plots import plots

        runs = {one.deployment.method: one for one in (self.baseline, self.run) if one is not None}
        return plots(
            self.methods,
            self.answers,
            {name: categories(run) for name, run in runs.items()},
            {name: pe_cycles(run) for name, run in runs.items()},
            self.content["components"]["methods"],
        )

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
    run: Run,
    baseline: Run | None,
    labels: np.ndarray | None,
    *,
    beside: Sequence[Run] = (),
    technology: str | None = None,
    view: str = "spikes",
    row: RowResult | None = None,
    batch: BatchResult | None = None,
) -> Report:
    """The report of a method's run, beside that of the baseline.

    model: its name in the report. labels: of the images, None where nobody knows them. beside: more runs, which
    the models alone made (`Deployment.predict`), for `answer`. technology: name or path, see
    `sim.models.eq3.energies`. view: of energy, `eq3.VIEWS`. row: the method's images in a row.
    batch: in batches.
    """
    spent = energies(technology)
    layers, total = rows(run, labels, spent, view)
    other_layers: list[dict[str, Any]] = []
    reference: dict[str, Any] | None = None
    if baseline is not None:
        other_layers, other_total = rows(baseline, labels, spent, view)
        reference = {"method": baseline.deployment.method, "totals": other_total}
    runs = [run] if baseline is None else [run, baseline]
    found = [(run, total)]
    if baseline is not None:
        found.append((baseline, other_total))
    found += [(one, rows(one, labels, spent, view)[1]) for one in beside]
    answers = answer.answers(
        found, None if baseline is None else 1, len(runs), spent.table.clock_mhz
    )
    rtl_s = sum(image.rtl_s for image in run.images)
    metadata = run.deployment.ticket.metadata
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "model": model,
        "method": run.deployment.method,
        "images": len(run.images),
        "ticket": {name: metadata.get(name) for name in TICKET}
        | ({"policy": "sort"} if run.deployment.sort else {}),
        "hardware": run.deployment.config.to_dict(),
        "layers": layers,
        "totals": total,
        "checks": _checks(runs),
        "baseline": reference,
        "reduction": {
            name: answer.saved(total[name], reference["totals"][name]) if reference else None
            for name in ("latency", "energy")
        },
        "components": _components(runs, spent),
        "timing": {
            "build_s": run.build_s,
            "rtl_s": rtl_s,
            "rtl_cycles_per_s": total["rtl_cycles"] * len(run.images) / rtl_s,
        },
        "answer": {
            "clock_mhz": spent.table.clock_mhz,
            "methods": answer.content(answers),
        },
        "provenance": provenance({o.deployment.method: o.deployment.sha256 for o, _ in found}),
    }
    if agreement := _agreement(metadata):
        content["reference"] = agreement
    content |= {"overlap": _overlap(row, run)} if row else {}
    content |= {"batch": _batch(batch, spent)} if batch else {}
    counted = [row for one in runs for image in one.images for row in image.counters]
    mismatches = [one.mismatch for one in runs]
    mismatches += [one.mismatch for one in (row, batch) if one is not None]
    return Report(
        content=content,
        run=run,
        baseline=baseline,
        baseline_layers=other_layers,
        mismatch=next(filter(None, mismatches), None),
        counters=sum(len(values) for row in counted for values in row.values()),
        answers=answers,
    )


def _components(runs: Sequence[Run], spent: Energies) -> dict[str, Any]:
    """Energy of the PEs by component, of each method in each accounting."""
    return {
        "technology": spent.table.name,
        "eq3": spent.eq3.name,
        "unit": "pJ",
        "methods": {
            one.deployment.method: {
                name: component_energy(one, name, spent.table) for name in ACCOUNTINGS
            }
            for one in runs
        },
    }


def _agreement(metadata: dict[str, Any]) -> dict[str, Any] | None:
    """Of an imported ticket, as `uticket import --images` measured it; else None."""
    notes = metadata.get("notes") or {}
    found = notes.get("agreement")
    if not isinstance(found, dict):
        return None
    return {name: found.get(name) for name in ("spikes_equal", "predictions_equal")}


def _overlap(row: RowResult, run: Run) -> dict[str, Any]:
    return row_numbers(row, run) | _match(row.comparisons)


def _batch(found: BatchResult, spent: Energies) -> dict[str, Any]:
    return batch_numbers(found, spent.table) | _match(found.comparisons)


def _match(compared: Sequence[Comparison]) -> dict[str, bool]:
    return {
        "spikes_match": all(one.spikes is None for one in compared),
        "counters_match": all(one.counters is None for one in compared),
        "cycles_match": all(one.cycles is None for one in compared),
    }


def _checks(runs: Sequence[Run]) -> dict[str, Any]:
    compared = [image.comparison for run in runs for image in run.images]
    return {
        "spikes_match": all(one.spikes is None for one in compared),
        "cycles_match": all(one.cycles is None for one in compared)
        and all(run.uneven is None for run in runs),
        "counters_match": all(one.counters is None for one in compared),
        "outputs_compared": sum(one.outputs for one in compared),
    }


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
    counters = counter_names(report.run.deployment.config.machine)
    writer.writerow(["model", "method", "layer", "pe", *counters])
    for run in filter(None, (report.run, report.baseline)):
        for k, layer in enumerate(run.deployment.program.layers):
            sums = {c: np.sum([i.counters[k][c] for i in run.images], axis=0) for c in counters}
            for pe in range(report.content["hardware"]["n_pe"]):
                values = [mean(int(sums[c][pe]), len(run.images)) for c in counters]
                names = [report.content["model"], run.deployment.method]
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

    content, (mine, *others) = report.content, report.answers
    return render(
        "report.html.j2",
        report=content,
        methods=report.methods,
        columns=PAGE_COLUMNS,
        units=UNITS,
        answers=[*others, mine],
        tiles=headlines(
            mine, others, content["components"]["technology"], content["answer"]["clock_mhz"]
        ),
        verdict=report.verdict,
        plots=report.drawings(),
    )
