"""The first screen of a report: what was found, each in a large number with a word of what it is beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.reports.answer import Answer, accuracy_change


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A number with what it is, and what it is compared with."""

    label: str
    value: str
    note: str


def headlines(
    mine: Answer, others: Sequence[Answer], technology: str, clock_mhz: float
) -> list[Headline]:
    """Of a method; `others` are the baseline, if there is one, and then what stands beside it."""
    base = others[0] if others else None
    found = [
        Headline(
            label="clock cycles an image",
            value=_change(mine.cycles_saved, f"{mine.cycles:,.0f}"),
            note=_beside(f"{mine.cycles:,.0f}", f"{base.cycles:,.0f}" if base else None)
            + _alone(others[1:], "cycles_saved"),
        ),
        Headline(
            label=f"time an image at {clock_mhz:g} MHz",
            value=f"{mine.ms:.3g} ms",
            note=f"{mine.images_per_s:,.1f} images/s" + (f"; {base.method} {base.ms:.3g} ms" if base else ""),
        ),
        Headline(
            label="energy by the paper's formula (Eq. 3)",
            value=_change(mine.energy_saved, _large(mine.energy)),
            note=_beside(_large(mine.energy), _large(base.energy) if base else None, " accumulates' worth")
            + _alone(others[1:], "energy_saved"),
        ),
    ]  # fmt: skip
    if mine.pe_pj is not None:
        spent = None if base is None or base.pe_pj is None else _microjoule(base.pe_pj)
        found.append(
            Headline(
                label="energy by this circuit's own counts",
                value=_change(mine.pe_saved, f"{_microjoule(mine.pe_pj)} µJ"),
                note=_beside(_microjoule(mine.pe_pj), spent, f" µJ, PEs, {technology}")
                + _alone(others[1:], "pe_saved"),
            )
        )
    if mine.accuracy is not None:
        images = "" if mine.test_images is None else f", {mine.test_images:,} test images"
        found.append(
            Headline(
                label=f"accuracy of the ticket{images}",
                value=f"{100 * mine.accuracy:.1f} %",
                note=_accuracy(mine, base),
            )
        )
    return found


def _change(saved: float | None, absolute: str) -> str:
    """In percent, of what is compared; else the number itself."""
    return absolute if saved is None else f"{-100 * saved:+.1f} %".replace("-", "\N{MINUS SIGN}")


def _beside(mine: str, other: str | None, unit: str = "") -> str:
    return f"{mine}{unit}" if other is None else f"{mine} instead of {other}{unit}"


def _alone(others: Sequence[Answer], field: str) -> str:
    """What a change of the order alone saves."""
    return "".join(
        f"; {one.method} alone {_change(getattr(one, field), '')}"
        for one in others
        if getattr(one, field) is not None
    )


def _large(value: float) -> str:
    """Millions from a million on."""
    return f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value:,.0f}"


def _microjoule(picojoule: float) -> str:
    return f"{picojoule / 1e6:.3g}"


def _accuracy(mine: Answer, base: Answer | None) -> str:
    """Whether the difference says anything: it does not, with one training run of each."""
    if base is None:
        return "of the integer network, as the ticket says"
    change = accuracy_change(mine, base)
    if change is None:
        return "of the integer network; not known of " + base.method
    if mine.words == "as pruned, filters sorted":
        return f"as {base.method}: the same weights"
    points, error = change
    return (
        f"{base.method} {100 * (base.accuracy or 0):.1f} %: {points:+.1f} points, standard error "
        f"{error:.1f}; one training run of each, so open"
    ).replace(": -", ": \N{MINUS SIGN}")
