"""Rows as they come, so that a sweep that is killed goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import hw
import sim
import sw
from sim.explore.evaluate import Row
from sim.explore.spec import Point, Spec


def code_version() -> str:
    """Changes with the code that decides rows."""
    digest = hashlib.sha256()
    for folder in (Path(hw.__file__).parent, Path(sw.__file__).parent, Path(sim.__file__).parent):
        for path in sorted(
            [*folder.rglob("*.py"), *folder.rglob("*.cpp"), *folder.rglob("*.yaml")]
        ):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _header(spec: Spec) -> dict[str, str]:
    return {"sweep": spec.fingerprint, "code": code_version()}


def read_journal(path: Path, spec: Spec) -> dict[Point, Row]:
    """Rows of this sweep that an earlier run left, by point; none of another sweep or other code."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return {}
    *whole, _ = lines  # what follows the last newline was cut off
    try:
        header, *found = [json.loads(line) for line in whole]
    except ValueError:
        return {}
    if header != _header(spec):
        return {}
    names = [field.name for field in fields(Point)]
    return {Point(**{name: row[name] for name in names}): row for row in found}


@contextmanager
def open_journal(path: Path, spec: Spec, *, fresh: bool) -> Iterator[Callable[[list[Row]], None]]:
    """Something that adds rows, each a line that is either whole or cut off at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if fresh:
        path.write_text(json.dumps(_header(spec)) + "\n", encoding="utf-8")
    else:  # a line that was cut off goes
        text = path.read_text(encoding="utf-8")
        path.write_text(text[: text.rindex("\n") + 1], encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:

        def write(rows: list[Row]) -> None:
            for row in rows:
                file.write(json.dumps(row) + "\n")
            file.flush()

        yield write
