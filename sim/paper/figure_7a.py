"""Fig. 7a: energy by Eq. 3, and what of the gain is balance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.models.eq3 import eq3, load_technology
from sim.models.technology import tables
from sim.paper.document import Section, column, table
from sim.paper.pairs import LABELS, Pair, cut
from sim.paper.published import published
from sim.reports.drawing import COLORS, legend, plot


@dataclass(frozen=True, kw_only=True)
class Split:
    """Cuts by a u-Ticket in percent, in all and by balance alone."""

    network: str = column("network")
    tables: str = column("tables")
    latency: float = column("latency cut (%)")
    latency_by_balance: float = column("latency cut by balance alone (%)")
    energy: float = column("energy cut (%)")
    energy_by_balance: float = column("energy cut by balance alone (%)")
    work: float = column("fewer steps of work (%)")
    printed_energy: float | None = column("printed energy cut (%)")


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The energy cut with the constants of a technology."""

    technology: str = column("technology")
    leak: float = column("E_leak / E_dyn")
    printed: float = column("printed VGG-16 CIFAR-10 (%)")
    ours: dict[str, float] = column("ours")


def section(pairs: Sequence[Pair]) -> Section:
    """The printed tables, and every pair."""
    fitted = load_technology()
    used, leak = (pairs[0].energies.eq3 if pairs else fitted), fitted.leak
    title = "Energy cut (%) against E_leak / E_dyn: device type of the scratchpad, and clocks never gated"
    return Section(
        key="figure_7a",
        title="Fig. 7a: energy",
        text=(
            f"Eq. 3 with E_leak / E_dyn = {used.leak:g} ({used.name}); the printed rows with the fitted "
            f"{leak:g}. With that ratio the printed Tables I and II give the "
            "printed cuts within half a point. The tickets that the paper compares differ in sparsity: "
            "balance alone is an LTH row without its idle steps."
        ),
        tables=[
            table(
                "What of the gain is balance",
                Split,
                [*printed_splits(leak), *(split(pair, used.leak) for pair in pairs)],
            ),
            table(title, Sensitivity, sensitivity(pairs, leak)),
        ],
        plots={"Energy by Eq. 3, LTH = 1": plot(_plot, pairs, used.leak)} if pairs else {},
        notes=[
            "32nm: itrs-lstp scratchpad and all clocks gated, ratio from the component table. hp, lop: "
            "other devices. ungated: gates, adders and comparators toggle every cycle, as SATA_Sim has "
            "them; with 256 adders a PE the ratio then says more about gating than about balance.",
        ],
    )


def printed_energy(row: dict[str, float], leak: float, *, idle: bool = True) -> float:
    """Eq. 3 of a printed row, in 1e8 E_dyn."""
    active = 1 - row["spikes"] / 100
    return eq3(work=row["work"], idle=row["idle"] if idle else 0, active=active, leak=leak)


def printed_splits(leak: float) -> list[Split]:
    """Of the paper's Tables I and II."""
    rows = []
    for network, sets in published()["tables_1_2"].items():
        for dataset, row in sets.items():
            lth, ours = row["lth"], row["uticket"]
            before = printed_energy(lth, leak)
            rows.append(
                Split(
                    network=f"{network} {dataset}",
                    tables="printed",
                    latency=cut(ours["work"] + ours["idle"], lth["work"] + lth["idle"]),
                    latency_by_balance=cut(lth["work"], lth["work"] + lth["idle"]),
                    energy=cut(printed_energy(ours, leak), before),
                    energy_by_balance=cut(printed_energy(lth, leak, idle=False), before),
                    work=cut(ours["work"], lth["work"]),
                    printed_energy=published()["energy_cut"][network][dataset],
                )
            )
    return rows


def split(pair: Pair, leak: float) -> Split:
    """Of a pair."""
    before, after = pair.lth.totals, pair.uticket.totals
    return Split(
        network=f"{pair.network} {pair.dataset}",
        tables="ours",
        latency=cut(after["latency"], before["latency"]),
        latency_by_balance=cut(before["work"], before["work"] + before["idle"]),
        energy=cut(pair.uticket.energy(leak), pair.lth.energy(leak)),
        energy_by_balance=cut(pair.lth.energy(leak, idle=False), pair.lth.energy(leak)),
        work=cut(after["work"], before["work"]),
        printed_energy=None,
    )


def sensitivity(pairs: Sequence[Pair], leak: float) -> list[Sensitivity]:
    """Of every table of components."""
    ratios = {"paper (fit)": leak, **{name: load_technology(name).leak for name in tables()}}
    printed = published()["tables_1_2"]["vgg16"]["cifar10"]
    return [
        Sensitivity(
            technology=name,
            leak=ratio,
            printed=cut(*(printed_energy(printed[m], ratio) for m in ("uticket", "lth"))),
            ours={
                f"{p.name} (%)": cut(p.uticket.energy(ratio), p.lth.energy(ratio)) for p in pairs
            },
        )
        for name, ratio in ratios.items()
    ]


def _plot(axes: Any, pairs: Sequence[Pair], leak: float) -> None:
    x = np.arange(len(pairs))
    for k, (method, label) in enumerate(LABELS.items()):
        values = [getattr(pair, method).energy(leak) / pair.lth.energy(leak) for pair in pairs]
        bars = axes.bar(x - 0.2 + 0.4 * k, values, 0.36, color=COLORS[k], label=label)
        axes.bar_label(bars, fmt="%.3f", fontsize=8)
    axes.set_xticks(x, [pair.name for pair in pairs])
    axes.set_ylabel("energy")
    legend(axes)
