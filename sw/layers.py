"""A network as types: layers that read sources, and what their neurons do; docs/network.md.

A layer is what the array runs at once: K filters, each the sum over one or more sources, then neurons.
A shortcut is a second source. The description knows no weights; those stand under the sources' names
(sw/ticket.py). Maps have height and width; that the machines of today need squares is for the compiler to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar, NoReturn

from pydantic import ConfigDict, Field

from sw.fields import STRICT, Name, Natural, Number, Positive, Whole
from sw.trained_neuron import TrainedNeuron

IMAGE = "image"  # the network's input, where a source names its map
MAX_WEIGHTS = 1 << 28  # of a network, zero or not: 1 GiB as floats; ResNet-19 has 12 million
MAX_MAP = 1 << 24  # channels times positions; the largest of ResNet-19 has 2**17


class Reduce(StrEnum):
    """What becomes of a layer's sums before its neurons."""

    MEAN = "mean"
    """The mean over the whole map: one neuron a filter is left."""
    SUM = "sum"
    """The sum: what a mean becomes once its divisor is in the weights."""


class Pool(StrEnum):
    """What becomes of a layer's spikes."""

    MAX2 = "max2"
    """2x2 maximum, stride 2; an odd last row or column is dropped."""


class Encoding(StrEnum):
    """What the network's input is."""

    IMAGE = "image"
    """Pixels. The first layer runs in software, sees them once, and replays its sums every tick."""
    SPIKES = "spikes"
    """Binary, for each tick; the first layer runs on the array, too."""


@dataclass(frozen=True)
class Shape:
    """Of a map."""

    channels: int
    height: int
    width: int

    @property
    def size(self) -> int:
        """Neurons or pixels."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


@dataclass(frozen=True, kw_only=True)
class Input:
    """What the network sees. An image is (pixel / 255 - mean) / std for each channel."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    shape: Annotated[tuple[Whole, Whole, Whole], Field(description="[channels, height, width]")]
    encoding: Annotated[Encoding, Field(description="image, spikes")] = Encoding.IMAGE
    mean: Annotated[tuple[Number, ...] | None, Field(description="a number a channel")] = None
    std: Annotated[tuple[Positive, ...] | None, Field(description="a number a channel")] = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A map that a layer reads, and the taps through which each of its filters sees it."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: Name
    """What its parameters stand under; the layer's own name for its first source."""
    map: Name
    """The layer whose spikes it reads; IMAGE is the network's input."""
    channels: Whole
    """Of that map; of a linear source all its positions."""
    kernel: Annotated[
        tuple[Whole, Whole] | None, Field(description="null or [height, width], at least 1")
    ] = None
    """Height and width. None: linear, a weight for each position of the whole map."""
    stride: Whole = 1
    padding: Natural = 0
    groups: Whole = 1
    """Filter k sees channels / groups channels: those of its group."""
    identity: bool = False
    """No weights: filter k adds channel k's spike, unscaled."""

    def weight_shape(self, filters: int) -> tuple[int, ...]:
        """(K, C / groups, height, width), or (K, C) of a linear source."""
        inputs = self.channels // self.groups
        return (filters, inputs, *(self.kernel or ()))

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the map of sums."""
        if self.kernel is None:
            return 1, 1
        tall, wide = self.kernel
        pad = 2 * self.padding
        return (height + pad - tall) // self.stride + 1, (width + pad - wide) // self.stride + 1


@dataclass(frozen=True, kw_only=True)
class Layer:
    """K filters over one or more sources, then neurons; without neurons the sums are the result."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: Name
    filters: Whole
    sources: Annotated[tuple[Source, ...], Field(min_length=1, description="at least one source")]
    reduce: Annotated[Reduce | None, Field(description="null, mean, sum")] = None
    neuron: Annotated[TrainedNeuron | None, Field(description="null or a neuron")] = field(
        default_factory=TrainedNeuron
    )
    pool: Annotated[Pool | None, Field(description="null, max2")] = None

    @property
    def own(self) -> Source:
        """The first source, which has the layer's name."""
        return self.sources[0]

    @property
    def learned(self) -> tuple[Source, ...]:
        """Sources with weights, the layer's own last: the order of tickets and reports."""
        return tuple(source for source in reversed(self.sources) if not source.identity)

    @property
    def identities(self) -> tuple[Source, ...]:
        """Sources without weights."""
        return tuple(source for source in self.sources if source.identity)

    def neurons(self, shapes: dict[str, Shape]) -> Shape:
        """The map of sums, before `reduce` and `pool`. shapes: of the maps that it reads."""
        given = shapes[self.own.map]
        return Shape(self.filters, *self.own.output(given.height, given.width))

    def output(self, shapes: dict[str, Shape]) -> Shape:
        """The map that it hands on."""
        sums = self.neurons(shapes)
        if self.reduce is not None:
            return Shape(self.filters, 1, 1)
        scale = 2 if self.pool is Pool.MAX2 else 1
        return Shape(self.filters, sums.height // scale, sums.width // scale)


@dataclass(frozen=True, kw_only=True)
class Network:
    """Layers in execution order."""

    input: Input
    layers: tuple[Layer, ...]

    @property
    def host(self) -> Layer | None:
        """The layer that runs in software: the first, of an image; None where spikes come in."""
        return self.layers[0] if self.input.encoding is Encoding.IMAGE else None

    @property
    def array(self) -> tuple[Layer, ...]:
        """The layers that the array runs."""
        return self.layers[1:] if self.host else self.layers

    def sources(self) -> Iterator[tuple[Layer, Source]]:
        """Every source with weights, in the order of tickets."""
        for layer in self.layers:
            for source in layer.learned:
                yield layer, source

    def shapes(self) -> dict[str, Shape]:
        """Of every map, IMAGE included, by the name of its layer.

        Raises ValueError, naming field and value, for layers that do not meet.
        """
        result = {IMAGE: Shape(*self.input.shape)}
        _check_size("input.shape", result[IMAGE])
        names: set[str] = {IMAGE}
        for number, layer in enumerate(self.layers):
            where = f"layers[{number}]"
            _check_layer(where, layer, result, names)
            result[layer.name] = layer.output(result)
        weights = sum(math.prod(s.weight_shape(layer.filters)) for layer, s in self.sources())
        if weights > MAX_WEIGHTS:
            refuse("layers", f"{weights:,} weights", f"at most {MAX_WEIGHTS:,}, zero or not")
        return result


def _check_layer(where: str, layer: Layer, shapes: dict[str, Shape], names: set[str]) -> None:
    """Raises ValueError unless a layer can read its maps; adds its names to `names`."""
    for k, source in enumerate(layer.sources):
        if source.name in names or (k == 0) != (source.name == layer.name):
            at = f"{where}.sources[{k}].name" if k else f"{where}.name"
            refuse(at, source.name, "a name of its own; the first source has its layer's")
        names.add(source.name)
    for k, source in enumerate(layer.sources):
        _check_source(f"{where}.sources[{k}]", layer, source, shapes)
    if layer.own.identity:
        refuse(f"{where}.sources[0].identity", True, "false: the first source has weights")
    sums, last = layer.neurons(shapes), layer.output(shapes)
    if min(sums.height, sums.width) < 1 or min(last.height, last.width) < 1:
        refuse(where, f"an output of {last.height}x{last.width}", "at least one position")
    _check_size(where, sums)


def _check_size(where: str, shape: Shape) -> None:
    if shape.size > MAX_MAP:
        refuse(where, f"a map of {shape}", f"at most {MAX_MAP:,} positions of channels")


def _check_source(where: str, layer: Layer, source: Source, shapes: dict[str, Shape]) -> None:
    if source.map not in shapes:
        known = [name for name in shapes if name != IMAGE] or [IMAGE]
        refuse(f"{where}.map", source.map, "an earlier layer: " + ", ".join(known))
    given = shapes[source.map]
    channels = given.size if source.kernel is None else given.channels
    if source.channels != channels:
        refuse(f"{where}.channels", source.channels, f"{channels}, as its map gives")
    for what, count in (("channels", source.channels), ("filters", layer.filters)):
        if count % source.groups:
            refuse(f"{where}.groups", source.groups, f"a divisor of {count} {what}")
    if source.identity and (source.kernel != (1, 1) or source.channels != layer.filters):
        refuse(where, source, f"an identity with a kernel of [1, 1] and {layer.filters} channels")
    output = source.output(given.height, given.width)
    wanted = layer.neurons(shapes)
    if output != (wanted.height, wanted.width):
        wanted_text = f"{wanted.height}x{wanted.width}, as of the layer's own source"
        refuse(f"{where}", f"a map of {output[0]}x{output[1]}", wanted_text)


def refuse(what: str, value: object, allowed: str) -> NoReturn:
    """Raise ValueError of one line; a long value is cut."""
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    raise ValueError(f"{what} = {shown}, allowed: {allowed}")


LIF = TrainedNeuron()


def conv(
    name: str,
    channels: tuple[int, int],
    source: str,
    *,
    kernel: int = 3,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
    reduce: Reduce | None = None,
    pool: Pool | None = None,
    more: tuple[Source, ...] = (),
    neuron: TrainedNeuron | None = LIF,
) -> Layer:
    """A convolution with neurons. channels: of input and output. more: sources beside its own.

    padding: by default what keeps the map's size at a stride of 1.
    """
    own = Source(
        name=name,
        map=source,
        channels=channels[0],
        kernel=(kernel, kernel),
        stride=stride,
        padding=kernel // 2 if padding is None else padding,
        groups=groups,
    )
    return Layer(
        name=name,
        filters=channels[1],
        sources=(own, *more),
        reduce=reduce,
        pool=pool,
        neuron=neuron,
    )


def linear(
    name: str, channels: tuple[int, int], source: str, *, neuron: TrainedNeuron | None = None
) -> Layer:
    """A linear layer over a whole map; by default without neurons, a classifier."""
    own = Source(name=name, map=source, channels=channels[0])
    return Layer(name=name, filters=channels[1], sources=(own,), neuron=neuron)


def identity(name: str, source: str, channels: int, *, stride: int = 1) -> Source:
    """What a shortcut without weights adds: the spikes of a map. name: no other source has it."""
    return Source(
        name=name,
        map=source,
        channels=channels,
        kernel=(1, 1),
        stride=stride,
        identity=True,
    )
