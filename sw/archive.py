"""The arrays of an .npz file: written, and read where it may be damaged or malicious, checked before anything is allocated."""

from __future__ import annotations

import math
import os
import stat
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

import numpy as np
from numpy.lib import format as npy

MAX_BYTES = 2 << 30  # of all arrays, unpacked
MAX_ARRAYS = 100_000
LEVEL = 1
"""Of compression: of a dense network it takes a quarter of the default's time for the same size."""
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Unreadable(ValueError):  # noqa: N818 - what the file is
    """What is wrong with a file, in one line without the file's name."""


class Archive:
    """An open .npz. `names` in the file's order; an array is read when it is asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        """Raises Unreadable for anything but a zip of .npy members, each name once, of bearable size."""
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Unreadable("no regular file")  # it may never end
        if file.read(6) == npy.MAGIC_PREFIX:
            raise Unreadable("a single array")
        self._zip = zipfile.ZipFile(file)
        members = self._zip.infolist()
        if len(members) > MAX_ARRAYS:
            raise Unreadable(f"{len(members):,} arrays, allowed: {MAX_ARRAYS:,}")
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name == member.filename:
                raise Unreadable(f"member {name!r} is no array")
            if name in self._members:
                raise Unreadable(f"array {name!r} is there twice")
            self._members[name] = member
        total = sum(member.file_size for member in members)
        if total > MAX_BYTES:
            raise Unreadable(f"{total:,} bytes unpacked, allowed: {MAX_BYTES:,}")

    @property
    def names(self) -> list[str]:
        """Of all arrays."""
        return list(self._members)

    def __getitem__(self, name: str) -> np.ndarray:
        """An array. Raises Unreadable, naming it, where its header or content is damaged."""
        with _one_line(f"{name}: "):
            member = self._members[name]
            with self._zip.open(member) as file:
                _check_header(file, member.file_size)
            with self._zip.open(member) as file:
                return npy.read_array(file, allow_pickle=False)


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """An .npz file, closed in the end. Raises OSError where there is none, Unreadable where it is damaged."""
    with path.open("rb") as file:
        with _one_line(""):
            archive = Archive(file)
        yield archive


def write(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """An .npz: equal arrays give equal bytes. Floats are not compressed, which would take a tenth off."""
    with zipfile.ZipFile(file, "w", compresslevel=LEVEL) as archive:
        for name, array in arrays.items():
            floats = np.asanyarray(array).dtype.kind == "f"
            archive.compression = zipfile.ZIP_STORED if floats else zipfile.ZIP_DEFLATED
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, np.asanyarray(array), allow_pickle=False)


def _check_header(file: IO[bytes], size: int) -> None:
    """Refuses an array whose shape and type do not make up the member's size."""
    version = npy.read_magic(file)
    if version not in HEADERS:
        _refuse(f"format {version}, allowed: 1.0, 2.0")
    shape, _, kind = HEADERS[version](file)
    if kind.hasobject:
        _refuse("it holds Python objects, allowed: plain arrays")
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != size - file.tell():
        _refuse(f"{kind} {shape} in {size - file.tell()} bytes")


def _refuse(text: str) -> NoReturn:
    raise Unreadable(text)


@contextmanager
def _one_line(where: str) -> Iterator[None]:
    """Whatever zipfile, a decompressor and NumPy's header reader raise becomes Unreadable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers as Python 2 wrote them
            yield
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise Unreadable(where + text) from None
