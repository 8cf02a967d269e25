"""YAML of a user's, checked by pydantic: one line that says where, what, and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from support import yaml_file
from support.errors import BadInput


class Strict(BaseModel):
    """What a file holds: no unknown fields, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def read(path: Path, kind: Any) -> Any:
    """The content of a file as `kind`, a type. Raises BadInput, naming file and field."""
    return checked(path, fields(path), kind)


def fields(path: Path) -> dict[Any, Any]:
    """What a file holds, unchecked. Raises BadInput unless it is fields with values."""
    content = yaml_file.read(path)
    if not isinstance(content, dict):
        raise BadInput(f"{path}: holds {content!r}; allowed: fields, a `name: value` each")
    return content


def checked(path: Path, content: dict[Any, Any], kind: Any) -> Any:
    """The fields of a file as `kind`, a type. Raises BadInput, naming file and field."""
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        given = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
        raise BadInput(f"{path}: {where}{given}: {first['msg']}") from None
