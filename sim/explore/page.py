"""The HTML page of a sweep: Pareto plots, the best designs, spot checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.explore.evaluate import COLUMNS, Row, pareto
from sim.explore.spot_check import SpotCheck
from sim.files import atomic_write
from sim.reports.plots import legend, svg

PLOTS = {  # title: x, y with the factors that give their units
    "Cycles against area of the PEs": ("pe_area_mm2", "cycles", "area of the PEs (mm²)", "cycles"),
    "Energy against cycles": ("cycles", "energy_pj", "cycles", "energy of the PEs (pJ)"),
}
SHOWN = (
    "network",
    "sparsity",
    "policy",
    "n_pe",
    "lanes",
    "accumulators",
    "scratchpad_depth",
    "occupancy",
    "efficiency",
    "cycles",
    "energy_pj",
    "pe_area_mm2",
)


def write(name: str, rows: Sequence[Row], checks: Sequence[SpotCheck], path: Path) -> None:
    """The page, whole or not at all."""
    from sim.reports.html import render

    best = pareto(rows, "pe_area_mm2", "cycles")
    text = render(
        "sweep.html.j2",
        name=name,
        count=len(rows),
        refused=[row for row in rows if row["note"]],
        columns=[column.replace("_", " ") for column in SHOWN],
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
        plots={title: svg(_pareto_plot, rows, *axes, height=4) for title, axes in PLOTS.items()},
        fields=COLUMNS,
    )
    with atomic_write(path) as file:
        file.write(text.encode())


def _pareto_plot(
    axes: Any, rows: Sequence[Row], x: str, y: str, label_x: str, label_y: str
) -> None:
    known = [row for row in rows if row[x] is not None]
    for policy in dict.fromkeys(row["policy"] for row in known):
        mine = [row for row in known if row["policy"] == policy]
        axes.plot([r[x] for r in mine], [r[y] for r in mine], ".", markersize=4, label=policy)
    front = pareto(known, x, y)
    axes.step(
        [r[x] for r in front], [r[y] for r in front], "-", color="#222", where="post", linewidth=1,
        label="Pareto front",
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(label_x)
    axes.set_ylabel(label_y)
    legend(axes)
