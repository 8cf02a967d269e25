"""Fig. 4: sparsity and utilization by round of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sim.paper.document import Section, column, table
from sim.paper.pairs import LABELS, Pair, percent
from sim.paper.rounds import rounds
from sim.reports.drawing import COLORS, legend, plot


@dataclass(frozen=True, kw_only=True)
class Row:
    """A ticket after a round."""

    model: str = column("model")
    method: str = column("method")
    round: int = column("round")
    sparsity: float = column("sparsity (%)")
    utilization: float | None = column("utilization (%)")
    occupancy: float | None = column("occupancy (%)")
    accuracy: float | None = column("validation accuracy (%)")


def section(pairs: Sequence[Pair]) -> Section:
    """Both tickets of every pair."""
    rows = {pair.name: by_round(pair) for pair in pairs}
    return Section(
        key="figure_4",
        title="Fig. 4: sparsity and utilization by round",
        text="From what each ticket recorded: weights of every filter at the end of every round.",
        tables=[table("Rounds", Row, list(chain(*rows.values())))],
        plots={
            f"{name}: sparsity and utilization by round": plot(_plot, mine)
            for name, mine in rows.items()
        },
        notes=["Printed: LTH on VGG-16 and CIFAR-10 falls to 59 % after 13 prunings."],
    )


def by_round(pair: Pair) -> list[Row]:
    """Of a pair."""
    return [
        Row(
            model=pair.name,
            method=LABELS[study.method],
            round=one.number,
            sparsity=100 * one.weight_sparsity,
            utilization=percent(one.totals.utilization),
            occupancy=percent(one.totals.occupancy),
            accuracy=percent(
                study.ticket.metadata["history"][one.number].get("validation_accuracy")
            ),
        )
        for study in pair.studies
        for one in rounds(study)
    ]


def _plot(axes: Any, rows: Sequence[Row]) -> None:
    for label, color in zip(LABELS.values(), COLORS, strict=True):
        mine = [row for row in rows if row.method == label]
        x = [row.round for row in mine]
        for name, style in (("sparsity", "s--"), ("utilization", "o-")):
            y = [getattr(row, name) for row in mine]
            axes.plot(x, y, style, color=color, markersize=4, label=f"{label}, {name}")
    axes.set_xlabel("round")
    axes.set_xticks(x)
    axes.set_ylabel("percent")
    axes.set_ylim(0, 105)
    legend(axes)
