"""YAML of a user's, checked against a msgspec.Struct: one line that says where, what, and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from sim.errors import BadInput

T = TypeVar("T")


def read(path: Path, kind: type[T]) -> T:
    """The content of a file as `kind`. Raises BadInput, naming file and field."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{path}: {error}") from None
