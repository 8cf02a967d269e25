"""The sweep machine's program, the stream of hw/program.py, and the pass that encodes it.

A program is the same for every image but for its input; `Program.beats` puts the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hw.config import STREAM_WORDS, Config
from hw.program import (
    FILTER_HEADER,
    INPUT_HEADER,
    MAGIC,
    PROGRAM_HEADER,
    VERSION,
    layer_layout,
    pack,
)
from hw.tiling import Tiling
from sw import csr
from sw.encoding import Encoded, Segment, encoded_filters, segments_of
from sw.integers import IntegerLayer
from sw.placement import Descriptor, Placed, Region


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
        """Of the map of neurons, before pooling or averaging; the longer one."""
        return self.descriptor.side

    @property
    def positions(self) -> int:
        """Of that map."""
        return self.descriptor.positions

    def tiling(self, config: Config) -> Tiling:
        """Of the map of neurons."""
        return self.descriptor.tiling(config)


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
            beats.append(descriptor_beats(layer.descriptor, self.config))
            beats += _segment_beats(
                layer.segments, integer.bias[layer.order], thresholds[layer.order], self.config
            )
        return np.concatenate(beats)

    def beats(self, spikes: np.ndarray) -> np.ndarray:
        """The whole stream, uint64, for input spikes uint8 (T, C, H, W); `last` is on its last beat.

        Raises ValueError for spikes of another shape.
        """
        return np.concatenate([self.head_beats(self.stored(spikes), VERSION), self.layer_beats])

    @property
    def ticks(self) -> int:
        """Of the network."""
        return self.config.ticks

    def stored(self, spikes: np.ndarray) -> np.ndarray:
        """The input as it is sent. Raises ValueError for spikes of another shape."""
        shape = (self.ticks, self.input.channels, self.input.height, self.input.width)
        if spikes.shape != shape:
            raise ValueError(f"input spikes are {spikes.shape}, the program needs {shape}")
        return spikes

    def head_beats(self, spikes: np.ndarray, version: int) -> np.ndarray:
        """Headers and input, uint64."""
        header = pack(
            PROGRAM_HEADER,
            magic=MAGIC,
            version=version,
            n_pe=self.config.n_pe,
            layers=len(self.layers),
            ticks=self.config.ticks,
            tile_side=self.config.tile_side,
        )
        return np.append(np.array([header], np.uint64), self.input_beats(spikes))

    def input_beats(self, spikes: np.ndarray, first: int = 0, end: int | None = None) -> np.ndarray:
        """The input as `stored`, or its channels from `first` on and before `end`: header and activations, uint64."""
        channels = spikes.shape[1] if end is None else end
        header = pack(
            INPUT_HEADER,
            base=self.input.base,
            side=self.input.side,
            channels=channels,
            first=first,
            more=channels < spikes.shape[1],
        )
        activations = [_channel_beats(spikes[:, c]) for c in range(first, channels)]
        return np.concatenate([np.array([header], np.uint64), *activations])


def encode(placed: Placed, config: Config, *, encoded: dict[str, Encoded] | None = None) -> Program:
    """Weights as WSP streams, cut into the segments that the array loads.

    encoded: filled with the layers' streams, or taken from, where the same network in the same order
    was encoded before.
    """
    encoded = {} if encoded is None else encoded
    ordered, compiled = placed.ordered, []
    for integer, loaded in zip(ordered.network.array, ordered.loaded, strict=True):
        layer, descriptor = integer.name, placed.descriptors[integer.name]
        if layer not in encoded:
            encoded[layer] = encoded_filters(loaded)
        segments = segments_of(
            encoded[layer],
            config,
            tiles=descriptor.tiling(config).count,
            identities=descriptor.identity,
        )
        compiled.append(
            CompiledLayer(
                integer,
                ordered.orders[layer],
                descriptor,
                tuple(placed.regions[source.map] for source in integer.layer.sources),
                placed.regions.get(layer),
                tuple(segments),
            )
        )
    return Program(config, placed.regions[ordered.network.first_map], tuple(compiled))


def descriptor_beats(descriptor: Descriptor, config: Config) -> np.ndarray:
    """A layer's descriptor, two beats, uint64, or three."""
    layout = layer_layout(config)
    values = vars(descriptor) | {"extended": bool(descriptor.extension)}
    bits = pack(layout, **{name: values[name] for name, _ in layout if name in values})
    beats = [bits >> at & (1 << 64) - 1 for at in (0, 64, 128)]
    return np.array(beats if descriptor.extension else beats[:2], np.uint64)


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
