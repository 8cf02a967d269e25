"""The HTML page of a sweep: Pareto plots, the best designs, spot checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.explore.evaluate import COLUMNS, Row, pareto
from sim.explore.spot_check import SpotCheck
from sim.reports.drawing import INK, legend, plot
from sim.reports.headlines import Headline
from sim.reports.provenance import provenance
from support.files import atomic_write

PLOTS = {  # title: x, y with the factors that give their units
    "Cycles against area of the PEs": ("pe_area_mm2", "cycles", "area of the PEs (mm²)", "cycles"),
    "Energy against cycles": ("cycles", "energy_pj", "cycles", "energy of the PEs (pJ)"),
}
SHOWN = {
    "network": "network",
    "sparsity": "sparsity (share)",
    "policy": "policy",
    "n_pe": "PEs",
    "lanes": "lanes (a PE)",
    "accumulators": "accumulators (a PE)",
    "scratchpad_depth": "scratchpad (words)",
    "occupancy": "occupancy (share)",
    "efficiency": "efficiency (share)",
    "cycles": "cycles",
    "energy_pj": "energy (pJ)",
    "pe_area_mm2": "area of the PEs (mm²)",
}
"""Columns of the table of the best: header with its unit, by field."""


def write(name: str, rows: Sequence[Row], checks: Sequence[SpotCheck], path: Path) -> None:
    """The page, whole or not at all."""
    from sim.reports.html import render

    best = pareto(rows, "pe_area_mm2", "cycles")
    refused = [row for row in rows if row["note"]]
    text = render(
        "sweep.html.j2",
        name=name,
        count=len(rows),
        refused=refused,
        tiles=_headlines(rows, len(refused), len(best), checks),
        provenance=provenance({}),
        columns=list(SHOWN.values()),
        best=[[row[column] for column in SHOWN] for row in best],
        checks=[
            [
                check.point.network,
                check.point.policy,
                check.point.n_pe,
                check.point.lanes,
                check.point.accumulators,
                check.point.scratchpad_depth,
                check.layers,
                check.side,
                check.cycles,
                check.mismatch or "equal",
            ]
            for check in checks
        ],
        plots={title: plot(_pareto_plot, rows, *axes, height=4) for title, axes in PLOTS.items()},
        fields=COLUMNS,
    )
    with atomic_write(path) as file:
        file.write(text.encode())


def _headlines(
    rows: Sequence[Row], refused: int, best: int, checks: Sequence[SpotCheck]
) -> list[Headline]:
    agreed = sum(check.mismatch is None for check in checks)
    fits = f"{len(rows) - refused:,}"
    proof = f"{agreed} of {len(checks)}" if checks else "none"
    return [
        Headline(label="designs", value=f"{len(rows):,}", note=f"{fits} run on the array"),
        Headline(label="best", value=f"{best:,}", note="on the Pareto front of cycles and area"),
        Headline(label="checked in RTL", value=proof, note="equal the cycle model to the cycle"),
    ]


def _pareto_plot(
    axes: Any, rows: Sequence[Row], x: str, y: str, label_x: str, label_y: str
) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    known = [row for row in rows if row[x] is not None]
    thousands = EngFormatter(sep="")
    for policy in dict.fromkeys(row["policy"] for row in known):
        mine = [row for row in known if row["policy"] == policy]
        axes.plot([r[x] for r in mine], [r[y] for r in mine], ".", markersize=4, label=policy)
    front = pareto(known, x, y)
    axes.step(
        [r[x] for r in front], [r[y] for r in front], "-", color=INK, where="post", linewidth=1,
        label="Pareto front",
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(
            lambda value, _: thousands(value) if value >= 1e3 else f"{value:g}"
        )
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label_x)
    axes.set_ylabel(label_y)
    legend(axes)
