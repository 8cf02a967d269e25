"""YAML of a user's, checked by pydantic: one line that says where, what, and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sim import yaml_file
from sim.errors import BadInput


class Strict(BaseModel):
    """What a file holds: no unknown fields, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def read(path: Path, kind: Any) -> Any:
    """The content of a file as `kind`, a type. Raises BadInput, naming file and field."""
    content = yaml_file.read(path)
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = first["loc"]
        if isinstance(content, dict) and place[:1] == (content.get("kind"),):
            place = place[1:]  # which of several kinds it is
        where = ".".join(map(str, place)) or "the file"
        given = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
        raise BadInput(f"{path}: {where}{given}: {first['msg']}") from None
