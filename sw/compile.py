"""The compiler: from an integer network to the program stream of hw/program.py.

A program is the same for every image but for its input; `Program.beats` puts the two together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hw.config import BANKS, MAX_SIDE, STREAM_WORDS, Config
from hw.program import (
    FILTER_HEADER,
    INPUT_HEADER,
    LAYER,
    MAGIC,
    PROGRAM_HEADER,
    VERSION,
    pack,
)
from hw.tiling import Storage, Tiling
from sw import csr, wsp
from sw.balance import sort_order
from sw.layers import Layer, Pool, Reduce, Shape, Source
from sw.quantize import IntegerLayer, IntegerNetwork, IntegerSource

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
class Encoded:
    """A layer's filters in their loaded order, the shortcut's channels behind the input's."""

    words: list[np.ndarray]  # uint16, the WSP stream of each
    counts: np.ndarray  # (K, C): weights of each input channel


@dataclass(frozen=True)
class Segment:
    """One part of the filters of a group, PE by PE: their WSP words."""

    group: int
    words: tuple[np.ndarray, ...]  # uint16, n_pe of them
    identities: tuple[int, ...]  # how many of each PE's weights, the last ones, are an identity's
    open: bool
    close: bool
    all_tiles: bool
    end: bool


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


@dataclass(frozen=True)
class CompiledLayer:
    """A layer as the array runs it, its filters and input channels in their loaded order."""

    integer: IntegerLayer
    order: np.ndarray  # position -> output channel of the network
    descriptor: Descriptor
    inputs: tuple[Region, ...]  # of each source
    output: Region | None  # None: raw results
    segments: tuple[Segment, ...]

    @property
    def name(self) -> str:
        """The layer's."""
        return self.integer.name

    @property
    def side(self) -> int:
        """Of the map of neurons, before pooling or averaging."""
        return self.descriptor.side

    def tiling(self, config: Config) -> Tiling:
        """Of the map of neurons."""
        return _tiling(self.descriptor, config)


@dataclass(frozen=True)
class Program:
    """A compiled network."""

    config: Config
    input: Region
    layers: tuple[CompiledLayer, ...]

    @cached_property
    def layer_beats(self) -> np.ndarray:
        """Everything after the input, uint64."""
        beats = []
        for layer in self.layers:
            integer = layer.integer
            thresholds = integer.threshold
            if thresholds is None:
                thresholds = np.zeros(len(layer.order), np.int64)
            beats.append(_layer_beats(layer.descriptor))
            beats += _segment_beats(
                layer.segments, integer.bias[layer.order], thresholds[layer.order], self.config
            )
        return np.concatenate(beats)

    def beats(self, spikes: np.ndarray) -> np.ndarray:
        """The whole stream, uint64, for input spikes uint8 (T, C, H, W); `last` is on its last beat.

        Raises ValueError for spikes of another shape.
        """
        shape = (self.config.ticks, self.input.channels, self.input.side, self.input.side)
        if spikes.shape != shape:
            raise ValueError(f"input spikes are {spikes.shape}, the program needs {shape}")
        head = [
            pack(
                PROGRAM_HEADER,
                magic=MAGIC,
                version=VERSION,
                n_pe=self.config.n_pe,
                layers=len(self.layers),
                ticks=self.config.ticks,
                tile_side=self.config.tile_side,
            ),
            pack(
                INPUT_HEADER,
                base=self.input.base,
                side=self.input.side,
                channels=self.input.channels,
            ),
        ]
        activations = [_channel_beats(spikes[:, c]) for c in range(spikes.shape[1])]
        return np.concatenate([np.array(head, np.uint64), *activations, self.layer_beats])


def compile_network(
    network: IntegerNetwork,
    config: Config,
    *,
    orders: dict[str, np.ndarray] | None = None,
    encoded: dict[str, Encoded] | None = None,
) -> Program:
    """Compile everything that the array runs.

    orders: by layer, position -> output channel, where the filters are loaded in another order than
    the network's (policy `sort`). encoded: filled with the layers' streams, or taken from, where the
    same network in the same order was compiled before.
    Raises DoesNotFit for what the hardware cannot run.
    """
    encoded = {} if encoded is None else encoded
    if network.ticks != config.ticks:
        raise DoesNotFit(f"the network has {network.ticks} ticks, the hardware {config.ticks}")
    if len(network.array) > MAX_LAYERS:
        raise DoesNotFit(f"the network has {len(network.array)} layers; allowed: {MAX_LAYERS}")
    shapes = network.description.shapes()
    _check_map("the input", shapes[network.first_map])
    for integer in network.array:
        check_layer(integer.layer, shapes, config)
    regions = _allocate(network, config, shapes)
    orders = orders or {}
    compiled = []
    for integer in network.array:
        layer = integer.layer
        order = orders.get(layer.name, np.arange(layer.filters))
        if layer.name not in encoded:
            encoded[layer.name] = _encode(*_weights(integer, order, orders))
        inputs = tuple(regions[source.map] for source in layer.sources)
        output = regions.get(layer.name)
        descriptor = _descriptor(layer, inputs, output, shapes, config)
        segments = _segments(
            encoded[layer.name],
            config,
            tiles=_tiling(descriptor, config).count,
            identities=descriptor.identity,
        )
        compiled.append(CompiledLayer(integer, order, descriptor, inputs, output, tuple(segments)))
    return Program(config, regions[network.first_map], tuple(compiled))


def sort_orders(network: IntegerNetwork) -> dict[str, np.ndarray]:
    """Policy `sort`: each layer's output channels in descending order of nnz, ties by index."""
    return {integer.name: sort_order(integer.filter_nnz) for integer in network.array}


def _descriptor(
    layer: Layer,
    inputs: tuple[Region, ...],
    output: Region | None,
    shapes: dict[str, Shape],
    config: Config,
) -> Descriptor:
    own = layer.own
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
        average=int(layer.reduce is Reduce.MEAN),
        input=_source(inputs[0], strided[0]),
        shortcut=_source(inputs[second], second > 0 and strided[second]),
    )


def _tiling(descriptor: Descriptor, config: Config) -> Tiling:
    side, output = descriptor.side, descriptor.output_side
    return Tiling(
        config=config,
        height=side,
        width=side,
        output=Storage(config, output, output),
        half=bool(descriptor.half),
        pool=bool(descriptor.pool),
    )


def _source(region: Region, strided: bool) -> dict[str, int]:
    return {"base": region.base, "side": region.side, "strided": int(strided)}


def _weights(
    integer: IntegerLayer, order: np.ndarray, orders: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and mask (K, C, kh, kw) in their loaded order; each source's channels behind the last's."""
    kernel = integer.own.source.kernel or (1, 1)
    parts = [_loaded(part, order, orders.get(part.source.map)) for part in integer.sources]
    weights, masks = zip(*(_widened(*part, kernel) for part in parts), strict=True)
    return np.concatenate(weights, axis=1), np.concatenate(masks, axis=1)


def _loaded(
    part: IntegerSource, order: np.ndarray, before: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """A source's weights and mask, (K, C, ...), filters in `order`, channels in their map's, `before`."""
    if (
        part.source.identity
    ):  # filter order[k] adds the channel of that name, wherever the map has it
        filters = len(order)
        position = np.empty(filters, np.int64)
        position[np.arange(filters) if before is None else before] = np.arange(filters)
        mask = np.zeros((filters, filters), bool)
        mask[np.arange(filters), position[order]] = True
        return np.where(mask, part.weight[order, None], 0), mask
    arrays = part.weight[order], part.mask[order]
    if before is None:
        return arrays
    return arrays[0][:, before], arrays[1][:, before]


def _widened(
    weight: np.ndarray, mask: np.ndarray, kernel: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """1x1 weights in the centre of the kernel of the layer's own source."""
    shape = (*weight.shape[:2], *kernel)
    if weight.shape == shape:
        return weight, mask
    result = np.zeros(shape, weight.dtype), np.zeros(shape, bool)
    for wide, narrow in zip(result, (weight, mask), strict=True):
        wide[:, :, kernel[0] // 2, kernel[1] // 2] = narrow.reshape(shape[:2])
    return result


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
    if layer.reduce is Reduce.MEAN:
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


def _encode(weight: np.ndarray, mask: np.ndarray) -> Encoded:
    counts = np.count_nonzero(mask.reshape(*mask.shape[:2], -1), axis=2)
    return Encoded(wsp.encode_filters(weight, mask), counts)


def _segments(encoded: Encoded, config: Config, *, tiles: int, identities: int) -> list[Segment]:
    """Groups of n_pe filters; a group with a filter that exceeds the ring is cut into parts.

    Parts are repeated for every tile, so they are loaded again for each. identities: of a filter's
    weights, the last ones.
    """
    n_pe = config.n_pe
    segments: list[Segment] = []
    streams = [(words, identities) for words in encoded.words]
    none = (np.zeros(0, np.uint16), 0)
    for start in range(0, len(streams), n_pe):
        group = streams[start : start + n_pe]
        longest = max(len(words) for words, _ in group)
        if longest <= config.scratchpad_depth:
            group += [none] * (n_pe - len(group))
            words, last = zip(*group, strict=True)
            segments.append(Segment(start // n_pe, words, last, True, True, True, False))
            continue
        # Half a ring each, so that the next part loads while this one sweeps.
        limit = config.scratchpad_depth // 2
        counts = encoded.counts[start : start + n_pe]
        cut = [
            _parts(words, row, limit, identities)
            for (words, _), row in zip(group, counts, strict=True)
        ]
        count = max(len(parts) for parts in cut)
        cut = [parts + [none] * (count - len(parts)) for parts in cut]
        cut += [[none] * count] * (n_pe - len(cut))
        for _ in range(tiles):
            for p in range(count):
                words, last = zip(*(parts[p] for parts in cut), strict=True)
                closes = p == count - 1
                segments.append(Segment(start // n_pe, words, last, p == 0, closes, False, False))
    segments[-1] = replace(segments[-1], end=True)
    return segments


def _parts(
    words: np.ndarray, counts: np.ndarray, limit: int, identities: int
) -> list[tuple[np.ndarray, int]]:
    """A filter's stream in streams of at most `limit` words, whole input channels each.

    counts: weights of each input channel, (C,). A channel counts with its header, used or not.
    """
    sizes = [0, *np.cumsum(counts + 1).tolist()]
    edges = [0]
    while edges[-1] < len(counts):
        start = edges[-1]
        room = limit + sizes[start] - -(-start // wsp.MAX_SKIP)
        end = bisect_right(sizes, room, start) - 1
        edges.append(min(max(end, start + 1), len(counts)))
    found = wsp.cut(words, counts, edges)
    parts = [(part, 0) for number, part in enumerate(found) if len(part) or number == 0]
    parts[-1] = (parts[-1][0], identities)
    return parts


def _layer_beats(descriptor: Descriptor) -> np.ndarray:
    bits = pack(LAYER, **vars(descriptor))
    return np.array([bits & (1 << 64) - 1, bits >> 64], np.uint64)


def _segment_beats(
    segments: Sequence[Segment], bias: np.ndarray, threshold: np.ndarray, config: Config
) -> list[np.ndarray]:
    beats: list[np.ndarray] = []
    for segment in segments:
        for i, words in enumerate(segment.words):
            k = segment.group * config.n_pe + i
            present = k < len(bias)
            header = pack(
                FILTER_HEADER,
                length=len(words),
                open=segment.open,
                close=segment.close,
                all_tiles=segment.all_tiles,
                end=segment.end,
                bias=int(bias[k]) if present else 0,
                threshold=int(threshold[k]) if present else 0,
            )
            beats.append(np.array([header], np.uint64))
            beats.append(_words_to_beats(words))
    return beats


def _words_to_beats(words: np.ndarray) -> np.ndarray:
    padded = np.zeros(-(-len(words) // STREAM_WORDS) * STREAM_WORDS, "<u2")
    padded[: len(words)] = words
    return padded.view("<u8").astype(np.uint64)


def _channel_beats(spikes: np.ndarray) -> np.ndarray:
    """CSR of one channel, (T, H, W), as the APU reads it."""
    channel = csr.encode(spikes)
    count = len(channel.columns)
    beats = -(-count // 4)
    packed = np.zeros((beats, 8), np.uint8)
    columns = np.zeros(beats * 4, np.uint8)
    columns[:count] = channel.columns
    ticks = np.zeros(beats * 2, np.uint8)
    ticks[: len(channel.ticks)] = channel.ticks
    packed[:, :4] = columns.reshape(-1, 4)
    packed[:, 4:6] = ticks.reshape(-1, 2)
    return np.concatenate(
        [_words_to_beats(channel.row_pointers), packed.reshape(-1).view("<u8").astype(np.uint64)]
    )
