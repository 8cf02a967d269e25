"""A model's lottery ticket and its u-Ticket, studied: what every figure is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sim.catalog import Model
from sim.deployment import deployments
from sim.models.eq3 import Energies, energies
from sim.paper.published import published
from sim.study import Study, study

LABELS = {"lth": "LTH", "uticket": "u-Ticket"}
"""Of the methods of a pair."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A model's lottery ticket and its u-Ticket."""

    name: str
    lth: Study
    uticket: Study
    energies: Energies = field(default_factory=energies)
    """What all figures count in."""

    @property
    def studies(self) -> tuple[Study, Study]:
        """Both."""
        return self.lth, self.uticket

    @property
    def network(self) -> str:
        """Of both tickets."""
        return self.lth.ticket.metadata.get("network", "")

    @property
    def dataset(self) -> str:
        """Of both tickets."""
        return self.lth.ticket.metadata.get("dataset", "")

    @property
    def printed(self) -> dict[str, dict[str, float]]:
        """Tables I and II of the paper by method; empty where it has none for these."""
        return published()["tables_1_2"].get(self.network, {}).get(self.dataset, {})


def load_pairs(
    models: Sequence[Model],
    *,
    images: int,
    technology: str | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> tuple[list[Pair], list[str]]:
    """The models that have both tickets, studied, and a line for each that has not.

    technology: of energy, name or path, see `sim.models.eq3.energies`. step: is told what happens next.
    """
    spent = energies(technology)
    pairs, missing = [], []
    for model in models:
        absent = [name for name in LABELS if name not in model.methods]
        methods = [model.methods[name] for name in LABELS if name in model.methods]
        files = [method.ticket for method in methods if not method.ticket.is_file()]
        if absent or files:
            why = f"no method {absent[0]}" if absent else f"{files[0].name} is not there"
            missing.append(f"{model.name}: {why}")
            continue
        step(f"models of {model.name}")
        deployed = deployments(model, methods, model.hardware)
        if not all(one.ticket.metadata["rounds"] for one in deployed):
            missing.append(f"{model.name}: a ticket without a recorded round")
            continue
        lth, uticket = (study(one, images) for one in deployed)
        pairs.append(Pair(name=model.name, lth=lth, uticket=uticket, energies=spent))
    return pairs, missing


def percent(value: float | None) -> float | None:
    """A share in percent."""
    return None if value is None else 100 * value


def cut(mine: float, other: float) -> float:
    """By how many percent `mine` is less."""
    return 100 * (1 - mine / other)
