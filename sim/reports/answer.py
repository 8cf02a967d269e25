"""What a run answers in a few numbers: each method beside the baseline, and what that saves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sim.deployment import Run

Row = dict[str, Any]
WORDS = {
    "none": "as pruned",
    "sort": "as pruned, filters sorted",
    "random": "balanced at random",
    "magnitude": "balanced",
}
"""Of a ticket's policy (docs/balancing.md)."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A method, per image. None is what nobody measured, or of a baseline what it saves over itself."""

    method: str
    words: str
    """What the method did to the filters."""
    simulated: bool
    """Whether the RTL ran it; otherwise its numbers are the models'."""
    cycles: float
    ms: float
    """At the clock of the technology."""
    images_per_s: float
    energy: float
    """Eq. 3, in units of E_dyn."""
    pe_pj: float | None
    """Energy of the PEs by component, by this RTL's own counts."""
    accuracy: float | None
    """Share of the ticket's test images that the integer network gets right."""
    test_images: int | None
    cycles_saved: float | None
    """Fraction of the baseline's, as what follows."""
    energy_saved: float | None
    pe_saved: float | None


def answers(
    found: Sequence[tuple[Run, Row]], baseline: int | None, simulated: int, clock_mhz: float
) -> list[Answer]:
    """Of each run and its totals. baseline: which of them; simulated: so many of them came from the RTL."""
    return [
        _answer(
            run,
            total,
            simulated=number < simulated,
            clock_mhz=clock_mhz,
            reference={} if baseline in (None, number) else found[baseline or 0][1],
        )
        for number, (run, total) in enumerate(found)
    ]


def _answer(run: Run, total: Row, *, simulated: bool, clock_mhz: float, reference: Row) -> Answer:
    deployed, cycles = run.deployment, total["rtl_cycles"]
    metadata = deployed.ticket.metadata
    policy = "sort" if deployed.sort else metadata.get("policy")
    return Answer(
        method=deployed.method,
        words=WORDS.get(policy or "", ""),
        simulated=simulated,
        cycles=cycles,
        ms=cycles / clock_mhz / 1e3,
        images_per_s=1e6 * clock_mhz / cycles,
        energy=total["energy"],
        pe_pj=total["energy_pj"],
        accuracy=metadata.get("accuracy_quantized"),
        test_images=metadata.get("test_images"),
        cycles_saved=saved(cycles, reference.get("rtl_cycles")),
        energy_saved=saved(total["energy"], reference.get("energy")),
        pe_saved=saved(total["energy_pj"], reference.get("energy_pj")),
    )


def saved(mine: float | None, other: float | None) -> float | None:
    """1 - mine / other; None where one is not known, or the other is 0."""
    return 1 - mine / other if mine is not None and other else None


def accuracy_change(mine: Answer, other: Answer) -> tuple[float, float] | None:
    """Points that `mine` has more, and the standard error of that from the test images alone."""
    known = [
        (one.accuracy, one.test_images)
        for one in (mine, other)
        if one.accuracy is not None and one.test_images
    ]
    if len(known) < 2:
        return None
    variance = sum(share * (1 - share) / images for share, images in known)
    return 100 * (known[0][0] - known[1][0]), 100 * math.sqrt(variance)


def content(found: Sequence[Answer]) -> list[Row]:
    """For JSON."""
    return [asdict(one) for one in found]
