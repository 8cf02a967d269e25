"""The paper's Fig. 7, 8 and 9, and its claims at equal sparsity, from our tickets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.models import memory
from sim.models.components import (
    ACCOUNTINGS,
    TABLES,
    breakdown,
    load_table,
    merge,
    step_counts,
    total_pj,
)
from sim.models.eq3 import load_technology
from sim.models.memory import KINDS, Accesses
from sim.models.workload import totals
from sim.paper import rivals
from sim.paper.document import Claim, Pair, Section, Table
from sim.paper.published import published
from sim.paper.work import LABELS, percent, printed_rows, pruned_rounds
from sim.reports.plots import COLORS, ENERGY, energy_stack, legend, stack, svg
from sim.study import Study, TicketRound
from sw import wsp

PARTS = {"pe": "#1f6fb4", "glb": "#35978f", "glb_leakage": "#a6dba0", "dram": "#e08214"}


def cut(mine: float, other: float) -> float:
    """By how many percent `mine` is less."""
    return 100 * (1 - mine / other)


def eq3(row: dict[str, float], ratio: float, *, idle: bool = True) -> float:
    """Energy of a printed row, in 1e8 E_dyn."""
    standing = row["work"] + (row["idle"] if idle else 0)
    return row["work"] * (1 - row["spikes"] / 100) + ratio * standing


def splits(pairs: Sequence[Pair], ratio: float) -> list[tuple[object, ...]]:
    """Latency and energy cuts, in all and by balance alone: printed tables, then our tickets."""
    rows: list[tuple[object, ...]] = []
    for network, sets in published()["tables_1_2"].items():
        for dataset, row in sets.items():
            lth, ours = row["lth"], row["uticket"]
            rows.append(
                (
                    f"{network} {dataset}",
                    "printed",
                    cut(ours["work"] + ours["idle"], lth["work"] + lth["idle"]),
                    cut(lth["work"], lth["work"] + lth["idle"]),
                    cut(eq3(ours, ratio), eq3(lth, ratio)),
                    cut(eq3(lth, ratio, idle=False), eq3(lth, ratio)),
                    cut(ours["work"], lth["work"]),
                    published()["energy_cut"][network][dataset],
                )
            )
    for pair in pairs:
        before, after = pair.lth.totals, pair.uticket.totals
        steps = before["work"] + before["idle"]
        alone = before["accumulates"] + ratio * before["work"]
        rows.append(
            (
                f"{pair.network} {pair.dataset}",
                "ours",
                cut(after["latency"], before["latency"]),
                cut(before["work"], steps),
                cut(pair.uticket.energy(ratio), pair.lth.energy(ratio)),
                cut(alone, pair.lth.energy(ratio)),
                cut(after["work"], before["work"]),
                None,
            )
        )
    return rows


def figure_7a(pairs: Sequence[Pair], ratio: float) -> Section:
    """Energy, and what of the gain is balance."""
    ratios = {"paper (fit)": ratio, **{name: load_technology(name).leak for name in TABLES}}
    sensitivity = []
    for name, r in ratios.items():
        printed = published()["tables_1_2"]["vgg16"]["cifar10"]
        ours = [cut(p.uticket.energy(r), p.lth.energy(r)) for p in pairs]
        sensitivity.append(
            (name, r, cut(eq3(printed["uticket"], r), eq3(printed["lth"], r)), *ours)
        )
    plots = {}
    if pairs:
        plots["Energy by Eq. 3, LTH = 1"] = svg(_energy_plot, pairs, ratio)
    return Section(
        key="figure_7a",
        title="Fig. 7a: energy",
        text=(
            f"Eq. 3 with E_leak / E_dyn = {ratio:g}. With that ratio the printed Tables I and II give the "
            "printed cuts within half a point. The tickets that the paper compares differ in sparsity: "
            "balance alone is an LTH row without its idle steps."
        ),
        tables=[
            Table(
                title="What of the gain is balance",
                columns=(
                    "network",
                    "tables",
                    "latency cut (%)",
                    "by balance alone (%)",
                    "energy cut (%)",
                    "by balance alone (%)",
                    "fewer steps of work (%)",
                    "printed energy cut (%)",
                ),
                rows=splits(pairs, ratio),
            ),
            Table(
                title="Energy cut (%) against E_leak / E_dyn: device type of the scratchpad, and clocks never gated",
                columns=(
                    "technology",
                    "E_leak / E_dyn",
                    "printed VGG-16 CIFAR-10",
                    *(pair.name for pair in pairs),
                ),
                rows=sensitivity,
            ),
        ],
        plots=plots,
        notes=[
            "32nm: itrs-lstp scratchpad and all clocks gated, ratio from the component table. hp, lop: "
            "other devices. ungated: gates, adders and comparators toggle every cycle, as SATA_Sim has "
            "them; with 256 adders a PE the ratio then says more about gating than about balance.",
        ],
    )


def _energy_plot(axes: Any, pairs: Sequence[Pair], ratio: float) -> None:
    x = np.arange(len(pairs))
    for k, method in enumerate(("lth", "uticket")):
        values = [getattr(pair, method).energy(ratio) / pair.lth.energy(ratio) for pair in pairs]
        bars = axes.bar(x - 0.2 + 0.4 * k, values, 0.36, color=COLORS[k], label=LABELS[method])
        axes.bar_label(bars, fmt="%.3f", fontsize=8)
    axes.set_xticks(x, [pair.name for pair in pairs])
    axes.set_ylabel("energy")
    legend(axes)


def round_energy(study: Study, one: TicketRound, ratio: float) -> float | None:
    """Eq. 3 of a round with its own inputs' sparsity; None where that was not measured."""
    energy = 0.0
    for load, silent in zip(one.loads, one.input_sparsity, strict=True):
        if silent is None:
            return None
        energy += load.work * (1 - silent) + ratio * (load.work + load.idle)
    return energy


def figure_7b(pairs: Sequence[Pair], ratio: float) -> Section:
    """Energy cut by sparsity."""
    rows = []
    for pair in pairs:
        for before, after in zip(
            pruned_rounds(pair.lth), pruned_rounds(pair.uticket), strict=False
        ):
            one, other = (
                round_energy(s, r, ratio)
                for s, r in zip(pair.studies, (before, after), strict=True)
            )
            rows.append(
                (
                    pair.name,
                    100 * before.weight_sparsity,
                    100 * after.weight_sparsity,
                    None if one is None or other is None else cut(other, one),
                    cut(totals(after.loads).latency, totals(before.loads).latency),
                )
            )
    plots = {}
    if rows:
        plots["Energy cut against sparsity of the lottery ticket"] = svg(_cut_plot, rows)
    return Section(
        key="figure_7b",
        title="Fig. 7b: energy cut by sparsity",
        text=(
            "Both tickets after the same round of pruning, Eq. 3 with the share of zeros that was recorded "
            "for each layer's input in that round (at that round's ticks)."
        ),
        tables=[
            Table(
                title="Rounds",
                columns=(
                    "model",
                    "LTH sparsity (%)",
                    "u-Ticket sparsity (%)",
                    "energy cut (%)",
                    "latency cut (%)",
                ),
                rows=rows,
            )
        ],
        plots=plots,
        notes=["The paper's claim is the trend: the sparser, the larger the gain."],
    )


def _cut_plot(axes: Any, rows: Sequence[Sequence[Any]]) -> None:
    for name in dict.fromkeys(row[0] for row in rows):
        points = [(row[1], row[3]) for row in rows if row[0] == name and row[3] is not None]
        x, y = [point[0] for point in points], [point[1] for point in points]
        axes.plot(x, y, "o-", markersize=4, label=name)
    axes.set_xlabel("weight sparsity of the lottery ticket (%)")
    axes.set_ylabel("energy cut (%)")
    legend(axes)


def figure_8(pairs: Sequence[Pair]) -> Section:
    """Energy by component."""
    table = load_table()
    rows, shares, plots = [], [], {}
    for pair in pairs:
        for accounting in ACCOUNTINGS:
            bars = {}
            for study in pair.studies:
                lines = study.lines(table, accounting)
                merged = bars[LABELS[study.method]] = merge(lines)
                total = total_pj(lines)
                where = (pair.name, accounting, LABELS[study.method])
                shares.append(
                    (*where, *(100 * value / total for value in merged.values()), total / 1e6)
                )
                rows += [
                    (
                        *where,
                        name,
                        *(part / 1e6 for part in line.values()),
                        sum(line.values()) / 1e6,
                    )
                    for name, line in lines.items()
                ]
            plots[f"{pair.name}, accounting {accounting} (µJ)"] = svg(
                energy_stack, bars, height=1.6
            )
    return Section(
        key="figure_8",
        title="Fig. 8: energy by component",
        text=(
            "Counts x components at 32 nm. D is dynamic, L what a cycle costs whatever happens in it; MEM is "
            "the scratchpad. The paper shows ResNet-19 on CIFAR-10."
        ),
        tables=[
            Table(
                title="Shares (%)",
                columns=("model", "accounting", "method", *ENERGY, "total (µJ)"),
                rows=shares,
            ),
            Table(
                title="Components (µJ)",
                columns=(
                    "model",
                    "accounting",
                    "method",
                    "component",
                    "dynamic",
                    "ungated",
                    "leakage",
                    "total",
                ),
                rows=rows,
            ),
        ],
        plots=plots,
        notes=[
            "Accounting rtl has four adders and a pipeline of four LIF units instead of 256 each, and reads "
            "a weight once for a sweep over a tile, so nearly all standing energy and scratchpad reads go; "
            "what idle steps can cost shrinks with them. What its windows cost stands under Fig. 9.",
            "Eq. 3 has no LIF updates; here they are the LIF_D bar.",
        ],
    )


def round_accesses(study: Study, one: TicketRound) -> Accesses:
    """Accounting `paper` after a round: weights by their expected WSP words, spikes as in the end."""
    parts = []
    for layer, load, nnz in zip(study.layers, one.loads, one.nnz, strict=True):
        channels, kernel = layer.task.slices.shape[1:]
        words = wsp.expected_words(nnz, channels=channels, positions=kernel)
        parts.append(
            memory.paper_accesses(
                weight_bits=16 * words,
                input_bits=layer.input_bits,
                output_bits=layer.output_bits,
                groups=-(-load.filters // study.config.n_pe),
                accumulates=load.work * (1 - (layer.spike_sparsity or 0)),
            )
        )
    return memory.add(parts)


def round_system(study: Study, one: TicketRound, *, banks_awake: int = 1) -> dict[str, float]:
    """Energy of the system after a round, in pJ, spikes as in the end."""
    table = load_table()
    pe = 0.0
    for layer, load in zip(study.layers, one.loads, strict=True):
        counts = step_counts(
            work=load.work,
            idle=load.idle,
            accumulates=load.work * (1 - (layer.spike_sparsity or 0)),
            accounting="paper",
            lif_updates=layer.lif_updates,
        )
        pe += total_pj(breakdown(table, counts, accounting="paper"))
    latency = sum(load.latency for load in one.loads)
    return memory.system_energy(
        table, round_accesses(study, one), pe_pj=pe, cycles=latency, banks_awake=banks_awake
    )


def figure_9(pairs: Sequence[Pair]) -> Section:
    """Accesses and the energy of the system."""
    table = load_table()
    by_round, systems, compression = [], [], []
    kinds: list[tuple[object, ...]] = []
    plots: dict[str, str] = {}
    for pair in pairs:
        dense = pair.lth.dense_accesses()
        series = []
        for one in pair.lth.rounds:
            accesses = round_accesses(pair.lth, one)
            row = (
                100 * one.weight_sparsity,
                accesses.dram_total / dense.dram_total,
                accesses.sram_total / dense.sram_total,
            )
            series.append(row)
            by_round.append((pair.name, *row, accesses.dram_total / 1e3, accesses.sram_total / 1e6))
            compression.append((pair.name, *_compression(pair.lth, one)))
        plots[f"{pair.name}: accesses, dense = 1"] = svg(_access_plot, series)
        for study in pair.studies:
            for accounting in ACCOUNTINGS:
                accesses = study.accesses(accounting)
                where = (pair.name, accounting, LABELS[study.method])
                kinds += [
                    (
                        *where,
                        kind,
                        accesses.dram[kind] / 1e3,
                        accesses.glb_reads[kind] / 1e3,
                        accesses.glb_writes[kind] / 1e3,
                    )
                    for kind in KINDS
                ]
                kinds.append(
                    (
                        *where,
                        "scratchpads",
                        None,
                        accesses.spad_reads / 1e3,
                        accesses.spad_writes / 1e3,
                    )
                )
        systems += _system_rows(pair, plots)
    return Section(
        key="figure_9",
        title="Fig. 9: DRAM, SRAM and the whole system",
        text=(
            "Accounting paper: weights (WSP) and every layer's spikes (CSR) through DRAM. Accounting rtl: "
            "only program and input cross the edge, but every weight reads its window of spikes. "
            "Potentials move in neither. DRAM and GLB accesses are of 64 bits, scratchpads' of 16."
        ),
        tables=[
            Table(
                title="9a: accesses of the lottery ticket by sparsity, accounting paper",
                columns=(
                    "model",
                    "sparsity (%)",
                    "DRAM / dense",
                    "SRAM / dense",
                    "DRAM (thousand)",
                    "SRAM (million)",
                ),
                rows=by_round,
            ),
            Table(
                title="Compression of the weights",
                columns=(
                    "model",
                    "sparsity (%)",
                    "1 / density",
                    "WSP achieves",
                    "words a weight",
                ),
                rows=compression,
            ),
            Table(
                title="9b: energy of the system",
                columns=(
                    "model",
                    "accounting",
                    "method",
                    "sparsity (%)",
                    "PEs (µJ)",
                    "GLB (µJ)",
                    "GLB leakage (µJ)",
                    "DRAM (µJ)",
                    "total (µJ)",
                    "PE share (%)",
                    "saved by the u-Ticket (%)",
                ),
                rows=systems,
            ),
            Table(
                title="Accesses by kind (thousand an image)",
                columns=(
                    "model",
                    "accounting",
                    "method",
                    "kind",
                    "DRAM",
                    "SRAM reads",
                    "SRAM writes",
                ),
                rows=kinds,
            ),
        ],
        plots=plots,
        notes=[
            "Dense is the same network with all weights, 16 bits each, and maps as plain bits.",
            "Before the last round only the weights of each filter are known: words are the mean over "
            "where they may lie; spikes are the final ticket's.",
            f"The GLB leaks {1e-3 * table.components['glb'].leakage_uw:.3f} mW a bank; one bank is charged, as in "
            "SATA_Sim. With all 16 the GLB's leakage is 16 times what is shown.",
            "DRAM energy is 0.469 nJ for 64 bits (SATA_Sim, CACTI); without background power.",
        ],
    )


def _compression(study: Study, one: TicketRound) -> tuple[float, float, float, float]:
    """Sparsity (%), 1 / density, dense words / WSP words, WSP words a weight."""
    words = sum(
        wsp.expected_words(
            nnz, channels=layer.task.slices.shape[1], positions=layer.task.slices.shape[2]
        )
        for layer, nnz in zip(study.layers, one.nnz, strict=True)
    )
    total = totals(one.loads)
    return (
        100 * one.weight_sparsity,
        total.parameters / total.nnz,
        total.parameters / words,
        words / total.nnz,
    )


def _system_rows(pair: Pair, plots: dict[str, str]) -> list[tuple[object, ...]]:
    """At the round nearest to the paper's 95 %, and in the end; both accountings."""
    table = load_table()
    wanted = published()["system"]["sparsity"] / 100
    at: dict[tuple[str, str], list[tuple[float, dict[str, float]]]] = {}
    near = [
        min(pruned_rounds(study), key=lambda one: abs(one.weight_sparsity - wanted))
        for study in pair.studies
    ]
    at["paper", "near 95 %"] = [
        (one.weight_sparsity, round_system(study, one))
        for study, one in zip(pair.studies, near, strict=True)
    ]
    for accounting in ACCOUNTINGS:
        at[accounting, "final"] = [
            (study.totals["weight_sparsity"], study.system(table, accounting))
            for study in pair.studies
        ]
    rows: list[tuple[object, ...]] = []
    for (accounting, when), both in at.items():
        first = sum(both[0][1].values())
        bars = {}
        for study, (sparsity, parts) in zip(pair.studies, both, strict=True):
            total = sum(parts.values())
            bars[LABELS[study.method]] = parts
            rows.append(
                (
                    pair.name,
                    accounting,
                    LABELS[study.method],
                    100 * sparsity,
                    *(value / 1e6 for value in parts.values()),
                    total / 1e6,
                    100 * parts["pe"] / total,
                    None if study is pair.lth else cut(total, first),
                )
            )
        title = f"{pair.name}: energy of the system, accounting {accounting}, {when} (µJ)"
        plots[title] = svg(stack, bars, PARTS, height=1.6)
    return rows


def _access_plot(axes: Any, series: Sequence[tuple[float, float, float]]) -> None:
    x, dram, sram = zip(*series, strict=True)
    axes.plot(x, dram, "o-", color="#e08214", label="DRAM")
    axes.plot(x, sram, "s-", color="#35978f", label="SRAM")
    axes.set_xlabel("weight sparsity (%)")
    axes.set_ylabel("accesses")
    axes.set_ylim(0)
    legend(axes)


def claims(pairs: Sequence[Pair], ratio: float) -> list[Claim]:
    """The paper's claims, each beside what we find."""
    found = [
        Claim(
            claim="Energy cuts of Fig. 7a follow from Tables I and II by Eq. 3",
            printed="41.8 35.4 37.2 % (VGG-16), 55.5 63.8 56.1 % (ResNet-19)",
            ours=" ".join(f"{row[4]:.1f}" for row in splits([], ratio)) + " %",
            verdict="holds",
            why=f"with E_leak / E_dyn = {ratio:g}, which the paper does not print and the component table gives for a low-standby-power scratchpad",
        ),
        Claim(
            claim="Balancing cuts latency by up to 76.9 % and energy by up to 63.8 %",
            printed="up to 76.9 %, 63.8 %",
            ours=_range(
                "balance alone, printed tables: latency", [row[3] for row in splits([], ratio)]
            )
            + "; "
            + _range("energy", [row[5] for row in splits([], ratio)]),
            verdict="does not hold",
            why="at equal sparsity: the u-Tickets keep 11 to 44 % fewer weights than the LTH rows they are compared with, hence 25 to 42 % less work; balance alone gives what stands under ours",
        ),
    ]
    for pair in pairs:
        found += _pair_claims(pair, ratio)
    return found


def _range(what: str, values: Sequence[Any]) -> str:
    return f"{what} {min(values):.1f} to {max(values):.1f} %"


def _pair_claims(pair: Pair, ratio: float) -> list[Claim]:
    before, after = pair.lth.totals, pair.uticket.totals
    printed = printed_rows(pair)
    n_pe = pair.lth.config.n_pe
    sort = rivals.network([rivals.sort(layer.task, n_pe) for layer in pair.lth.layers])
    latency = cut(after["latency"], before["latency"])
    energy = cut(pair.uticket.energy(ratio), pair.lth.energy(ratio))
    alone = cut(before["work"], before["work"] + before["idle"])
    metadata = [study.ticket.metadata for study in pair.studies]
    drop = 100 * (metadata[0]["accuracy"] - metadata[1]["accuracy"])
    printed_drop = printed["lth"]["accuracy"] - printed["uticket"]["accuracy"] if printed else None
    chance = 100 * np.sqrt(
        sum(m["accuracy"] * (1 - m["accuracy"]) / m["test_images"] for m in metadata)
    )
    saved = cut(
        sum(pair.uticket.system(load_table(), "paper").values()),
        sum(pair.lth.system(load_table(), "paper").values()),
    )
    energy_cut = published()["energy_cut"].get(pair.network, {}).get(pair.dataset)
    printed_latency = (
        f"latency {cut(printed['uticket']['work'], printed['lth']['work'] + printed['lth']['idle']):.1f} %, energy {energy_cut} %"
        if printed
        else "-"
    )
    return [
        Claim(
            claim=f"{pair.name}: an unbalanced ticket is poorly utilized",
            printed=f"{printed['lth']['utilization']:.2f}" if printed else "-",
            ours=f"{before['utilization']:.2f} (Eq. 2), occupancy {before['occupancy']:.2f}",
            verdict="holds" if before["utilization"] < 0.9 else "does not hold",
            why="the mean over layers by parameters weighs small maps most; the time lost is 1 - occupancy",
        ),
        Claim(
            claim=f"{pair.name}: a u-Ticket is fully utilized",
            printed="1.00",
            ours=f"{after['utilization']:.4f}",
            verdict="holds" if after["utilization"] > 0.995 else "does not hold",
            why="full groups exactly; the classifier's ten rows are not balanced",
        ),
        Claim(
            claim=f"{pair.name}: less latency and energy than LTH",
            printed=printed_latency,
            ours=f"latency {latency:.1f} %, energy {energy:.1f} %, at equal sparsity",
            verdict="holds in part" if latency > 0 else "does not hold",
            why=f"both tickets have {100 * before['weight_sparsity']:.1f} % sparsity here; balance alone can give {alone:.1f} % of latency",
        ),
        Claim(
            claim=f"{pair.name}: accuracy within about a point of LTH",
            printed="-" if printed_drop is None else f"{printed_drop:.1f} points less",
            ours=f"{abs(drop):.1f} points {'less' if drop > 0 else 'more'}, "
            f"{metadata[0]['test_images']:,} test images",
            verdict="open"
            if abs(drop) < 2 * chance
            else ("holds" if drop < 1.05 else "does not hold"),
            why=f"the difference of two such measurements has a standard error of {chance:.1f} points; one seed",
        ),
        Claim(
            claim=f"{pair.name}: no other way keeps so sparse a network busy without hardware",
            printed="GoSPA 70 %, SparTen 92 %, at lower sparsity",
            ours=f"sorted filters: utilization {percent(sort.utilization):.1f} %, occupancy {percent(sort.occupancy):.1f} %",
            verdict="holds in part" if (sort.occupancy or 0) > 0.9 else "holds",
            why="loading filters in order of their weights costs no hardware and no accuracy and gets most of the gain",
        ),
        Claim(
            claim=f"{pair.name}: about 19 % of the system's energy saved",
            printed="19 % (45 % PE share at 95 % sparsity x 41.8 % at 98.2 %)",
            ours=f"{saved:.1f} % at the final sparsity, accounting paper",
            verdict="holds" if saved >= 19 else "does not hold",
            why="the printed figure multiplies a share at 95 % with a cut at 98.2 % and unequal sparsity",
        ),
    ]
