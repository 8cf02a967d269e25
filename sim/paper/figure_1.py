"""Fig. 1: the u-Ticket and other ways to keep PEs busy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.models.workload import Workload
from sim.paper.document import Section, Table, column, table
from sim.paper.pairs import LABELS, Pair, percent
from sim.paper.published import published
from sim.paper.rounds import TicketRound, pruned_rounds
from sim.reports.drawing import COLORS, legend, plot
from sim.rivals import rivals
from sim.rivals.base import Load, Operand, Rival, Task, Total, network, synthetic_mask
from sim.study import LayerStudy

OWN = LABELS["uticket"]
BASE = "as it is"
NOTES = [
    "Area: FIFOs of 16 bits and accumulators from the 32 nm rows of the component table.",
    "Before the last round only the number of weights of each filter is recorded; where they "
    "lie is drawn, and the spikes are the final ticket's.",
]


@dataclass(frozen=True, kw_only=True)
class Final:
    """A method on the final masks."""

    method: str = column("method")
    utilization: float | None = column("utilization (%)")
    occupancy: float | None = column("occupancy (%)")
    busy: float = column("busy (M cycles)")
    latency: float = column("latency (M cycles)")
    relative: float = column("latency (as it is = 1)")
    area: float | None = column("added area (% of PEs)")


@dataclass(frozen=True, kw_only=True)
class Point:
    """A method after a round of pruning."""

    sparsity: float = column("sparsity (%)")
    method: str = column("method")
    utilization: float | None = column("utilization (%)")
    occupancy: float | None = column("occupancy (%)")


@dataclass(frozen=True, kw_only=True)
class Printed:
    """What the paper's figure has."""

    method: str = column("method")
    utilization: float = column("utilization (%)")
    sparsity: float = column("at sparsity (%)")
    area: float = column("added area (% of chip)")


def section(pairs: Sequence[Pair]) -> Section:
    """Rivals on the final masks and by sparsity."""
    tables: list[Table] = []
    plots = {}
    for pair in pairs:
        where = f"at {100 * pair.lth.totals['weight_sparsity']:.2f} % sparsity"
        title = f"{pair.name}: {where}, {pair.lth.config.n_pe} PEs"
        found = points(pair)
        tables.append(table(title, Final, final(pair)))
        tables.append(table(f"{pair.name}: by sparsity", Point, found))
        if len({f"{point.sparsity:.1f}" for point in found}) > 1:
            plots[f"{pair.name}: utilization (Eq. 2) against weight sparsity"] = plot(
                _curves, found
            )
        else:
            plots[f"{pair.name}: utilization (Eq. 2) {where}"] = plot(_bars, found)
    printed = [
        Printed(method=n, utilization=r["utilization"], sparsity=r["sparsity"], area=r["area"])
        for n, r in published()["figure_1"].items()
    ]
    tables.append(table("Printed, from other papers' networks and chips", Printed, printed))
    return Section(
        key="figure_1",
        title="Fig. 1: u-Ticket and other ways to keep PEs busy",
        text=(
            "All on the same masks and the same array: one (weight, position) pair a cycle and PE, all "
            "ticks at once. The u-Ticket runs its own mask, the others the lottery ticket's."
        ),
        tables=tables,
        plots=plots,
        notes=[*(f"{name}: {one.note}" for name, one in rivals().items() if one.note), *NOTES],
    )


def final(pair: Pair) -> list[Final]:
    """All methods on the final masks; some on the u-Ticket's, too."""
    n_pe, components = pair.lth.config.n_pe, pair.energies.table
    masks, own = tasks(pair.lth.layers), tasks(pair.uticket.layers)
    base = rivals()[BASE]
    first = base.total(masks, n_pe).latency

    def row(name: str, rival: Rival, work: Sequence[Task]) -> Final:
        total = rival.total(work, n_pe)
        return Final(
            method=name,
            utilization=percent(total.utilization),
            occupancy=percent(total.occupancy),
            busy=total.busy / 1e6,
            latency=total.latency / 1e6,
            relative=total.latency / first,
            area=percent(rival.added_area(components, n_pe)),
        )

    rows = [row(OWN, base, own)]
    for rival in rivals().values():
        rows += [row(one.label, one, masks) for one in rival.variants()]
        if rival.on_uticket:
            rows += [row(f"{one.label}, on the u-Ticket", one, own) for one in rival.variants()]
    return rows


def points(pair: Pair) -> list[Point]:
    """Every method after each round of pruning."""
    n_pe = pair.lth.config.n_pe
    rows = [
        _point(one, OWN, network([_load(load, n_pe) for load in one.loads]))
        for one in pruned_rounds(pair.uticket)
    ]
    kept = pruned_rounds(pair.lth)
    every = [tasks(pair.lth.layers) if one is kept[-1] else _drawn(one) for one in kept]
    for rival in rivals().values():
        rows += [
            _point(one, rival.name, rival.total(its, n_pe))
            for one, its in zip(kept, every, strict=True)
        ]
    return rows


def tasks(layers: Sequence[LayerStudy], masks: Sequence[np.ndarray] | None = None) -> list[Task]:
    """Layers for the rivals, a shortcut with its host, filters in the network's own order.

    masks: of each row, by default the ticket's.
    """
    result, waiting = [], []
    for layer, mask in zip(layers, masks or [x.source.mask for x in layers], strict=True):
        waiting.append(Operand(source=layer.source.source, mask=mask, spikes=layer.spikes))
        if layer.cycles is not None:  # the layer's own row comes last
            operands = tuple(reversed(waiting))
            result.append(Task(operands=operands, positions=layer.load.positions))
            waiting = []
    return result


def _point(one: TicketRound, name: str, total: Total) -> Point:
    return Point(
        sparsity=100 * one.weight_sparsity,
        method=name,
        utilization=percent(total.utilization),
        occupancy=percent(total.occupancy),
    )


def _load(load: Workload, n_pe: int) -> Load:
    return Load(
        busy=load.work,
        latency=load.latency,
        n_pe=n_pe,
        utilization=load.utilization,
        parameters=load.parameters,
    )


def _drawn(one: TicketRound) -> list[Task]:
    """The layers of a round of which only the weights a filter are known."""
    masks = [
        synthetic_mask(nnz, layer.source.mask.shape, np.random.default_rng(one.number))
        for layer, nnz in zip(one.study.layers, one.nnz, strict=True)
    ]
    return tasks(one.study.layers, masks)


def _styles() -> dict[str, tuple[str, str]]:
    """Color and line of each method."""
    return {OWN: (COLORS[1], "o-")} | {name: rival.style for name, rival in rivals().items()}


def _bars(axes: Any, rows: Sequence[Point]) -> None:
    """Of tickets pruned in one round."""
    colors = [_styles()[row.method][0] for row in rows]
    axes.barh([row.method for row in rows], [row.utilization for row in rows], color=colors)
    axes.invert_yaxis()
    axes.set_xlabel("utilization (%)")
    axes.set_xlim(0, 105)


def _curves(axes: Any, rows: Sequence[Point]) -> None:
    for name, (color, style) in _styles().items():
        mine = [row for row in rows if row.method == name]
        x, y = [row.sparsity for row in mine], [row.utilization for row in mine]
        axes.plot(x, y, style, color=color, markersize=4, label=name)
    axes.set_xlabel("weight sparsity (%)")
    axes.set_ylabel("utilization (%)")
    axes.set_ylim(0, 105)
    legend(axes)
