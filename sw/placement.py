"""Where maps lie in the spike buffer, and what this array cannot run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hw.config import BANKS, MAX_SIDE, Config
from hw.tiling import Storage, Tiling
from sw.integers import IntegerNetwork
from sw.layers import Layer, Pool, Shape, Source
from sw.order import Ordered

MAX_CHANNELS = 1024
MAX_LAYERS = 255


class DoesNotFit(ValueError):  # noqa: N818 - reads as what it says
    """A network that the hardware cannot run: which layer, what it needs, what there is."""


@dataclass(frozen=True)
class Region:
    """A map in the spike buffer: `words` of each bank from address `base` on."""

    base: int
    words: int
    side: int
    channels: int


@dataclass(frozen=True)
class Descriptor:
    """A layer's descriptor, hw.program.LAYER: what the array is told of it."""

    filters: int
    channels: int  # of the first source
    side: int  # of the map of neurons, before pooling or averaging
    half: int  # 1: tiles of half a side, for a stride of 2
    pool: int
    raw: int
    fast: int
    padded: int
    output_base: int
    output_side: int
    identity: int
    average: int
    input: dict[str, int]  # base, side, strided of the first source
    shortcut: dict[str, int]  # of the second

    def tiling(self, config: Config) -> Tiling:
        """Of the map of neurons."""
        output = Storage(config, self.output_side, self.output_side)
        return Tiling(
            config=config,
            height=self.side,
            width=self.side,
            output=output,
            half=bool(self.half),
            pool=bool(self.pool),
        )


@dataclass(frozen=True)
class Placed:
    """Where a network's maps lie, and what the array is told of each layer."""

    regions: dict[str, Region]  # by map
    descriptors: dict[str, Descriptor]  # by layer


def place(ordered: Ordered, config: Config) -> Placed:
    """Maps find their regions in the spike buffer. Raises DoesNotFit for what the hardware cannot run."""
    network = ordered.network
    if network.ticks != config.ticks:
        raise DoesNotFit(f"the network has {network.ticks} ticks, the hardware {config.ticks}")
    if len(network.array) > MAX_LAYERS:
        raise DoesNotFit(f"the network has {len(network.array)} layers; allowed: {MAX_LAYERS}")
    shapes = network.description.shapes()
    _check_map("the input", shapes[network.first_map])
    for integer in network.array:
        check_layer(integer.layer, shapes, config)
    regions = _allocate(network, config, shapes)
    descriptors = {i.name: _descriptor(i.layer, regions, shapes, config) for i in network.array}
    return Placed(regions, descriptors)


def _descriptor(
    layer: Layer, regions: dict[str, Region], shapes: dict[str, Shape], config: Config
) -> Descriptor:
    own, output = layer.own, regions.get(layer.name)
    inputs = [regions[source.map] for source in layer.sources]
    strided = [source.stride == 2 and not source.identity for source in layer.sources]
    second = len(inputs) - 1  # without a shortcut its fields say what the input's do
    return Descriptor(
        filters=layer.filters,
        channels=own.channels,
        side=layer.neurons(shapes).height,
        half=int(any(strided)),
        pool=int(layer.pool is Pool.MAX2),
        raw=int(output is None),
        fast=int(max(region.side for region in inputs) <= config.small_side),
        padded=int(own.padding == 1 or own.kernel in (None, (1, 1))),
        output_base=output.base if output else 0,
        output_side=output.side if output else 1,
        identity=len(layer.identities),
        average=int(layer.reduce is not None),
        input=_source(inputs[0], strided[0]),
        shortcut=_source(inputs[second], second > 0 and strided[second]),
    )


def _source(region: Region, strided: bool) -> dict[str, int]:
    return {"base": region.base, "side": region.side, "strided": int(strided)}


def _check_map(where: str, shape: Shape) -> None:
    side = max(shape.height, shape.width)
    if shape.height != shape.width:
        raise DoesNotFit(f"{where}: a map of {shape.height}x{shape.width}; the array has squares")
    if not 1 <= side <= MAX_SIDE:
        raise DoesNotFit(f"{where}: a map of side {side}; the array has 1 to {MAX_SIDE}")
    if shape.channels > MAX_CHANNELS:
        raise DoesNotFit(f"{where}: {shape.channels} channels; the array has up to {MAX_CHANNELS}")


def check_layer(layer: Layer, shapes: dict[str, Shape], config: Config) -> None:
    """Raises DoesNotFit, naming layer, what it needs and what there is, where the array cannot run it."""
    name = f"layer {layer.name}"

    def need(allowed: bool, what: str) -> None:
        if not allowed:
            raise DoesNotFit(f"{name}: {what}")

    sums, output = layer.neurons(shapes), layer.output(shapes)
    _check_map(name, sums)
    need(output.height >= 1, f"pools a map of side {sums.height} to nothing")
    need(len(layer.sources) <= 2, f"{len(layer.sources)} sources; the array has up to 2")
    for source in layer.sources:
        _check_source(layer, source, shapes[source.map], need)
    total = sum(source.channels for source in layer.sources)
    need(
        total <= MAX_CHANNELS,
        f"{total} channels with those of its shortcut; the array has up to {MAX_CHANNELS}",
    )
    if layer.reduce is not None:
        tile = config.tile_side // layer.own.stride
        text = f"an average over a map of side {sums.height}; the array has up to {tile}"
        need(sums.height <= tile, text)
        text = "an average and a shortcut; the array has one or the other"
        need(len(layer.sources) == 1, text)
        need(layer.pool is None, "an average and a pool; the array has one or the other")
    if layer.neuron is None:
        text = f"raw results of a map of side {sums.height}; the array has them of side 1"
        need(sums.height == 1 and layer.pool is None, text)


def _check_source(
    layer: Layer, source: Source, given: Shape, need: Callable[[bool, str], None]
) -> None:
    if source.kernel is None:
        side = max(given.height, given.width)
        need(side == 1, f"a linear layer on a map of side {side}; the array needs side 1")
        return
    tall, wide = source.kernel
    need(tall == wide, f"a kernel of {tall}x{wide}; the array has squares")
    need(tall in (1, 3), f"a kernel of {tall}; the array has 1 and 3")
    need(source.stride in (1, 2), f"a stride of {source.stride}; the array has 1 and 2")
    pads = (0, 1) if tall == 3 else (0,)
    need(source.padding in pads, f"a padding of {source.padding}; allowed here: {pads}")
    if source is not layer.own:
        need(tall == 1, f"a shortcut with a kernel of {tall}; the array has 1")
        text = f"an identity with a stride of {source.stride}; the array has 1"
        need(not source.identity or source.stride == 1, text)
        need(layer.own.kernel is not None, "a linear layer with a shortcut")


def _allocate(
    network: IntegerNetwork, config: Config, shapes: dict[str, Shape]
) -> dict[str, Region]:
    """A region for every map, none overlapping another that lives at the same time.

    Maps take turns at both ends of the buffer, so that in a chain of layers, where only an input and
    an output live at a time, any two that fit together find their place.
    """
    born = {network.first_map: -1}
    dies: dict[str, int] = {}
    for step, integer in enumerate(network.array):
        if integer.threshold is not None:
            born[integer.name] = step
        dies |= {part.source.map: step for part in integer.sources}
    regions: dict[str, Region] = {}
    for number, (name, birth) in enumerate(born.items()):
        shape = shapes[name]
        words = Storage(config, shape.height, shape.width).bank_words(shape.channels)
        alive = sorted(
            (regions[other] for other in regions if dies.get(other, born[other]) >= birth),
            key=lambda region: region.base,
        )
        ends = [0, *(region.base + region.words for region in alive)]
        gaps = zip(ends, [*(region.base for region in alive), config.buffer_depth], strict=True)
        fitting = [(low, high) for low, high in gaps if high - low >= words]
        if not fitting:
            bits = BANKS * config.word_bits
            used = sum(region.words for region in alive)
            raise DoesNotFit(
                f"layer {name}: its map of {shape.channels} channels of {shape.height}x{shape.width} "
                f"needs {words * bits} bits of the spike buffer beside {used * bits} in use; "
                f"there are {config.buffer_depth * bits}"
            )
        base = fitting[-1][1] - words if number % 2 else fitting[0][0]
        regions[name] = Region(base, words, shape.height, shape.channels)
    return regions
