"""A network of one's own as rows, a layer each, as `network:` of a MODEL.yaml has them (docs/training.md).

- {conv: 32, pool: max2}                   # 32 filters of 3x3, batch norm, neurons, 2x2 pooling
- {conv: 64, name: wide}
- {conv: 64, add: wide}                    # and the spikes of an earlier layer: a shortcut
- {conv: 128, kernel: 1, reduce: mean}     # the mean over the whole map
- {linear: 64, neuron: {leak: 0.875}}      # neurons, of another leak than the others
- {linear: 10}                             # the classifier, last
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from hw.neuron import UNIT, trained
from sw.fields import STRICT, Leak, Name, Natural, Positive, Whole
from sw.layers import (
    IMAGE,
    LIF,
    Input,
    Layer,
    Network,
    Pool,
    Reduce,
    conv,
    identity,
    linear,
)
from sw.trained_neuron import RESETS, TrainedNeuron

MAX_ROWS = 1000
# YAML has no enums: their values are read as words
Pooled = Annotated[Pool | None, Field(strict=False, description="max2")]
Reduced = Annotated[Reduce | None, Field(strict=False, description="mean")]


class Kind(BaseModel):
    """A neuron that is trained: v = leak v + gain x, fires at v >= 1; x is normalized."""

    model_config = STRICT

    leak: Leak = LIF.leak
    gain: Positive = 1.0
    reset: Annotated[str, Field(pattern=RESETS)] = LIF.reset
    start: Annotated[str, Field(pattern="^(zero|half)$")] = LIF.start

    def neuron(self) -> TrainedNeuron:
        """Raises ValueError for a leak that no hardware has."""
        if trained(self.leak, self.reset, self.start) is None:
            low = max(math.floor(self.leak * UNIT), 1)
            raise ValueError(
                f"leak = {self.leak:g}; allowed: k / {UNIT}, nearest: {low / UNIT} and {(low + 1) / UNIT}"
            )
        return TrainedNeuron(leak=self.leak, gain=self.gain, reset=self.reset, start=self.start)


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
    neuron: Kind | None = None
    """None: that of the network."""


def read(rows: Any) -> tuple[Row, ...]:
    """Raises ValueError, naming row and field, for what is no list of rows."""
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        raise ValueError(f"network = {rows!r:.60}; allowed: a list of 1 to {MAX_ROWS} layers")
    found = []
    for k, row in enumerate(rows):
        found.append(_checked(Row, row, f"network[{k}]", "a row"))
        _check(k, found[-1], last=k == len(rows) - 1)
    return tuple(found)


def read_neuron(given: Any) -> TrainedNeuron:
    """The neuron of all layers. Raises ValueError for anything but the fields of `Kind`."""
    return _checked(Kind, given, "neuron", "it").neuron()


T = TypeVar("T", bound=BaseModel)


def _checked(kind: type[T], given: Any, where: str, whole: str) -> T:
    """`given` as fields. Raises ValueError that names the field; `whole` where it is no mapping."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        within = Kind if first["loc"][:1] == ("neuron",) else kind
        fields = ", ".join(within.model_fields)
        what = ".".join(map(str, first["loc"])) or whole
        allowed = fields if first["type"] in ("extra_forbidden", "model_type") else first["msg"]
        raise ValueError(f"{where}: {what} = {first['input']!r:.60}; allowed: {allowed}") from None


def _check(k: int, row: Row, *, last: bool) -> None:
    if (row.conv is None) == (row.linear is None):
        raise ValueError(f"network[{k}]: conv and linear; allowed: one of them, with its filters")
    if last and row.linear is None:
        raise ValueError(f"network[{k}]: conv; allowed: linear in the last row, the classifier")
    allowed = ["linear", "name", *([] if last else ["neuron"])]
    given = row.model_fields_set - set(allowed)
    if row.linear is not None and given:
        raise ValueError(
            f"network[{k}]: {min(given)} of a linear layer{', the last' * last}; allowed: {', '.join(allowed)}"
        )
    if row.neuron is not None:
        try:
            row.neuron.neuron()
        except ValueError as error:
            raise ValueError(f"network[{k}]: neuron: {error}") from None
    if row.reduce is Reduce.SUM:
        raise ValueError(f"network[{k}]: reduce = 'sum'; allowed: mean")


def build(rows: Sequence[Row], pixels: Input, neuron: TrainedNeuron = LIF) -> tuple[Layer, ...]:
    """The layers for an input `pixels`. neuron: of rows that have none of their own.

    Raises ValueError for layers that do not meet.
    """
    layers: list[Layer] = []
    shapes = Network(input=pixels, layers=()).shapes()
    before = IMAGE
    for k, row in enumerate(rows):
        name = row.name or f"{'conv' if row.conv else 'fc'}{k + 1}"
        given = shapes[before]
        own = row.neuron.neuron() if row.neuron else neuron
        if row.linear:
            last = k == len(rows) - 1
            channels = given.size, row.linear
            layers.append(linear(name, channels, before, neuron=None if last else own))
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
                    neuron=own,
                )
            )
        shapes = Network(input=pixels, layers=tuple(layers)).shapes()
        before = name
    return tuple(layers)
