"""Runs a cocotb module on exported Verilog, and raises unless its tests ran and passed.

In Verilator, or in Icarus Verilog, which knows undefined values and is far slower.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import cocotb
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import Icarus, Verilator

from sim.rtl.verilator import build_once, environment
from support.errors import BadInput
from tb import verilated
from tb.mutate import check_edits

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "tb"
PARAMETERS = "UTICKET_TB_PARAMETERS"  # environment variable: path of the case's JSON
# Whose asserts are rewritten to show both sides; of every module imported, NumPy's too, if cocotb is told nothing.
SHOWN = {"COCOTB_REWRITE_ASSERTION_FILES": "test_*.py"}
RUNNERS = {"verilator": Verilator, "icarus": Icarus}


class SimulationError(AssertionError):
    """A cocotb test failed, or none ran; the simulator's output is in the message."""


def parameters() -> dict:
    """Inside the simulation: what `simulate` was given."""
    return json.loads(Path(os.environ[PARAMETERS]).read_text())


def simulate(
    component_verilog: Path,
    top: str,
    test_module: str,
    parameters: dict,
    case: str,
    *,
    test: str | None = None,
    simulator: str = "verilator",
    more_verilog: Sequence[Path] = (),
) -> None:
    """Run the cocotb tests of a module on a component. Raises SimulationError unless all passed.

    Raises ValueError where a fault of tb/faults.toml that the running test must notice fits the Verilog no more.

    component_verilog: the exported file. more_verilog: what it leaves out. top: its top module. test_module: such as "tb.test_lif".
    parameters: whatever the tests read with `parameters()`, as JSON can write it. case: names the
    folder of results, one a case. test: the only cocotb test to run; all of the module if None.
    """
    if simulator == "icarus" and shutil.which("iverilog") is None:
        raise BadInput("iverilog is missing; on Debian: apt-get install iverilog")
    sources = [component_verilog, *more_verilog]
    check_edits(os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0], sources)

    def build(work: Path, result: Path, files: list[str]) -> None:
        log = result / "build.log"
        try:
            if simulator == "verilator":
                built = verilated.verilate(files, top, work, BUILD, log)
            else:
                built = _iverilog(files, top, work, log)
        except (RuntimeError, SystemExit, BadInput):
            raise SimulationError(f"{component_verilog} does not build:\n{_tail(log)}") from None
        shutil.move(built, result)

    with mock.patch.dict(os.environ, environment()):
        os.environ.pop("PYTEST_CURRENT_TEST", None)  # changes what the runner does
        recipe = [top, simulator, verilated.RECIPE, cocotb.__version__]
        folder = build_once(sources, BUILD, recipe, build)
        run = BUILD / "runs" / folder.name / case  # what is built stays as it was
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        (run / "parameters.json").write_text(json.dumps(parameters))
        runner, results, log = RUNNERS[simulator](), run / "results.xml", run / "simulation.log"
        try:
            runner.test(
                test_module=test_module,
                test_filter=None if test is None else rf"\.{test}$",
                hdl_toplevel=top,
                hdl_toplevel_lang="verilog",
                build_dir=folder,
                test_dir=run,
                results_xml=str(results),
                seed=1,  # tests take their seeds from the parameters
                log_file=log,
                extra_env={PARAMETERS: str(run / "parameters.json"), **SHOWN},
            )
        except (RuntimeError, SystemExit) as error:
            raise SimulationError(f"{case}: {error}\n{_tail(log)}") from None
    count, failed = get_results(results) if results.is_file() else (0, 0)
    if failed or not count:
        raise SimulationError(f"{case}: {failed} of {count} cocotb tests failed\n{_tail(log)}")


def _iverilog(files: list[str], top: str, work: Path, log: Path) -> Path:
    """What Icarus makes of Verilog files in the folder `work`. Raises RuntimeError or SystemExit where it cannot."""
    Icarus().build(
        sources=[work / name for name in files],
        hdl_toplevel=top,
        build_dir=work,
        timescale=("1ns", "1ps"),
        log_file=log,
    )
    return work / "sim.vvp"


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-8000:] if log.is_file() else "(no output)"
