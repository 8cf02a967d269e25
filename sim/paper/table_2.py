"""Table II: work, idle, latency and utilization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.models.workload import rtl_bound_cycles
from sim.paper.document import Section, column, table
from sim.paper.pairs import LABELS, Pair
from sim.study import Study


@dataclass(frozen=True, kw_only=True)
class Row:
    """A ticket."""

    model: str = column("model")
    method: str = column("method")
    work: float = column("work (1e8 steps)")
    printed_work: float | None = column("printed work (1e8 steps)")
    idle: float = column("idle (1e8 steps)")
    printed_idle: float | None = column("printed idle (1e8 steps)")
    latency: float = column("latency (1e8 steps)")
    printed_latency: float | None = column("printed latency (1e8 steps)")
    utilization: float | None = column("utilization (share)")
    printed_utilization: float | None = column("printed utilization (share)")
    occupancy: float | None = column("occupancy (share)")
    cycles: float = column("RTL (M cycles)")
    bound: float = column("bound / RTL (share)")


def section(pairs: Sequence[Pair]) -> Section:
    """Both tickets of every pair."""
    return Section(
        key="table_2",
        title="Table II: work, idle, latency and utilization",
        text=(
            "Steps as the paper counts them (one a PE and cycle, its four gates not credited), and the "
            "cycles that this RTL takes with four lanes, everything counted, by the cycle model."
        ),
        tables=[table("Table II", Row, [row(pair, s) for pair in pairs for s in pair.studies])],
        notes=[
            "The printed latency is (work + idle) / 16 on all twelve rows. The printed utilization is the "
            "mean over layers by parameters; occupancy from the printed work and idle is higher "
            "(VGG-16 on CIFAR-10: 0.77).",
            "The paper leaves out the classifier; here it is a layer like the others.",
        ],
    )


def row(pair: Pair, study: Study) -> Row:
    """Of one of a pair's tickets."""
    total, printed, config = study.totals, pair.printed.get(study.method, {}), study.config
    bound = rtl_bound_cycles(total["work"], lanes=config.lanes, n_pe=config.n_pe)
    return Row(
        model=pair.name,
        method=LABELS[study.method],
        work=total["work"] / 1e8,
        printed_work=printed.get("work"),
        idle=total["idle"] / 1e8,
        printed_idle=printed.get("idle"),
        latency=total["latency"] / 1e8,
        printed_latency=printed.get("latency"),
        utilization=total["utilization"],
        printed_utilization=printed.get("utilization"),
        occupancy=total["occupancy"],
        cycles=total["cycles"] / 1e6,
        bound=bound / total["cycles"],
    )
