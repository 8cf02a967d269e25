"""Lints exported Verilog: Verilator with -Wall, less what the head of each file allows, and Yosys.

Usage: python -m tb.lint FOLDER, what `make verilog` wrote

Each FOLDER/*.v alone, each FOLDER/blackbox/*.v with the memories beside it, and a PE and the chip with those of
constraints/sram too, if it has all of them. What stands in the chip on AXI, too, is elaborated alone, not scheduled:
loops and latches are looked for in the whole. Every signal must have a name of hw/. Exit status 1 if there is a warning, 2 if a tool is missing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sim.rtl.verilator import environment
from support.errors import BadInput
from synth import yosys

MEMORIES = "memories.v"
SRAM = Path(__file__).resolve().parent.parent / "constraints" / "sram"
SKY130 = [SRAM / "sky130.v", SRAM / "sky130_macros.vh"]
WRAPPED = ("pe", "top")
PARTS = ("pe_array", "top")  # all of top_axi: to what is slow, they are nothing new
WHOLE = ("--lint-only", "-fno-dfg")  # a pass that only makes a model faster
ELABORATED = (  # widths, drivers, what is unused, modules and ports; no loops, no latches; an eighth of the time
    *("--json-only", "--json-only-output", os.devnull, "--json-only-meta-output", os.devnull),
)
WARNING = re.compile(r"^(%(?:Warning|Error).*|.*\b(?:Warning|ERROR):.*)", re.MULTILINE)


def verilator(files: list[Path], top: str, how: Sequence[str] = WHOLE) -> list[str]:
    """Verilator's warnings and errors. how: WHOLE or ELABORATED."""
    command = ["verilator", *how, "-Wall", "--top-module", top]
    done = subprocess.run(
        [*command, *map(str, files)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    found = WARNING.findall(done.stdout)
    return found or ([done.stdout.strip()[-500:]] if done.returncode else [])


def yosys_check(files: list[Path], top: str, logs: Path) -> list[str]:
    """Yosys' warnings: loops, several drivers, none, a latch; every module must be there."""
    script = [f"read_verilog {path.resolve()}" for path in files]
    script += [f"hierarchy -check -top {top}", "proc", "select -assert-none t:$*dlatch*", "check"]
    name = f"{top}-{len(files)}"
    try:
        yosys.run(script, logs, name)
    except BadInput as error:
        return [str(error)]
    return WARNING.findall((logs / f"{name}.log").read_text())


def nameless(path: Path) -> list[str]:
    """Signals of `a, b = Signal(), Signal()`: Amaranth finds the last one's name alone."""
    names = sorted(set(re.findall(r"\\\$signal\S*", path.read_text())))
    told = f"{len(names)} signals have no name in hw/ ({', '.join(names[:3])}): give each a line"
    return [told] if names else []


def lint(folder: Path, logs: Path) -> list[str]:
    """All warnings, each with its file."""
    warnings = []
    boxes = [path for path in folder.glob("blackbox/*.v") if path.name != MEMORIES]
    for path in sorted([*folder.glob("*.v"), *boxes]):
        files = [path] if path.parent == folder else [path, path.with_name(MEMORIES)]
        found = verilator(files, path.stem, ELABORATED if path.stem in PARTS else WHOLE)
        if path in boxes and path.stem in WRAPPED and _wrapped(path.with_name(MEMORIES)):
            found += verilator([path, *SKY130], path.stem)
        if path.stem not in PARTS:
            found += yosys_check(files, path.stem, logs)
        found += nameless(path)
        warnings += [f"{path}: {line}" for line in found]
        print(f"{path}: {len(found) or 'no'} warnings", flush=True)
    return warnings


def _wrapped(memories: Path) -> bool:
    """Whether constraints/sram has every macro of a machine."""
    wrapper = SKY130[0].read_text()
    names = re.findall(r"^module (\w+)", memories.read_text(), re.MULTILINE)
    return all(f"module {name} " in wrapper for name in names)


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    if len(arguments) != 1 or not list(Path(arguments[0]).glob("*.v")):
        print("usage: python -m tb.lint FOLDER, a folder with Verilog", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    try:
        warnings = lint(folder, folder.parent / "lint" / folder.name)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in warnings:
        print(f"error: {line}", file=sys.stderr)
    return 1 if warnings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
