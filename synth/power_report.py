"""What `uticket power` writes: of each machine a table of layers, prices, an image; of two their ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from synth import clocks
from synth.fit import SINGULAR, TERMS, Fit
from synth.image import WINDOW
from synth.measure import PARTS, Measured, Stretch

PAPER_RATIO = 0.21
PICO, MICRO = 1e12, 1e6


@dataclass(frozen=True)
class Row:
    """A layer while it runs: means a cycle. Joules; counts; how far the fit is off, as a share of what was measured."""

    layer: str
    windows: int
    counts: dict[str, float]
    joules: dict[str, float]
    """By PARTS, and `all`."""
    off: float
    off_without: float | None
    """Of the fit of the other layers."""


def rows(measured: Measured) -> list[Row]:
    """One of each layer."""
    result = []
    for k, one in enumerate(measured.stretches):
        counts, energy = one.while_running()
        cycles, spent = len(counts) * WINDOW, float(energy.sum())
        joules = {p: float(j[one.running].sum()) / cycles for p, j in one.parts.items()}
        others = measured.without(k)
        result.append(
            Row(
                layer=one.layer,
                windows=len(counts),
                counts={t: float(n) / cycles for t, n in zip(TERMS, counts.sum(0), strict=True)},
                joules={**joules, "all": spent / cycles},
                off=_off(measured.fit, counts, spent),
                off_without=None if others is None else _off(others, counts, spent),
            )
        )
    return result


def _off(fit: Fit, counts: np.ndarray, spent: float) -> float:
    return float(fit.joules(counts).sum()) / spent - 1


def image(measured: Measured, counts: Mapping[str, int]) -> dict[str, float]:
    """Joules of the PEs in an image, by fit.TERMS, and `all`; counts: over all PEs."""
    parts = {term: counts[term] * measured.fit.prices[term] for term in TERMS}
    return {**parts, "all": sum(parts.values())}


def content(measured: Measured, counts: Mapping[str, int]) -> dict[str, Any]:
    """What power.json has of a machine."""
    return {
        "machine": measured.machine,
        "layers": [asdict(row) for row in rows(measured)],
        "prices": measured.fit.prices,
        "residual": measured.residual,
        "leakage_cycle": measured.stretches[0].leak,
        "clock_gating": asdict(measured.gating),
        "components": {
            name: {"clock_cycle": clock, "leakage_cycle": leakage}
            for name, (clock, leakage) in _components(measured.stretches).items()
        },
        "memories": [_memory(measured.stretches, k) for k in range(_memories(measured))],
        "ratios": measured.ratios(),
        "paper_ratio": PAPER_RATIO,
        "image": {"counts": dict(counts), "joules": image(measured, counts)},
    }


def text(measured: Measured, counts: Mapping[str, int]) -> list[str]:
    """A report for people; pJ a cycle unless it says otherwise."""
    leak, ratios = measured.stretches[0].leak, measured.ratios()
    spent = image(measured, counts)
    lines = [
        f"machine {measured.machine}; a PE while a layer runs, a cycle; energies in pJ",
        f"  {'layer':<10}{'windows':>8}{'work':>7}{'drain':>7}{'accum.':>8}"
        + "".join(f"{part:>10}" for part in (*PARTS, "all"))
        + f"{'fit off':>9}{'without':>9}",
    ]
    for row in rows(measured):
        part = "".join(f"{row.joules[name] * PICO:>10.2f}" for name in (*PARTS, "all"))
        alone = "" if row.off_without is None else f"{row.off_without:>+9.1%}"
        lines.append(
            f"  {row.layer:<10}{row.windows:>8}{row.counts['work']:>7.2f}{row.counts['drain']:>7.2f}"
            f"{row.counts['accumulates']:>8.2f}{part}{row.off:>+9.1%}{alone}"
        )
    lines += [
        f"fit over {sum(len(one.data) for one in measured.stretches)} windows of {WINDOW} cycles: "
        + ", ".join(f"{measured.fit.prices[t] * PICO:.2f} a {SINGULAR[t]}" for t in TERMS)
        + f"; {measured.residual:.1%} of a window unexplained while a layer runs",
        f"of a cycle {leak * PICO:.3f} is leakage (E_leak)"
        + (
            f"; E_leak / E_dyn a step: leakage alone {ratios['leakage']:.3f}, with clock and control "
            f"{ratios['leakage_and_clock']:.2f}; the paper's {PAPER_RATIO}"
            if ratios
            else ""
        ),
        "test image 0, all PEs: "
        + ", ".join(
            f"{counts[t]} {'cycles' if t == 'cycles' else t}, {spent[t] * MICRO:.2f} uJ"
            for t in TERMS
        )
        + f"; all {spent['all'] * MICRO:.2f} uJ, of it leakage {counts['cycles'] * leak * MICRO:.2f}",
        clocks.describe(measured.gating),
        f"  {'component':<22}{'clock':>8}{'leakage':>9}",
        *(
            f"  {name:<22}{clock * PICO:>8.3f}{leakage * PICO:>9.4f}"
            for name, (clock, leakage) in _components(measured.stretches).items()
        ),
    ]
    for k in range(_memories(measured)):
        use = _memory(measured.stretches, k)
        lines.append(
            f"  {use['name']}: {use['read'] * PICO:.3f} a read, {use['reads_cycle']:.3f} reads; "
            f"{use['write'] * PICO:.3f} a write, {use['writes_cycle']:.3f} writes; "
            f"leakage {use['leakage_cycle'] * PICO:.5f}"
        )
    return lines


def ratio(joules: Mapping[str, float]) -> str:
    """One line; joules of an image by machine, two of them."""
    (one, first), (other, second) = joules.items()
    return f"an image on {other} takes {second / first:.3f} of what it takes on {one}"


def _components(stretches: Sequence[Stretch]) -> dict[str, tuple[float, float]]:
    """Joules a cycle of clock pins while layers run, and of leakage, by component."""
    cycles = WINDOW * sum(int(one.running.sum()) for one in stretches)
    names = dict.fromkeys([*stretches[0].leakage, *stretches[0].clock])
    return {
        name: (
            sum(float(one.clock[name][one.running].sum()) for one in stretches if name in one.clock)
            / cycles,
            stretches[0].leakage.get(name, 0.0),
        )
        for name in names
    }


def _memories(measured: Measured) -> int:
    return len(measured.stretches[0].memories)


def _memory(stretches: Sequence[Stretch], k: int) -> dict[str, Any]:
    """The k-th memory: joules, and accesses a cycle while layers run."""
    first = stretches[0].memories[k]
    cycles = WINDOW * sum(int(one.running.sum()) for one in stretches)

    def accesses(of: str) -> float:
        return sum(int(getattr(s.memories[k], of)[s.running].sum()) for s in stretches) / cycles

    return {
        "name": first.name,
        "read": first.read,
        "write": first.write,
        "leakage_cycle": first.leakage_cycle,
        "reads_cycle": accesses("reads"),
        "writes_cycle": accesses("writes"),
    }
