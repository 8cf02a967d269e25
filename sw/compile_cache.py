"""What `torch.compile` keeps on disk: a linker that was killed leaves half a library, which never loads."""

from __future__ import annotations

import struct
from pathlib import Path

_ELF64 = struct.Struct("<16x HHIQQQIHHHHHH")  # after its magic number and kind


def drop_damaged(folder: Path) -> int:
    """Remove the libraries below `folder` that are cut short, to be compiled anew; how many there were."""
    damaged = [path for path in folder.rglob("*.so") if not _whole(path)]
    for path in damaged:
        path.unlink(missing_ok=True)
    return len(damaged)


def _whole(path: Path) -> bool:
    """The table of sections is the last part of a library that a linker writes."""
    with path.open("rb") as file:
        header = file.read(_ELF64.size)
    if header[:4] != b"\x7fELF" or len(header) < _ELF64.size:
        return False
    *_, sections_at, _, _, _, _, size, count, _ = _ELF64.unpack(header)
    return path.stat().st_size >= sections_at + size * count
