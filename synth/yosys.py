"""Runs Yosys (pyosys, from its wheel) on a script, in a process of its own.

Usage: python -m synth.yosys SCRIPT, as `run` does.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from support.errors import BadInput
from support.processes import run_tool


def run(script: list[str], folder: Path, name: str) -> None:
    """Run commands in `folder`, which gets NAME.ys and NAME.log.

    Raises BadInput where pyosys is missing, or with Yosys' own error.
    """
    if importlib.util.find_spec("pyosys") is None:
        raise BadInput("pyosys is missing; `make synth` and `make fpga` set it up")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.ys").write_text("\n".join(script) + "\n")
    log = folder / f"{name}.log"
    root = Path(__file__).resolve().parent.parent
    done = run_tool(
        [sys.executable, "-m", "synth.yosys", f"{name}.ys"],
        log=log,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    if status := done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        reason = errors[-1].partition("ERROR: ")[2] if errors else f"it ended with status {status}"
        raise BadInput(f"Yosys: {reason} (see {log})")


def main(script: str) -> None:
    """Run one script."""
    from pyosys import libyosys

    libyosys.Design().run_pass(f"script {script}")


if __name__ == "__main__":
    main(sys.argv[1])
