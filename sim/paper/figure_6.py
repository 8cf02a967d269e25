"""Fig. 6: work, idle, latency and utilization, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from sim.paper.document import Section, column, table
from sim.paper.pairs import LABELS, Pair
from sim.reports.drawing import COLORS, legend, name_ticks, plot

PLOTS = {"work": "M steps", "idle": "M steps", "latency": "M steps", "utilization": "share of 1"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A layer of a ticket."""

    model: str = column("model")
    layer: str = column("layer")
    method: str = column("method")
    work: float = column("work (M steps)")
    idle: float = column("idle (M steps)")
    latency: float = column("latency (M steps)")
    utilization: float | None = column("utilization (share)")
    occupancy: float | None = column("occupancy (share)")
    spike_sparsity: float | None = column("spike sparsity (share)")
    cycles: int | None = column("RTL (cycles)")


def section(pairs: Sequence[Pair]) -> Section:
    """Both tickets of every pair."""
    rows = {pair.name: by_layer(pair) for pair in pairs}
    return Section(
        key="figure_6",
        title="Fig. 6: layer by layer",
        text="Early layers, with large maps, have most of the work and most of the idle steps.",
        tables=[table("Layers", Row, list(chain(*rows.values())))],
        plots={
            f"{name}: {quantity} by layer ({unit})": plot(_plot, mine, quantity, height=2.2)
            for name, mine in rows.items()
            for quantity, unit in PLOTS.items()
        },
    )


def by_layer(pair: Pair) -> list[Row]:
    """Of a pair, the lottery ticket's layer before the u-Ticket's."""
    return [
        Row(
            model=pair.name,
            layer=layer.load.name,
            method=LABELS[study.method],
            work=layer.load.work / 1e6,
            idle=layer.load.idle / 1e6,
            latency=layer.load.latency / 1e6,
            utilization=layer.load.utilization,
            occupancy=layer.load.occupancy,
            spike_sparsity=layer.spike_sparsity,
            cycles=layer.cycles.cycles if layer.cycles else None,
        )
        for both in zip(*(study.layers for study in pair.studies), strict=True)
        for study, layer in zip(pair.studies, both, strict=True)
    ]


def _plot(axes: Any, rows: Sequence[Row], quantity: str) -> None:
    names = list(dict.fromkeys(row.layer for row in rows))
    x = np.arange(len(names))
    for k, (label, color) in enumerate(zip(LABELS.values(), COLORS, strict=True)):
        values = [getattr(row, quantity) for row in rows if row.method == label]
        heights = np.array(values, float)  # None is no bar
        axes.bar(x - 0.2 + 0.4 * k, heights, 0.38, color=color, label=label)
    name_ticks(axes, [name.replace("conv", "") for name in names])
    axes.set_xlabel("layer (conv)")
    legend(axes)
