"""The compiler: from an integer network to the program stream of hw/program.py.

A program is the same for every image but for its input; `Program.beats` puts the two together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
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
from sw.balance import filter_nnz, sort_order
from sw.networks import shortcut_convolutions
from sw.quantize import IntegerLayer, IntegerNetwork

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
class CompiledLayer:
    """A layer as the array runs it, its filters and input channels in their loaded order."""

    integer: IntegerLayer
    convolution: IntegerLayer | None  # the 1x1 shortcut that runs with it
    order: np.ndarray  # position -> output channel of the network
    fields: dict  # of the descriptor
    input: Region
    output: Region | None  # None: raw results
    segments: tuple[Segment, ...]

    @property
    def side(self) -> int:
        """Of the map of neurons, before pooling or averaging."""
        return self.fields["side"]

    def tiling(self, config: Config) -> Tiling:
        """Of the map of neurons."""
        return _tiling(self.fields, config)

    @property
    def sources(self) -> tuple[IntegerLayer, ...]:
        """The layers whose weights it runs, in the network's order; the neurons are the last one's."""
        return (self.integer,) if self.convolution is None else (self.convolution, self.integer)


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
            beats.append(_layer_beats(layer.fields))
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
    input_side: int,
    orders: dict[str, np.ndarray] | None = None,
    encoded: dict[str, Encoded] | None = None,
) -> Program:
    """Compile everything after the first layer.

    input_side: of the first layer's output map. orders: by layer, position -> output channel, where
    the filters are loaded in another order than the network's (policy `sort`). encoded: filled with
    the layers' streams, or taken from, where the same network in the same order was compiled before.
    Raises DoesNotFit for what the hardware cannot run.
    """
    encoded = {} if encoded is None else encoded
    if network.ticks != config.ticks:
        raise DoesNotFit(f"the network has {network.ticks} ticks, the hardware {config.ticks}")
    if len(network.array) > MAX_LAYERS:
        raise DoesNotFit(f"the network has {len(network.array)} layers; allowed: {MAX_LAYERS}")
    first = network.layers[0]
    sides, channels = {first.name: input_side}, {first.name: first.out_channels}
    hosts = shortcut_convolutions(network.layers)
    for integer in network.array:
        layer = integer.layer
        _check(integer, sides, channels, config, added=layer.name in hosts)
        sides[layer.name] = layer.pooled_side(sides[layer.input])
        channels[layer.name] = layer.out_channels
    regions = _allocate(network, config, sides, channels)
    orders = orders or {}
    integers = {integer.layer.name: integer for integer in network.array}
    compiled = []
    for integer in network.array:
        layer = integer.layer
        if layer.name in hosts:
            continue
        order = orders.get(layer.name, np.arange(layer.out_channels))
        added = layer.shortcut_input or ""
        convolution = integers[added] if layer.shortcut == "conv" else None
        if layer.name not in encoded:
            encoded[layer.name] = _encode(*_weights(integer, convolution, order, orders))
        streams = encoded[layer.name]
        if streams.counts.shape[1] > MAX_CHANNELS:
            raise DoesNotFit(
                f"layer {layer.name}: {streams.counts.shape[1]} channels with those of its shortcut; the "
                f"array has up to {MAX_CHANNELS}"
            )
        source, output = regions[layer.input], regions.get(layer.name)
        shortcut = source
        if convolution is not None:
            shortcut = regions[convolution.layer.input]
        elif layer.shortcut == "identity":
            shortcut = regions[added]
        identities = int(layer.shortcut == "identity")
        strided = (layer.stride == 2, convolution is not None and convolution.layer.stride == 2)
        fields = {
            "filters": layer.out_channels,
            "channels": layer.in_channels,
            "side": layer.output_side(source.side),
            "half": int(any(strided)),
            "pool": int(layer.pool == "max2"),
            "raw": int(output is None),
            "fast": int(max(source.side, shortcut.side) <= config.small_side),
            "padded": int(layer.padding == 1 or layer.kernel == 1),
            "output_base": output.base if output else 0,
            "output_side": output.side if output else 1,
            "identity": identities,
            "average": int(layer.pool == "avg"),
            "input": _source(source, strided[0]),
            "shortcut": _source(shortcut, strided[1]),
        }
        segments = _segments(
            streams, config, tiles=_tiling(fields, config).count, identities=identities
        )
        compiled.append(
            CompiledLayer(integer, convolution, order, fields, source, output, tuple(segments))
        )
    return Program(config, regions[first.name], tuple(compiled))


def sort_orders(network: IntegerNetwork) -> dict[str, np.ndarray]:
    """Policy `sort`: each layer's output channels in descending order of nnz, ties by index.

    A shortcut convolution's filters count with those of the layer that they run with.
    """
    counts = {i.layer.name: filter_nnz(i.mask) for i in network.array}
    for name, host in shortcut_convolutions(network.layers).items():
        counts[host.name] = counts[host.name] + counts.pop(name)
    return {name: sort_order(count) for name, count in counts.items()}


def _tiling(fields: dict, config: Config) -> Tiling:
    side, output = fields["side"], fields["output_side"]
    return Tiling(
        config=config,
        height=side,
        width=side,
        output=Storage(config, output, output),
        half=bool(fields["half"]),
        pool=bool(fields["pool"]),
    )


def _source(region: Region, strided: bool) -> dict[str, int]:
    return {"base": region.base, "side": region.side, "strided": int(strided)}


def _weights(
    integer: IntegerLayer,
    convolution: IntegerLayer | None,
    order: np.ndarray,
    orders: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and mask in their loaded order; behind the input's channels those of the shortcut."""

    def loaded(part: IntegerLayer) -> list[np.ndarray]:
        arrays = [part.weight[order], part.mask[order]]
        before = orders.get(part.layer.input)
        return arrays if before is None else [a[:, before] for a in arrays]

    weight, mask = loaded(integer)
    layer = integer.layer
    if convolution is not None:
        more_weight, more_mask = loaded(convolution)
    elif integer.shortcut is None:
        return weight, mask
    else:  # filter order[k] adds the channel of that name, wherever the source has it
        filters = layer.out_channels
        before = orders.get(layer.shortcut_input or "", np.arange(filters))
        position = np.empty(filters, np.int64)
        position[before] = np.arange(filters)
        more_mask = np.zeros((filters, filters), bool)
        more_mask[np.arange(filters), position[order]] = True
        more_weight = np.where(more_mask, integer.shortcut[order, None], 0)
    if weight.ndim == 4:  # 1x1 in the centre of the host's kernel
        centre = (slice(None), slice(None), layer.kernel // 2, layer.kernel // 2)
        shape = (*more_mask.shape[:2], layer.kernel, layer.kernel)
        wide_weight, wide_mask = np.zeros(shape, weight.dtype), np.zeros(shape, bool)
        wide_weight[centre] = more_weight.reshape(more_mask.shape[:2])
        wide_mask[centre] = more_mask.reshape(more_mask.shape[:2])
        more_weight, more_mask = wide_weight, wide_mask
    return np.concatenate([weight, more_weight], 1), np.concatenate([mask, more_mask], 1)


def _check(
    integer: IntegerLayer,
    sides: dict[str, int],
    channels: dict[str, int],
    config: Config,
    *,
    added: bool,
) -> None:
    """Raises DoesNotFit where the array cannot run a layer. added: it is a shortcut convolution."""
    layer = integer.layer
    side = sides[layer.input]
    name = f"layer {layer.name}"
    out = layer.output_side(side)

    def need(allowed: bool, what: str) -> None:
        if not allowed:
            raise DoesNotFit(f"{name}: {what}")

    need(layer.kernel in (1, 3), f"a kernel of {layer.kernel}; the array has 1 and 3")
    need(layer.stride in (1, 2), f"a stride of {layer.stride}; the array has 1 and 2")
    pads = (0, 1) if layer.kernel == 3 else (0,)
    need(layer.padding in pads, f"a padding of {layer.padding}; allowed here: {pads}")
    if layer.pool == "avg":
        tile = config.tile_side // layer.stride
        need(out <= tile, f"an average over a map of side {out}; the array has up to {tile}")
    if layer.shortcut_input is not None:
        place = (sides[layer.shortcut_input], channels[layer.shortcut_input])
        text = f"its shortcut has (side, channels) = {place}; allowed: {(out, layer.out_channels)}"
        need(place == (out, layer.out_channels), text)
        need(layer.pool != "avg", "an average and a shortcut; the array has one or the other")
    if added:
        need(layer.kernel == 1, f"a shortcut with a kernel of {layer.kernel}; the array has 1")
        need(layer.pool is None, f"a shortcut with a pool of {layer.pool!r}; the array has none")
    need(1 <= side <= MAX_SIDE, f"an input map of side {side}; the array has 1 to {MAX_SIDE}")
    need(out >= 1, f"an output map of side {out}")
    need(layer.pooled_side(side) >= 1, f"pools a map of side {out} to nothing")
    for what, count in (("input", layer.in_channels), ("output", layer.out_channels)):
        text = f"{count} {what} channels; the array has up to {MAX_CHANNELS}"
        need(1 <= count <= MAX_CHANNELS, text)
    if layer.kind == "linear":
        need(side == 1, f"a linear layer on a map of side {side}; the array needs side 1")
    if integer.threshold is None and not added:
        text = f"raw results of a map of side {out}; the array has them of side 1"
        need(out == 1 and layer.pool is None, text)
    given = channels[layer.input]
    need(layer.in_channels == given, f"{layer.in_channels} input channels, there are {given}")


def _allocate(
    network: IntegerNetwork, config: Config, sides: dict[str, int], channels: dict[str, int]
) -> dict[str, Region]:
    """A region for every map, none overlapping another that lives at the same time.

    Maps take turns at both ends of the buffer, so that in a chain of layers, where only an input and
    an output live at a time, any two that fit together find their place.
    """
    born = {network.layers[0].name: -1}
    dies: dict[str, int] = {}
    hosts = shortcut_convolutions(network.layers)
    steps = {integer.layer.name: step for step, integer in enumerate(network.array)}
    for name, step in steps.items():
        integer = network.array[step]
        if integer.threshold is not None:
            born[name] = step
        for source in (integer.layer.input, integer.layer.shortcut_input):
            if source is not None:  # a shortcut convolution reads when its host does
                dies[source] = max(
                    dies.get(source, -1), steps[hosts[name].name if name in hosts else name]
                )
    regions: dict[str, Region] = {}
    for number, (name, birth) in enumerate(born.items()):
        words = Storage(config, sides[name], sides[name]).bank_words(channels[name])
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
                f"layer {name}: its map of {channels[name]} channels of {sides[name]}x{sides[name]} "
                f"needs {words * bits} bits of the spike buffer beside {used * bits} in use; "
                f"there are {config.buffer_depth * bits}"
            )
        base = fitting[-1][1] - words if number % 2 else fitting[0][0]
        regions[name] = Region(base, words, sides[name], channels[name])
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


def _layer_beats(fields: dict) -> np.ndarray:
    bits = pack(LAYER, **fields)
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
