"""Runs Yosys (pyosys, from its wheel) on a script, in a process of its own.

Usage: python -m synth.yosys SCRIPT, as `run` does.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from sim.errors import BadInput


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
    with log.open("w") as out:
        status = subprocess.run(
            [sys.executable, "-m", "synth.yosys", f"{name}.ys"],
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(root)},
            check=False,
        ).returncode
    if status:
        errors = [line for line in log.read_text(errors="replace").splitlines() if "ERROR" in line]
        reason = errors[-1].partition("ERROR: ")[2] if errors else f"it ended with status {status}"
        raise BadInput(f"Yosys: {reason} (see {log})")


def main(script: str) -> None:
    """Run one script."""
    from pyosys import libyosys

    libyosys.Design().run_pass(f"script {script}")


if __name__ == "__main__":
    main(sys.argv[1])
