"""FPGA boards: a YAML each, found by looking into this folder; pins are in constraints/. See CONTRIBUTING.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hw.config import PRESETS
from sim import schema
from sim.errors import BadInput
from sim.schema import Strict

FOLDER = Path(__file__).resolve().parent
CONSTRAINTS = FOLDER.parent.parent / "constraints"
Positive = Annotated[int, Field(gt=0)]


class Target(Strict):
    """A board, and the array that goes on it."""

    device: str
    vendor: Literal["ecp5", "xilinx"]
    clock_mhz: Annotated[float, Field(gt=0)]
    """Of the array."""
    pll_divider: Positive
    """See synth.board.PLLS."""
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
    if not (CONSTRAINTS / target.constraints).is_file():
        raise BadInput(
            f"{path}: constraints = {target.constraints!r}: no such file in {CONSTRAINTS}"
        )
    return target
