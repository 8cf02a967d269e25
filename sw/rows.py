"""A network of one's own as rows, a layer each, as `network:` of a MODEL.yaml has them (docs/training.md).

- {conv: 32, pool: max2}                   # 32 filters of 3x3, batch norm, neurons, 2x2 pooling
- {conv: 64, name: wide}
- {conv: 64, add: wide}                    # and the spikes of an earlier layer: a shortcut
- {conv: 128, kernel: 1, reduce: mean}     # the mean over the whole map
- {linear: 10}                             # the classifier, last
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from sw.fields import STRICT, Name, Natural, Whole
from sw.layers import IMAGE, Input, Layer, Network, Pool, Reduce, conv, identity, linear

MAX_ROWS = 1000
# YAML has no enums: their values are read as words
Pooled = Annotated[Pool | None, Field(strict=False, description="max2")]
Reduced = Annotated[Reduce | None, Field(strict=False, description="mean")]


class Row(BaseModel):
    """A layer: `conv` or `linear` says how many filters."""

    model_config = STRICT

    conv: Whole | None = None
    linear: Whole | None = None
    name: Name | None = None
    kernel: Whole = 3
    stride: Whole = 1
    padding: Natural | None = None
    """None: what keeps the map's size at a stride of 1."""
    groups: Whole = 1
    pool: Pooled = None
    reduce: Reduced = None
    add: Name | None = None
    """An earlier layer, whose spikes are added."""


def read(rows: Any) -> tuple[Row, ...]:
    """Raises ValueError, naming row and field, for what is no list of rows."""
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        raise ValueError(f"network = {rows!r:.60}; allowed: a list of 1 to {MAX_ROWS} layers")
    try:
        found = TypeAdapter(tuple[Row, ...]).validate_python(tuple(rows))
    except ValidationError as error:
        first = error.errors()[0]
        where, *field = first["loc"]
        fields = ", ".join(Row.model_fields)
        what = ".".join(map(str, field)) or "a row"
        allowed = fields if first["type"] in ("extra_forbidden", "model_type") else first["msg"]
        raise ValueError(
            f"network[{where}]: {what} = {first['input']!r:.60}; allowed: {allowed}"
        ) from None
    for k, row in enumerate(found):
        _check(k, row, last=k == len(found) - 1)
    return found


def _check(k: int, row: Row, *, last: bool) -> None:
    if (row.conv is None) == (row.linear is None):
        raise ValueError(f"network[{k}]: conv and linear; allowed: one of them, with its filters")
    if last != (row.linear is not None):
        raise ValueError(
            f"network[{k}]: {'conv' if last else 'linear'}; allowed: linear in the last row and there alone: "
            "the classifier"
        )
    given = row.model_fields_set - {"linear", "name"}
    if last and given:
        raise ValueError(f"network[{k}]: {min(given)} of a linear layer; allowed: linear, name")
    if row.reduce is Reduce.SUM:
        raise ValueError(f"network[{k}]: reduce = 'sum'; allowed: mean")


def build(rows: Sequence[Row], pixels: Input) -> tuple[Layer, ...]:
    """The layers for images `pixels`. Raises ValueError for layers that do not meet."""
    layers: list[Layer] = []
    shapes = Network(input=pixels, layers=()).shapes()
    before = IMAGE
    for k, row in enumerate(rows):
        name = row.name or f"{'conv' if row.conv else 'fc'}{k + 1}"
        given = shapes[before]
        if row.linear:
            layers.append(linear(name, (given.size, row.linear), before))
        else:
            more = (identity(f"{name}_identity", row.add, row.conv or 0),) if row.add else ()
            layers.append(
                conv(
                    name,
                    (given.channels, row.conv or 0),
                    before,
                    kernel=row.kernel,
                    stride=row.stride,
                    padding=row.padding,
                    groups=row.groups,
                    reduce=row.reduce,
                    pool=row.pool,
                    more=more,
                )
            )
        shapes = Network(input=pixels, layers=tuple(layers)).shapes()
        before = name
    return tuple(layers)
