"""The event machine's compiler: from an integer network to the program stream of hw/event/program.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from hw.config import BANKS, STREAM_WORDS, Config
from hw.event.program import FILTER_HEADER, SEGMENT_HEADER, ring_rows, stream_lanes, version
from hw.program import pack
from hw.tiling import Storage
from sw.compile import CompiledLayer, Program, descriptor_beats
from sw.encoding import identity_matrix
from sw.event.encode import Part, Weights, encode_group, list_word
from sw.integers import IntegerLayer, IntegerNetwork
from sw.layers import Shape
from sw.limits import BLOCK, rounds_of
from sw.lowering import Steps, name
from sw.order import Ordered, order_filters
from sw.placement import Descriptor, Placed, Region, place

CENTRE = 4
PACKED = 4


@dataclass(frozen=True)
class EventSegment:
    """A group's filters, or a part of them, as they are loaded."""

    group: int
    part: Part
    close: bool
    all_tiles: bool
    end: bool


@dataclass(frozen=True)
class EventLayer(CompiledLayer):
    """A layer as the event machine runs it."""

    segments: tuple[EventSegment, ...]  # type: ignore[assignment]

    @property
    def packed(self) -> bool:
        """Beats hold four channels."""
        return bool(self.descriptor.fast)


@dataclass(frozen=True)
class EventProgram(Program):
    """A compiled network; its beats are rows of `stream_bits` / 64 uint64."""

    layers: tuple[EventLayer, ...]
    network_ticks: int
    early: tuple[int, ...] = ()
    """Of each segment of all layers: channels of the next image's input, as `stored`, that come behind its header. Empty: its
    input comes behind this program (sw/event/overlap.py)."""

    @property
    def ticks(self) -> int:
        """Of the network, in rounds of `config.ticks`."""
        return self.network_ticks

    @property
    def rounds(self) -> int:
        """Of ticks."""
        return self.input.rounds

    def stored(self, spikes: np.ndarray) -> np.ndarray:
        """Rounds as channels one behind the other, each from a new word on, in a square of the longer side.

        uint8 (lanes, rounds * channels, side, side).

        Raises ValueError for spikes of another shape.
        """
        spikes = in_rounds(super().stored(spikes), self.config.ticks)
        side = self.input.side
        apart = -spikes.shape[2] % BANKS if Storage(self.config, side, side).single else 0
        below, right = side - self.input.height, side - self.input.width
        edges = (0, apart if self.rounds > 1 else 0), (0, below), (0, right)
        spikes = np.pad(spikes, ((0, 0), (0, 0), *edges))
        return spikes.swapaxes(0, 1).reshape(self.config.ticks, -1, side, side)

    @cached_property
    def layer_beats(self) -> np.ndarray:
        """Everything after the input, uint64 (beats, lanes)."""
        return self._laid_out[0]

    @cached_property
    def _laid_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Everything after the input, and where in it each segment's header is."""
        beats: list[np.ndarray] = []
        headers = []
        at = 0
        for layer in self.layers:
            integer = layer.integer
            thresholds = integer.threshold
            if thresholds is None:
                thresholds = np.zeros(len(layer.order), np.int64)
            beats.append(_narrow(descriptor_beats(layer.descriptor), self.config))
            at += len(beats[-1])
            for segment in layer.segments:
                headers.append(at)
                mine = segment_beats(
                    segment, integer.bias[layer.order], thresholds[layer.order], self.config
                )
                beats += mine
                at += sum(map(len, mine))
        return np.concatenate(beats), np.array(headers)

    def beats(self, spikes: np.ndarray) -> np.ndarray:
        """The whole stream, uint64 (beats, lanes), see `Program.beats`."""
        head = self.head_beats(self.stored(spikes), version(self.config))
        return np.concatenate([_narrow(head, self.config), self.layer_beats])

    def row(self, images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
        """The streams of images one after the other, each as of `beats`; the input of all but the first comes early.

        Of all of them, one behind the other, also the number of the beat in which each image's input begins.
        Raises ValueError for spikes of another shape, or of a program whose next input does not come early.
        """
        if not self.early:
            raise ValueError(
                "the program takes no input early; sw.event.overlap makes one that does"
            )
        stored = [self.stored(spikes) for spikes in images]
        head = _narrow(self.head_beats(stored[0], version(self.config)), self.config)
        first = int(self._laid_out[1][np.flatnonzero(self.early)[0]])  # segment with a part
        streams, arrivals, at = [], [1], 0
        for following in stored[1:]:
            streams.append(np.concatenate([head, self._with_next(following)]))
            arrivals.append(at + len(head) + first + 1)
            at += len(streams[-1])
            head = head[:1]
        return [*streams, np.concatenate([head, self.layer_beats])], arrivals

    def _with_next(self, stored: np.ndarray) -> np.ndarray:
        """`layer_beats` with the parts of the next image's input behind their segments' headers."""
        beats, headers = self._laid_out
        pieces, done, channel = [], 0, 0
        for at, count in zip(headers, self.early, strict=True):
            if not count:
                continue
            pieces.append(beats[done : at + 1].copy())
            pieces[-1][-1, 0] |= np.uint64(pack(SEGMENT_HEADER, input=1))
            part = self.input_beats(stored, channel, channel + count)
            pieces.append(_narrow(part, self.config))
            done, channel = at + 1, channel + count
        return np.concatenate([*pieces, beats[done:]])


def compiling_events(
    network: IntegerNetwork, config: Config, *, orders: dict[str, np.ndarray] | None = None
) -> Steps[EventProgram]:
    """The passes from integers to a program; see sw.compile.compile_network."""
    yield name(order_filters)
    ordered = order_filters(network, orders or {})
    yield name(place)
    placed = place(ordered, config)
    yield name(encode)
    return encode(ordered, placed, config)


def encode(ordered: Ordered, placed: Placed, config: Config) -> EventProgram:
    """Every layer's lists, slice headers and values."""
    compiled, ticks = [], ordered.network.ticks
    rounds, shapes = rounds_of(ticks, config), ordered.network.description.shapes()
    for integer, loaded in zip(ordered.network.array, ordered.loaded, strict=True):
        descriptor = placed.descriptors[integer.name]
        packed = all(_packs(source, descriptor, config) for source in _sources(loaded, descriptor))
        neuron = {} if integer.threshold is None else integer.neuron.code
        inputs = [placed.regions[source.map] for source in integer.layer.sources]
        descriptor = replace(
            descriptor,
            half=0,
            fast=int(packed),
            neuron=neuron,
            more_rounds=rounds - 1,
            last_tick=(ticks - 1) % config.ticks,
            **_extension(integer.layer.neurons(shapes), inputs, placed.regions.get(integer.name)),
        )
        segments = layer_segments(
            layer_weights(loaded, descriptor, inputs),
            descriptor.filters,
            descriptor.tiling(config).count * rounds,
            config,
        )
        compiled.append(
            EventLayer(
                integer,
                ordered.orders[integer.name],
                descriptor,
                tuple(placed.regions[source.map] for source in integer.layer.sources),
                placed.regions.get(integer.name),
                segments,
            )
        )
    region = placed.regions[ordered.network.first_map]
    return EventProgram(config, region, tuple(compiled), ticks)


def _extension(neurons: Shape, inputs: list[Region], output: Region | None) -> dict[str, Any]:
    """What the third beat says, if there are several rounds, or maps that are no squares; whether these are tall."""
    maps = [(one.height, one.width) for one in (neurons, *inputs, output) if one is not None]
    if inputs[0].rounds == 1 and all(height == width for height, width in maps):
        return {}
    first, last = inputs[0], inputs[-1]
    return {
        "tall": int(any(height > width for height, width in maps)),
        "extension": {
            "input_words": first.round_words,
            "shortcut_words": last.round_words,
            "output_words": output.round_words if output else 0,
            "short": min(neurons.height, neurons.width),
            "input_short": min(first.height, first.width),
            "shortcut_short": min(last.height, last.width),
            "output_short": min(output.height, output.width) if output else 1,
        },
    }


def in_rounds(spikes: np.ndarray, lanes: int) -> np.ndarray:
    """(T, ...) as (rounds, lanes, ...), silent behind the last tick."""
    missing = -len(spikes) % lanes
    padded = np.concatenate([spikes, np.zeros((missing, *spikes.shape[1:]), spikes.dtype)])
    return padded.reshape(-1, lanes, *spikes.shape[1:])


def _sources(loaded: IntegerLayer, descriptor: Descriptor) -> list[dict[str, int]]:
    """What the descriptor says of each map that is read."""
    return [descriptor.input, descriptor.shortcut][: len(loaded.sources)]


def _inset(source: dict[str, int], descriptor: Descriptor) -> bool:
    """Whether its slices start at their tile."""
    return not source["strided"] and not descriptor.padded


def _packs(source: dict[str, int], descriptor: Descriptor, config: Config) -> bool:
    """Whether four channels of it fit a slice."""
    if source["strided"]:
        return source["side"] <= config.tile_side
    if descriptor.blocks:
        return False
    return source["side"] <= config.small_side and not _inset(source, descriptor)


def layer_weights(
    loaded: IntegerLayer, descriptor: Descriptor, inputs: Sequence[Region]
) -> Weights:
    """A layer's weights, filters in their loaded order: which beat, channel of it and tap each one is.

    inputs: the map of each source.
    """
    result = []
    for number, (part, source) in enumerate(
        zip(loaded.sources, _sources(loaded, descriptor), strict=True)
    ):
        weight, mask = part.weight, part.mask
        if part.source.identity:
            weight, mask = identity_matrix(part)
        region = inputs[number]
        kernel = part.source.kernel or (region.height, region.width)
        shape = (len(weight), region.channels, *kernel)
        weight, mask = weight.reshape(shape), mask.reshape(shape)
        filters, channel, rows, columns = np.nonzero(mask)
        values = weight[filters, channel, rows, columns].astype(np.int64)
        strided, phase = source["strided"], np.zeros(len(filters), np.int64)
        if shape[2:] == (1, 1):
            taps = np.full(len(filters), 0 if _inset(source, descriptor) else CENTRE)
        elif strided:
            down, row = _phase(rows, part.source.padding)
            right, column = _phase(columns, part.source.padding)
            taps, phase = 3 * row + column, 2 * down + right
        else:
            down, row = np.divmod(rows, BLOCK)
            right, column = np.divmod(columns, BLOCK)
            taps = BLOCK * row + column
        subs = np.zeros(len(filters), np.int64)
        if descriptor.fast and strided and not number:  # the phases of one channel
            index, subs = channel, phase
        elif descriptor.fast:
            index, subs = channel // PACKED, channel % PACKED
        else:
            index = 4 * channel + phase if strided else channel
            if descriptor.blocks and not strided and not number:
                index = ((channel << descriptor.blocks) + down << descriptor.blocks) + right
        beats = index + list_word(index=0, shortcut=bool(number))
        result.append(Weights(filters, beats, subs, taps, values))
    columns_of = zip(*(vars(weights).values() for weights in result), strict=True)
    return Weights(*(np.concatenate(arrays) for arrays in columns_of))


def _phase(at: np.ndarray, padding: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a kernel's row (or column) in a layer of stride 2: the phase that it reads, and its tap there.

    Row k of the kernel at output y reads row 2 y + k - padding of the map: row 2 j + f is row j of phase f, and tap t of
    a phase reads row y + t - 1.
    """
    shifted = at - padding
    return shifted % 2, shifted // 2 + 1


def layer_segments(
    weights: Weights, filters: int, tiles: int, config: Config
) -> tuple[EventSegment, ...]:
    """Groups of n_pe filters; the parts of one that exceeds a ring are loaded again for every tile."""
    n_pe, ring_words = config.n_pe, ring_rows(config) * STREAM_WORDS
    order = np.argsort(weights.filters, kind="stable")
    weights = weights.of(order)
    segments: list[EventSegment] = []
    for group in range(-(-filters // n_pe)):
        low, high = np.searchsorted(weights.filters, [group * n_pe, (group + 1) * n_pe])
        own = weights.of(np.arange(low, high))
        parts = encode_group(replace(own, filters=own.filters - group * n_pe), n_pe, ring_words)
        if len(parts) == 1:
            segments.append(EventSegment(group, parts[0], True, True, False))
            continue
        for _ in range(tiles):
            for part in parts:
                segments.append(EventSegment(group, part, part is parts[-1], False, False))
    segments[-1] = replace(segments[-1], end=True)
    return tuple(segments)


def segment_beats(
    segment: EventSegment,
    bias: np.ndarray,
    threshold: np.ndarray,
    config: Config,
) -> list[np.ndarray]:
    """Its header, list, and each team of PEs' headers and values, uint64 (beats, lanes)."""
    lanes, n_pe, part = stream_lanes(config), config.n_pe, segment.part
    header = pack(
        SEGMENT_HEADER,
        length=len(part.places),
        close=segment.close,
        all_tiles=segment.all_tiles,
        end=segment.end,
    )
    beats = [_narrow(np.array([header], np.uint64), config), _rows([part.places], lanes, 1)]
    for first in range(0, n_pe, lanes):
        heads = np.zeros((1, lanes), np.uint64)
        team = range(first, min(first + lanes, n_pe))
        for lane, i in enumerate(team):
            k = segment.group * n_pe + i
            present = k < len(bias)
            heads[0, lane] = pack(
                FILTER_HEADER,
                header_rows=-(-len(part.headers[i]) // STREAM_WORDS),
                value_rows=-(-len(part.values[i]) // STREAM_WORDS),
                bias=int(bias[k]) if present else 0,
                threshold=int(threshold[k]) if present else 0,
            )
        beats.append(heads)
        for words in (part.headers, part.values):
            beats.append(_rows([words[i] for i in team], 1, lanes))
    return beats


def _rows(streams: list[np.ndarray], across: int, lanes: int) -> np.ndarray:
    """Words side by side, each stream `across` lanes wide, padded with zeros: uint64 (beats, lanes)."""
    width = across * STREAM_WORDS
    count = max(-(-len(words) // width) for words in streams)
    padded = np.zeros((count, lanes * width), "<u2")
    for lane, words in enumerate(streams):
        own = np.zeros(count * width, "<u2")
        own[: len(words)] = words
        padded[:, lane * width : (lane + 1) * width] = own.reshape(count, width)
    return padded.view("<u8").astype(np.uint64)


def _narrow(beats: np.ndarray, config: Config) -> np.ndarray:
    """Beats of 64 bits in the lowest lane of wide ones."""
    wide = np.zeros((len(beats), stream_lanes(config)), np.uint64)
    wide[:, 0] = beats
    return wide
