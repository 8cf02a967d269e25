"""Metadata of a ticket, version 2, checked: what is needed to run it, and what an outsider need not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, Field, ValidationError

from sw.fields import STRICT, Leak, Name, Natural, Share, Whole
from sw.layers import Input, Layer

FORMAT = "uticket-ticket"
VERSION = 2
History = Annotated[list[dict[str, Any]], Field(description="a list with an object a round")]
Model = TypeVar("Model", bound=BaseModel)


class Metadata(BaseModel):
    """What both versions have. Everything that has a default may be missing."""

    model_config = STRICT

    ticks: Whole
    weight_bits: Annotated[Literal[4, 8, 16], Field(description="4, 8 or 16")]
    network: Name | None = None
    dataset: Name | None = None
    method: Name | None = None
    schedule: Name | None = None
    policy: Annotated[
        Literal["none", "sort", "random", "magnitude"] | None,
        Field(description="none, sort, random, magnitude"),
    ] = None
    n_pe: Whole | None = None
    scale: Annotated[Literal["largest", "grid"] | None, Field(description="largest, grid")] = None
    """Of a filter's integers: sw/quantize.py."""
    leak: Leak | None = None
    seed: Natural | None = None
    rounds: Natural = 0
    epochs: Annotated[
        float | None, Field(ge=0, allow_inf_nan=False, description="a number, at least 0")
    ] = None
    images_seen: Natural | None = None
    rewound: Annotated[bool | None, Field(description="true or false")] = None
    nnz: Natural | None = None
    weight_sparsity: Share | None = None
    accuracy: Share | None = None
    accuracy_quantized: Share | None = None
    test_images: Whole | None = None
    date: Annotated[str | None, Field(min_length=1, description="a date")] = None
    versions: Annotated[dict[str, Name], Field(description="name: version")] = {}
    history: History = []
    notes: Annotated[dict[str, Any], Field(description="an object")] = {}
    """Whatever else its maker wants to say; not interpreted."""


class MetadataV2(Metadata):
    """What a network is, too."""

    input: Annotated[Input, Field(description="an object with shape, encoding, mean, std")]
    layers: Annotated[list[Layer], Field(min_length=1, description="a list of layers")]


def checked(model: type[Model], text: str, what: str) -> Model:
    """JSON as a model. Raises ValueError of one line: what is missing, or the first that is wrong."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        _refuse(model, error.errors(include_url=False), what)


def _refuse(model: type[BaseModel], errors: Sequence[Any], what: str) -> NoReturn:
    missing = [_path(what, e["loc"]) for e in errors if e["type"] == "missing"]
    if missing:
        raise ValueError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    error = errors[0]
    place = _path(what, error["loc"])
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        raise ValueError(f"{place} is no field of a ticket")
    shown = repr(error["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    allowed = _allowed(model, error["loc"]) or error["msg"]
    raise ValueError(f"{place} = {shown}, allowed: {allowed}")


def _path(what: str, location: Sequence[str | int]) -> str:
    parts = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in _named(location)]
    return what + "".join(parts)


def _named(location: Sequence[str | int]) -> list[str | int]:
    """Without what pydantic adds for unions and keys of dictionaries."""
    return [k for k in location if isinstance(k, int) or (k.isidentifier() and k not in PLAIN)]


PLAIN = ("int", "float", "str", "bool", "none", "TrainedNeuron")


def _allowed(model: type[BaseModel], location: Sequence[str | int]) -> str | None:
    """The description of the innermost field on a path that has one."""
    schema = model.model_json_schema()
    node: Any = schema
    found = None
    for key in _named(location):
        node = _step(schema, node, key)
        if node is None:
            break
        options = [node, *node.get("anyOf", [])]
        found = next((o["description"] for o in options if "description" in o), found)
    return found


def _step(schema: dict[str, Any], node: dict[str, Any], key: str | int) -> dict[str, Any] | None:
    """A field or an item of a JSON schema's node, through references and unions."""
    for option in [node, *node.get("anyOf", []), *node.get("allOf", [])]:
        target = option
        if "$ref" in option:
            target = schema["$defs"][option["$ref"].rpartition("/")[2]]
        if isinstance(key, str) and key in target.get("properties", {}):
            return target["properties"][key]
        if isinstance(key, int) and ("items" in target or "prefixItems" in target):
            items = target.get("prefixItems")
            return items[key] if items and key < len(items) else target.get("items", {})
    return None
