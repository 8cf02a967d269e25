"""Fig. 7b: the energy cut by sparsity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sim.paper.document import Section, column, table
from sim.paper.pairs import Pair, cut
from sim.paper.rounds import pruned_rounds
from sim.reports.drawing import legend, plot


@dataclass(frozen=True, kw_only=True)
class Row:
    """Both tickets of a pair after the same round of pruning."""

    model: str = column("model")
    lth: float = column("LTH sparsity (%)")
    uticket: float = column("u-Ticket sparsity (%)")
    energy: float | None = column("energy cut (%)")
    latency: float = column("latency cut (%)")


def section(pairs: Sequence[Pair]) -> Section:
    """Every pair."""
    rows = [row for pair in pairs for row in by_round(pair, pair.energies.eq3.leak)]
    title = "Energy cut against sparsity of the lottery ticket"
    return Section(
        key="figure_7b",
        title="Fig. 7b: energy cut by sparsity",
        text=(
            "Both tickets after the same round of pruning, Eq. 3 with the share of zeros that was recorded "
            "for each layer's input in that round (at that round's ticks)."
        ),
        tables=[table("Rounds", Row, rows)],
        plots={title: plot(_plot, rows)} if rows else {},
        notes=["The paper's claim is the trend: the sparser, the larger the gain."],
    )


def by_round(pair: Pair, leak: float) -> list[Row]:
    """Of a pair."""
    rows = []
    for before, after in zip(pruned_rounds(pair.lth), pruned_rounds(pair.uticket), strict=False):
        one, other = before.energy(leak), after.energy(leak)
        rows.append(
            Row(
                model=pair.name,
                lth=100 * before.weight_sparsity,
                uticket=100 * after.weight_sparsity,
                energy=None if one is None or other is None else cut(other, one),
                latency=cut(after.totals.latency, before.totals.latency),
            )
        )
    return rows


def _plot(axes: Any, rows: Sequence[Row]) -> None:
    for name in dict.fromkeys(row.model for row in rows):
        mine = [row for row in rows if row.model == name and row.energy is not None]
        x, y = [row.lth for row in mine], [row.energy for row in mine]
        axes.plot(x, y, "o-", markersize=4, label=name)
    axes.set_xlabel("weight sparsity of the lottery ticket (%)")
    axes.set_ylabel("energy cut (%)")
    legend(axes)
