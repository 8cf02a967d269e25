"""C++ of our own as a shared library: compiled once with g++, cached by content below build/."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from sim.errors import BadInput

FLAGS = ("-std=c++20", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC")
FOLDER = Path(__file__).resolve().parent.parent / "build" / "native"


@cache
def library(source: Path) -> ctypes.CDLL:
    """The library of one C++ file. Raises BadInput where g++ is missing or refuses it."""
    key = " ".join(FLAGS).encode() + source.read_bytes()
    path = FOLDER / f"{source.stem}-{hashlib.sha256(key).hexdigest()[:16]}.so"
    if not path.is_file():
        if shutil.which("g++") is None:
            raise BadInput("g++ is missing; on Debian: apt-get install g++")
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER, prefix="building-") as folder:
            partial = Path(folder, path.name)
            command = ["g++", *FLAGS, "-o", str(partial), str(source)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BadInput(f"g++ failed on {source.name}: {done.stderr.splitlines()[0]}")
            partial.replace(path)  # another process may have been faster: the same bytes
    return ctypes.CDLL(str(path))
