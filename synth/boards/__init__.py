"""FPGA boards: a YAML each, found by looking into this folder; pins are in constraints/. See CONTRIBUTING.md."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hw.config import PRESETS
from support import schema
from support.errors import BadInput
from support.schema import Strict

FOLDER = Path(__file__).resolve().parent
CONSTRAINTS = FOLDER.parent.parent / "constraints"
Positive = Annotated[int, Field(gt=0)]


CLOCKS = {"ecp5": (25, 600), "xilinx": (100, 1000)}
"""By vendor, in MHz: the board's oscillator, and the clock inside the PLL, synth.board.PLLS."""


class Target(Strict):
    """A board, and the array that goes on it."""

    device: str
    vendor: Literal["ecp5", "xilinx"]
    clock_mhz: Annotated[float, Field(gt=0)]
    """Of the array."""
    pll_divider: Positive
    """The PLL's own clock over `clock_mhz`: see CLOCKS."""
    baud: Positive
    """Of its serial line."""
    constraints: str
    """File of pins, in constraints/: LPF or XDC."""
    preset: str
    """Of hw.config.PRESETS."""
    nextpnr: list[str] = Field(default_factory=list)
    """Device options; none: Yosys alone."""


def boards() -> list[str]:
    """Names of all boards."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def board(name: str) -> Target:
    """A board. Raises BadInput for an unknown name, or a file that is not as it must be."""
    if name not in boards():
        raise BadInput(f"unknown board {name!r}; allowed: {', '.join(boards())}")
    path = FOLDER / f"{name}.yaml"
    target: Target = schema.read(path, Target)
    if target.preset not in PRESETS:
        raise BadInput(f"{path}: preset = {target.preset!r}; allowed: {', '.join(PRESETS)}")
    _check_clock(path, target)
    if not (CONSTRAINTS / target.constraints).is_file():
        raise BadInput(
            f"{path}: constraints = {target.constraints!r}: no such file in {CONSTRAINTS}"
        )
    return target


def _check_clock(path: Path, target: Target) -> None:
    oscillator, inside = CLOCKS[target.vendor]
    made = inside / target.pll_divider
    step = oscillator if target.vendor == "ecp5" else 0  # its feedback is the clock that it makes
    if not math.isclose(target.clock_mhz, made) or (step and made % step):
        given = f"clock_mhz = {target.clock_mhz:g}, pll_divider = {target.pll_divider}"
        multiple = f", a multiple of {step}" if step else ""
        raise BadInput(f"{path}: {given}; allowed: clock_mhz = {inside} / pll_divider{multiple}")
