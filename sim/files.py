"""Files written whole or not at all, and folders made by one process for all."""

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
