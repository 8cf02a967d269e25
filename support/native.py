"""C++ of our own as a shared library: compiled once with g++, cached by content below build/."""

from __future__ import annotations

import ctypes
import hashlib
import platform
import shutil
import tempfile
from functools import cache
from pathlib import Path

from support.errors import BadInput
from support.files import made_once
from support.processes import run_tool

FLAGS = ("-std=c++20", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC")
FOLDER = Path(__file__).resolve().parent.parent / "build" / "native"


@cache
def library(source: Path, shared: str = "", options: tuple[str, ...] = ()) -> ctypes.CDLL:
    """The library of one C++ file and the headers beside it. Raises BadInput where g++ is missing or refuses it.

    shared: the text that the file includes as "shared.h" (sim/c_text.py). options: of g++, after `FLAGS`; what
    -march=native means is part of the library's name, so that no other processor runs it.
    """
    headers = b"".join(path.read_bytes() for path in sorted(source.parent.glob("*.h")))
    processor = _processor() if "-march=native" in options else ""
    key = (
        " ".join((*FLAGS, *options, processor)).encode()
        + shared.encode()
        + source.read_bytes()
        + headers
    )
    path = FOLDER / f"{source.stem}-{hashlib.sha256(key).hexdigest()[:16]}.so"

    def compiled(partial: Path) -> None:
        if shutil.which("g++") is None:
            raise BadInput("g++ is missing; on Debian: apt-get install g++")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "shared.h").write_text(shared)
            command = ["g++", *FLAGS, *options, "-I", folder, "-o", str(partial), str(source)]
            done = run_tool(command)
        if done.returncode:
            reason = (done.stdout.splitlines() or [f"status {done.returncode}"])[0]
            raise BadInput(f"g++ failed on {source.name}: {reason}")

    return ctypes.CDLL(str(made_once(path, compiled)))


def _processor() -> str:
    """What this processor can do, as Linux lists it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
