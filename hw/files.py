"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


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
