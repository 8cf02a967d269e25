"""Where files go, and how: whole or not at all, and folders made by one process for all."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock

from sim.errors import BadInput

ROOT = Path(__file__).resolve().parent.parent
BUILD = (ROOT if (ROOT / "pyproject.toml").is_file() else Path.cwd()) / "build"
"""Of the checkout; of an installed package, below the folder in which it runs."""


def file_to_write(path: Path | None) -> None:
    """Raises BadInput where no file can be written: a folder, or one in a folder that is not there."""
    if path is not None and path.is_dir():
        raise BadInput(f"{path}: a folder; allowed: a file to write to")
    _in_a_folder(path)


def folder_to_write(path: Path | None) -> None:
    """Raises BadInput where no folder can be: a file, or one in a folder that is not there."""
    if path is not None and path.exists() and not path.is_dir():
        raise BadInput(f"{path}: a file; allowed: a folder")
    _in_a_folder(path)


def _in_a_folder(path: Path | None) -> None:
    if path is not None and not path.absolute().parent.is_dir():
        raise BadInput(f"{path}: there is no folder {path.absolute().parent}")


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` only if the block succeeds.

    Raises OSError naming `path`, never the temporary file beside it.
    """
    if path.exists() and not path.is_file():  # a device or a pipe; a folder fails in open
        with path.open("wb") as file:
            yield file
        return
    target = path.resolve()  # a link stays a link
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        try:
            with partial.open("wb") as file:
                yield file
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        if error.filename != str(partial):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_json(path: Path, content: Any) -> None:
    """Indented JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with atomic_write(path) as file:
        file.write(text.encode())


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Compressed .npz; equal arrays give equal files, and a layer may have any name."""
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED  # that of the archive is not passed on
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def made_once(final: Path, make: Callable[[Path], object]) -> Path:
    """`final`, a file or folder: made by `make(partial)` unless it is there already.

    Of several processes that ask at once, one makes it and the others wait. It appears only if `make`
    succeeds, complete; beside it stays a lock, `.NAME.lock`.
    """
    if not final.exists():
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(final.with_name(f".{final.name}.lock")):
            if not final.exists():
                with tempfile.TemporaryDirectory(dir=final.parent, prefix="making-") as folder:
                    partial = Path(folder, final.name)
                    make(partial)
                    partial.rename(final)
    return final
