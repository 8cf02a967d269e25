"""A component for cocotb in Verilator, compiled as one C++ file with cocotb's `main`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cocotb_tools.config

from sim.rtl.one_file import RUNTIME, Kind
from sim.rtl.verilator import WARNINGS, run

MAIN = str(Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp")
LIBRARIES = str(cocotb_tools.config.libs_dir)
VERILATOR = (
    *("verilator", "--cc", "--vpi", "--prefix", "Vtop", "-Mdir", "build", "--timescale", "1ns/1ps"),
    # Tests see the top's ports alone: the rest is a third less to compile.
    *("--public-depth", "1", "--x-assign", "0", "--x-initial", "0", *WARNINGS),
)
SIMULATION = Kind(
    flags=("-O0",),
    headers=(
        *("libgen.h", "stdio.h", "memory", "string"),
        *("verilated.h", "verilated_dpi.h", "verilated_vpi.h"),
    ),
    runtime=(*RUNTIME, "verilated_dpi.cpp", "verilated_vpi.cpp"),
)
RECIPE = (*VERILATOR, *SIMULATION.flags, *SIMULATION.headers, *SIMULATION.runtime)
"""What decides a build, beside the Verilog, the top and the tools' versions."""


def verilate(files: Sequence[str], top: str, work: Path, store: Path, log: Path) -> Path:
    """The simulation of module `top` of Verilog files in the folder `work`; cocotb's runner starts it.

    store: the folder of what is built once. log: what a tool says that fails; BadInput is raised then.
    """
    run([*VERILATOR, "--top-module", top, *files], cwd=work, log=log)
    cocotb = (f"-Wl,-rpath,{LIBRARIES}", f"-L{LIBRARIES}", "-lcocotbvpi_verilator")
    return SIMULATION.link(work / "build", [MAIN], top, store, log, *cocotb)
