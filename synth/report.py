"""What synthesis found, as JSON and as text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from support.files import write_json, write_text
from synth.asic import Area
from synth.clocks import Gating, describe
from synth.liberty import Library
from synth.memories import MemoryMacro
from synth.sta import Timing


@dataclass(frozen=True)
class Design:
    """One module on one library."""

    top: str
    areas: list[Area]
    flat_area: float
    """um2 when optimized across components; macros left out."""
    timing: Timing
    gating: Gating
    """Of the netlist that was timed."""
    seconds: float
    """Of synthesis, both ways, and timing."""


def write(
    folder: Path, library: Library, node: int, macros: list[MemoryMacro], designs: list[Design]
) -> Path:
    """Write report.json and report.txt; returns the latter's path."""
    by_name = {macro.name: macro for macro in macros}
    data = {
        "library": {"name": library.name, "file": library.path.name, "node_nm": node},
        "macros": [asdict(macro) for macro in macros],
        "designs": [_design(design, by_name) for design in designs],
    }
    write_json(folder / "report.json", data)
    text = folder / "report.txt"
    write_text(text, "\n".join(_text(library, node, macros, designs)) + "\n")
    return text


def _design(design: Design, macros: dict[str, MemoryMacro]) -> dict:
    timing = design.timing
    return {
        "top": design.top,
        "area_um2": sum(area.area for area in design.areas),
        "area_flat_um2": design.flat_area,
        "macro_area_um2": sum(_macro_area(area, macros) for area in design.areas),
        "components": [asdict(area) for area in design.areas],
        "clock_gating": asdict(design.gating),
        "period_ns": timing.period,
        "slack_ns": timing.slack,
        "total_negative_slack_ns": timing.total_negative_slack,
        "clock_mhz": timing.clock_mhz,
        "startpoint": timing.startpoint,
        "endpoint": timing.endpoint,
        "path": [asdict(step) for step in timing.path],
        "worst_endpoints": [
            {"startpoint": a, "endpoint": b, "slack_ns": slack} for a, b, slack in timing.endpoints
        ],
        "constants": timing.constants,
        "seconds": design.seconds,
    }


def _macro_area(area: Area, macros: dict[str, MemoryMacro]) -> float:
    return sum(macros[name].area * count for name, count in area.macros.items() if name in macros)


def grouped(areas: list[Area]) -> list[Area]:
    """Components that differ in a number of their names, as one: `pe_*` for pe_0 to pe_15; the largest first."""
    groups: dict[str, list[Area]] = {}
    for area in areas:
        groups.setdefault(re.sub(r"_\d+(?=[._]|$)", "_*", _plain(area.name)), []).append(area)
    result = []
    for name, alike in groups.items():
        macros: Counter[str] = Counter()
        for area in alike:
            macros.update(area.macros)
        result.append(
            Area(
                name=name if len(alike) > 1 else _plain(alike[0].name),
                area=sum(area.area for area in alike),
                sequential=sum(area.sequential for area in alike),
                cells=sum(area.cells for area in alike),
                macros=dict(macros),
            )
        )
    return sorted(result, key=lambda area: -area.area)


def _plain(name: str) -> str:
    """Without the numbers that Yosys gives to modules of one name."""
    return re.sub(r"\$\d+", "", name)


def _text(
    library: Library, node: int, macros: list[MemoryMacro], designs: list[Design]
) -> list[str]:
    by_name = {macro.name: macro for macro in macros}
    lines = [f"{library.name}, {node} nm ({library.path.name})", ""]
    for macro in macros:
        lines.append(
            f"{macro.name}: {macro.depth} x {macro.width}, {macro.area:.0f} um2, access "
            f"{macro.access:.2f} ns; {macro.source}"
        )
    for design in designs:
        timing = design.timing
        total = sum(area.area for area in design.areas)
        lines += [
            "",
            f"{design.top}: {total:.0f} um2 of cells, {design.flat_area:.0f} um2 when optimized "
            "across components; macros come on top",
            f"  {'component':<34}{'um2':>10}{'flip-flops':>12}{'share':>8}{'cells':>8}  macros",
        ]
        for area in grouped(design.areas):
            of_macros = ", ".join(f"{n} x {name}" for name, n in area.macros.items())
            size = _macro_area(area, by_name)
            extra = f"  {of_macros}" + (f": {size:.0f} um2" if size else "")
            lines.append(
                f"  {area.name:<34}{area.area:>10.0f}{area.sequential:>12.0f}"
                f"{area.area / total:>8.1%}{area.cells:>8}{extra}"
            )
        lines.append(f"  {describe(design.gating)}")
        verdict = "met" if timing.slack >= 0 else "MISSED"
        lines += [
            f"  {1000 / timing.period:.0f} MHz {verdict}: worst slack {timing.slack:.3f} ns, so "
            f"{timing.clock_mhz:.0f} MHz; {design.seconds:.0f} s",
            f"  the path, {timing.startpoint} to {timing.endpoint}:",
        ]
        lines += [f"  {s.time:>9.3f} {s.delay:>7.3f}  {s.point} ({s.cell})" for s in timing.path]
    return lines
