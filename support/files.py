"""Where files go, and how: whole or not at all, and folders made by one process for all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock, Timeout

from support.errors import BadInput

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
    if path is not None and not os.access(path.absolute().parent, os.W_OK):
        raise BadInput(f"{path}: folder {path.absolute().parent} cannot be written to")


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` only if the block succeeds.

    Raises OSError naming `path`, never the temporary file beside it, and never nothing: a full disk does.
    """
    device = path.exists() and not path.is_file()  # or a pipe; a folder fails in open
    target = path if device else path.resolve()  # a link stays a link
    partial = target if device else target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        try:
            with partial.open("wb") as file:
                yield file
            if not device:
                partial.replace(target)
        finally:
            if not device:
                partial.unlink(missing_ok=True)
    except OSError as error:
        if error.filename not in (None, str(partial)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_text(path: Path, text: str) -> None:
    """A file of UTF-8, whole or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(path: Path, content: Any) -> None:
    """Indented JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_text(path, text)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Compressed .npz; equal arrays give equal files, and a layer may have any name."""
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED  # that of the archive is not passed on
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def made_once(final: Path, make: Callable[[Path], object]) -> Path:
    """`final`, a file or folder: made by `make(partial)` unless it is there already, undamaged.

    Of several processes that ask at once, one makes it and the others wait. It appears only if `make`
    succeeds, complete; beside it stay a lock, `.NAME.lock`, and a checksum, `.NAME.sha256`: what does not
    match that is made again.
    """
    sums = final.with_name(f".{final.name}.sha256")
    if not _matches(final, sums):
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(final.with_name(f".{final.name}.lock")):
            if not _matches(final, sums):
                with work_folder(final.parent, "making-") as folder:
                    partial = folder / final.name
                    make(partial)
                    sums.write_text(checksum(partial))
                    if os.path.lexists(final):
                        final.rename(folder / "damaged")
                    partial.rename(final)
    return final


def checksum(path: Path) -> str:
    """SHA-256 of a file, or of all names and contents in a folder."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        digest.update(f"{file.relative_to(path)}\0".encode())
        if file.is_file():
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def checksum_of_file(path: Path) -> str:
    """SHA-256, as `sha256sum` prints it. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _matches(final: Path, sums: Path) -> bool:
    try:
        return final.exists() and checksum(final) == sums.read_text()
    except OSError:
        return False


@contextmanager
def work_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder that is gone in the end; those of processes that died are cleared first.

    Whose process lives holds a lock on `.alive` in it.
    """
    with FileLock(parent / ".work.lock"):
        for old in parent.glob(f"{prefix}*"):
            try:
                with FileLock(old / ".alive", timeout=0):
                    shutil.rmtree(old, ignore_errors=True)
            except (Timeout, OSError):
                continue
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        alive = FileLock(folder / ".alive")
        alive.acquire()
    try:
        yield folder
    finally:
        alive.release()
        shutil.rmtree(folder, ignore_errors=True)
