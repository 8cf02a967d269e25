"""Fig. 8: energy by component."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sim.models.components import ACCOUNTINGS, merge, total_pj
from sim.paper.document import Section, column, table
from sim.paper.pairs import LABELS, Pair
from sim.reports.drawing import plot
from sim.reports.plots import SPELLED, energy_stack


@dataclass(frozen=True, kw_only=True)
class Shares:
    """The bars of a ticket."""

    model: str = column("model")
    accounting: str = column("accounting")
    method: str = column("method")
    shares: dict[str, float] = column("shares")
    total: float = column("total (µJ)")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A component of a ticket's PEs."""

    model: str = column("model")
    accounting: str = column("accounting")
    method: str = column("method")
    component: str = column("component")
    dynamic: float = column("dynamic (µJ)")
    ungated: float = column("ungated (µJ)")
    leakage: float = column("leakage (µJ)")
    total: float = column("total (µJ)")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A ticket's energy in pJ, by component."""

    model: str
    accounting: str
    method: str
    lines: dict[str, dict[str, float]]

    @property
    def bars(self) -> dict[str, float]:
        """The six of the paper's figure."""
        return merge(self.lines)

    @property
    def shares(self) -> Shares:
        """Of the six bars in percent."""
        total = total_pj(self.lines)
        return Shares(
            model=self.model,
            accounting=self.accounting,
            method=self.method,
            shares={f"{SPELLED[k]} (%)": 100 * pj / total for k, pj in self.bars.items()},
            total=total / 1e6,
        )

    @property
    def rows(self) -> Iterator[Line]:
        """The components in µJ."""
        for name, line in self.lines.items():
            yield Line(
                model=self.model,
                accounting=self.accounting,
                method=self.method,
                component=name,
                dynamic=line["dynamic_pj"] / 1e6,
                ungated=line["ungated_pj"] / 1e6,
                leakage=line["leakage_pj"] / 1e6,
                total=sum(line.values()) / 1e6,
            )


def section(pairs: Sequence[Pair]) -> Section:
    """Both tickets of every pair in both accountings."""
    found = [one for pair in pairs for accounting in ACCOUNTINGS for one in of(pair, accounting)]
    stacks: dict[str, dict[str, dict[str, float]]] = {}
    for one in found:
        title = f"{one.model}, accounting {one.accounting} (µJ)"
        stacks.setdefault(title, {})[one.method] = one.bars
    names = ", ".join(dict.fromkeys(pair.energies.table.name for pair in pairs))
    return Section(
        key="figure_8",
        title="Fig. 8: energy by component",
        text=(
            f"Counts x components of {names}. Standing energy is what a cycle costs whatever "
            "happens in it. The paper shows ResNet-19 on CIFAR-10."
        ),
        tables=[
            table("Shares (%)", Shares, [one.shares for one in found]),
            table("Components (µJ)", Line, [row for one in found for row in one.rows]),
        ],
        plots={title: plot(energy_stack, bars, height=1.6) for title, bars in stacks.items()},
        notes=[
            "Accounting rtl has four adders and a pipeline of four LIF units instead of 256 each, and reads "
            "a weight once for a sweep over a tile, so nearly all standing energy and scratchpad reads go; "
            "what idle steps can cost shrinks with them. What its windows cost stands under Fig. 9.",
            "Eq. 3 has no LIF updates; here they have a bar of their own.",
        ],
    )


def of(pair: Pair, accounting: str) -> list[Found]:
    """Both tickets of a pair."""
    components = pair.energies.table
    return [
        Found(
            model=pair.name,
            accounting=accounting,
            method=LABELS[study.method],
            lines=study.lines(components, accounting),
        )
        for study in pair.studies
    ]
