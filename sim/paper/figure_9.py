"""Fig. 9: DRAM, SRAM and the whole system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sim.models.components import ACCOUNTINGS
from sim.models.memory import KINDS
from sim.paper.document import Section, column, table
from sim.paper.pairs import LABELS, Pair, cut
from sim.paper.published import published
from sim.paper.rounds import TicketRound, pruned_rounds, rounds
from sim.reports.drawing import Plot, legend, plot
from sim.reports.plots import stack
from sim.study import Study

COLORS = {"pe": "#1f6fb4", "glb": "#35978f", "glb_leakage": "#a6dba0", "dram": "#e08214"}
HEADERS = {
    "pe": "PEs (µJ)",
    "glb": "GLB (µJ)",
    "glb_leakage": "GLB leakage (µJ)",
    "dram": "DRAM (µJ)",
}


@dataclass(frozen=True, kw_only=True)
class ByRound:
    """9a: accesses of a lottery ticket after a round, accounting `paper`."""

    model: str = column("model")
    sparsity: float = column("sparsity (%)")
    dram: float = column("DRAM (dense = 1)")
    sram: float = column("SRAM (dense = 1)")
    dram_thousand: float = column("DRAM (thousand)")
    sram_million: float = column("SRAM (million)")


@dataclass(frozen=True, kw_only=True)
class Compression:
    """Weights in WSP after a round."""

    model: str = column("model")
    sparsity: float = column("sparsity (%)")
    possible: float = column("1 / density (times fewer)")
    achieved: float = column("WSP achieves (times fewer)")
    words: float = column("words a weight")


@dataclass(frozen=True, kw_only=True)
class System:
    """9b: a ticket's energy."""

    model: str = column("model")
    accounting: str = column("accounting")
    method: str = column("method")
    sparsity: float = column("sparsity (%)")
    parts: dict[str, float] = column("parts")
    total: float = column("total (µJ)")
    pe_share: float = column("PE share (%)")
    saved: float | None = column("saved by the u-Ticket (%)")


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """Accesses of a ticket for one purpose, in thousands."""

    model: str = column("model")
    accounting: str = column("accounting")
    method: str = column("method")
    kind: str = column("kind")
    dram: float | None = column("DRAM (thousand)")
    reads: float = column("SRAM reads (thousand)")
    writes: float = column("SRAM writes (thousand)")


def section(pairs: Sequence[Pair]) -> Section:
    """Accesses and the energy of the system of every pair."""
    by_round, compression = [], []
    systems: list[System] = []
    kinds: list[Purpose] = []
    plots: dict[str, Plot] = {}
    for pair in pairs:
        mine = accesses_by_round(pair)
        by_round += mine
        compression += [compressed(pair, one) for one in rounds(pair.lth)]
        plots[f"{pair.name}: accesses, dense = 1"] = plot(_accesses_plot, mine)
        kinds += [row for study in pair.studies for row in by_kind(pair, study)]
        for (accounting, when), rows in system(pair).items():
            systems += rows
            title = f"{pair.name}: energy of the system, accounting {accounting}, {when} (µJ)"
            plots[title] = plot(_system_plot, rows, height=1.6)
    return Section(
        key="figure_9",
        title="Fig. 9: DRAM, SRAM and the whole system",
        text=(
            "Accounting paper: weights (WSP) and every layer's spikes (CSR) through DRAM. Accounting rtl: "
            "only program and input cross the edge, but every weight reads its window of spikes. "
            "Potentials move in neither. DRAM and GLB accesses are of 64 bits, scratchpads' of 16."
        ),
        tables=[
            table(
                "9a: accesses of the lottery ticket by sparsity, accounting paper",
                ByRound,
                by_round,
            ),
            table("Compression of the weights", Compression, compression),
            table("9b: energy of the system", System, systems),
            table("Accesses by kind (thousand an image)", Purpose, kinds),
        ],
        plots=plots,
        notes=[
            "Dense is the same network with all weights, 16 bits each, and maps as plain bits.",
            "Before the last round only the weights of each filter are known: words are the mean over "
            "where they may lie; spikes are the final ticket's.",
            f"The GLB leaks {1e-3 * pairs[0].energies.table.components['glb'].leakage.value:.3f} mW a bank; one bank is "
            "charged, as in SATA_Sim. With all 16 the GLB's leakage is 16 times what is shown.",
            "DRAM energy is 0.469 nJ for 64 bits (SATA_Sim, CACTI); without background power.",
        ],
    )


def accesses_by_round(pair: Pair) -> list[ByRound]:
    """Of a pair's lottery ticket."""
    dense = pair.lth.dense_accesses()
    rows = []
    for one in rounds(pair.lth):
        accesses = one.accesses
        rows.append(
            ByRound(
                model=pair.name,
                sparsity=100 * one.weight_sparsity,
                dram=accesses.dram_total / dense.dram_total,
                sram=accesses.sram_total / dense.sram_total,
                dram_thousand=accesses.dram_total / 1e3,
                sram_million=accesses.sram_total / 1e6,
            )
        )
    return rows


def compressed(pair: Pair, one: TicketRound) -> Compression:
    """Of a round."""
    words, total = sum(one.words), one.totals
    return Compression(
        model=pair.name,
        sparsity=100 * one.weight_sparsity,
        possible=total.parameters / total.nnz,
        achieved=total.parameters / words,
        words=words / total.nnz,
    )


def by_kind(pair: Pair, study: Study) -> list[Purpose]:
    """Of one of a pair's tickets in both accountings."""
    rows = []
    for accounting in ACCOUNTINGS:
        accesses = study.accesses(accounting)
        where = {"model": pair.name, "accounting": accounting, "method": LABELS[study.method]}
        found: dict[str, tuple[float | None, float, float]] = {
            kind: (accesses.dram[kind] / 1e3, accesses.glb_reads[kind], accesses.glb_writes[kind])
            for kind in KINDS
        }
        found["scratchpads"] = (None, accesses.spad_reads, accesses.spad_writes)
        rows += [
            Purpose(**where, kind=kind, dram=dram, reads=reads / 1e3, writes=writes / 1e3)
            for kind, (dram, reads, writes) in found.items()
        ]
    return rows


def system(pair: Pair) -> dict[tuple[str, str], list[System]]:
    """Both tickets at the round nearest to the paper's 95 %, and in the end in both accountings."""
    components = pair.energies.table
    wanted = published()["system"]["sparsity"] / 100
    near = [
        min(pruned_rounds(study), key=lambda one: abs(one.weight_sparsity - wanted))
        for study in pair.studies
    ]
    found = {
        ("paper", "near 95 %"): [(one.weight_sparsity, one.system(components)) for one in near]
    }
    for accounting in ACCOUNTINGS:
        found[accounting, "final"] = [
            (study.totals["weight_sparsity"], study.system(components, accounting))
            for study in pair.studies
        ]
    return {where: _systems(pair, where[0], both) for where, both in found.items()}


def _systems(
    pair: Pair, accounting: str, both: Sequence[tuple[float, dict[str, float]]]
) -> list[System]:
    first = sum(both[0][1].values())
    rows = []
    for study, (sparsity, parts) in zip(pair.studies, both, strict=True):
        total = sum(parts.values())
        rows.append(
            System(
                model=pair.name,
                accounting=accounting,
                method=LABELS[study.method],
                sparsity=100 * sparsity,
                parts={HEADERS[part]: value / 1e6 for part, value in parts.items()},
                total=total / 1e6,
                pe_share=100 * parts["pe"] / total,
                saved=None if study is pair.lth else cut(total, first),
            )
        )
    return rows


def _accesses_plot(axes: Any, rows: Sequence[ByRound]) -> None:
    x = [row.sparsity for row in rows]
    axes.plot(x, [row.dram for row in rows], "o-", color="#e08214", label="DRAM")
    axes.plot(x, [row.sram for row in rows], "s-", color="#35978f", label="SRAM")
    axes.set_xlabel("weight sparsity (%)")
    axes.set_ylabel("accesses")
    axes.set_ylim(0)
    legend(axes)


def _system_plot(axes: Any, rows: Sequence[System]) -> None:
    bars = {
        row.method: {part: 1e6 * row.parts[header] for part, header in HEADERS.items()}
        for row in rows
    }
    stack(axes, bars, COLORS)
