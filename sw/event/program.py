"""A compiled network of the event machine, and its stream: layers, segments, and the beats that say them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hw.config import BANKS, STREAM_WORDS, Config
from hw.event.program import FILTER_HEADER, SEGMENT_HEADER, stream_lanes, version
from hw.program import pack
from hw.tiling import Storage
from sw.compile import CompiledLayer, Program, descriptor_beats
from sw.event.encode import Part


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
    images: int = 1
    """Whose input it takes at once, as rounds: a batch's (sw/event/batch.py). Spikes are those of one behind those of the other."""

    @property
    def ticks(self) -> int:
        """Of the network, in rounds of `config.ticks`."""
        return self.network_ticks

    @property
    def rounds(self) -> int:
        """Of ticks, or images."""
        return self.input.rounds

    def stored(self, spikes: np.ndarray) -> np.ndarray:
        """Rounds as channels one behind the other, each from a new word on, in a square of the longer side.

        uint8 (lanes, rounds * channels, side, side).

        Raises ValueError for spikes of another shape.
        """
        each = map(super().stored, np.array_split(spikes, self.images))
        spikes = np.concatenate([in_rounds(image, self.config.ticks) for image in each])
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
            beats.append(_narrow(descriptor_beats(layer.descriptor, self.config), self.config))
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
        """`in_a_row` of this program; the input of all images but the first comes early.

        Raises ValueError for spikes of another shape, or of a program whose next input does not come early.
        """
        if not self.early:
            raise ValueError(
                "the program takes no input early; sw.event.overlap makes one that does"
            )
        return in_a_row([self] * len(images), images)

    def head(self, stored: np.ndarray) -> np.ndarray:
        """Its header and its input as `stored`, uint64 (beats, lanes)."""
        return _narrow(self.head_beats(stored, version(self.config)), self.config)

    @property
    def first_early(self) -> int:
        """Beats of `layer_beats` before the first part of the next program's input."""
        return int(self._laid_out[1][np.flatnonzero(self.early)[0]]) + 1

    def with_next(self, other: EventProgram, stored: np.ndarray) -> np.ndarray:
        """`layer_beats` with the parts of the next program's input, as it is stored, behind their segments' headers."""
        beats, headers = self._laid_out
        pieces, done, channel = [], 0, 0
        for at, count in zip(headers, self.early, strict=True):
            if not count:
                continue
            pieces.append(beats[done : at + 1].copy())
            pieces[-1][-1, 0] |= np.uint64(pack(SEGMENT_HEADER, input=1))
            part = other.input_beats(stored, channel, channel + count)
            pieces.append(_narrow(part, self.config))
            done, channel = at + 1, channel + count
        return np.concatenate([*pieces, beats[done:]])


def in_a_row(
    programs: Sequence[EventProgram], spikes: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[int]]:
    """The streams of programs one after the other, each as of `beats`; the input comes in the one before, where that has `early`.

    Of all of them, one behind the other, also the number of the beat in which each program's input begins.
    spikes: of each program. Raises ValueError for spikes of another shape.
    """
    stored = [program.stored(image) for program, image in zip(programs, spikes, strict=True)]
    streams: list[np.ndarray] = []
    arrivals, at = [], 0
    coming: int | None = None  # the beat in which this program's input began, if it came early
    for k, program in enumerate(programs):
        head = program.head(stored[k])
        arrivals.append(at + 1 if coming is None else coming)
        head, coming = head if coming is None else head[:1], None
        body = program.layer_beats
        if program.early and k + 1 < len(programs):
            body = program.with_next(programs[k + 1], stored[k + 1])
            coming = at + len(head) + program.first_early
        streams.append(np.concatenate([head, body]))
        at += len(streams[-1])
    return streams, arrivals


def in_rounds(spikes: np.ndarray, lanes: int) -> np.ndarray:
    """(T, ...) as (rounds, lanes, ...), silent behind the last tick."""
    missing = -len(spikes) % lanes
    padded = np.concatenate([spikes, np.zeros((missing, *spikes.shape[1:]), spikes.dtype)])
    return padded.reshape(-1, lanes, *spikes.shape[1:])


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
