"""The cycle model: how long each PE takes for what, from masks, shapes and configuration alone.

It follows the RTL's rules, not its signals: when words are loaded, weights decoded, windows granted
and tiles drained, as times that depend on earlier times. Nothing here knows of spikes, so a layer's
cycles are the same for every image; only loading the input depends on it. Derived in docs/cycles.md.

Each weight waits for the one before, which NumPy cannot do at once: this file lays a program out in
arrays, and cycles.cpp, compiled by the g++ that the RTL needs anyway, walks them.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw.config import BANKS, STREAM_WORDS, Config
from hw.counters import BEATS, CYCLES
from hw.drain import Drain
from hw.results import beats_a_result
from hw.sweep import MINIMUM_CYCLES
from hw.tiling import Storage
from hw.widths import KERNEL
from hw.window import LATENCY
from sim import c_text
from support.native import library
from sw.compile import Program

SOURCE = Path(__file__).with_suffix(".cpp")
FETCH = LATENCY + 2  # from a granted window to the first cycle of its sweep


class Hardware(ctypes.Structure):
    """What cycles.cpp knows of a configuration, and of latencies of the RTL; kernel: a mask of its positions."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            *("n_pe", "rows", "queue_depth", "minimum", "fetch", "drain"),
            *("counter_beats", "result_beats", "words_a_beat", "kernel"),
        )
    ]


class LayerShape(ctypes.Structure):
    """A layer; whole: positions of a whole tile; rotation, slots_a_phase: of the read slots of PEs."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("filters", "whole", "raw", "rotation", "slots_a_phase", "tiles", "segments")
    ]


class SegmentShape(ctypes.Structure):
    """Flags of a segment's headers (hw.program.FILTER_HEADER)."""

    _fields_ = [(name, ctypes.c_int64) for name in ("open", "close", "all_tiles")]


SHARED = c_text.structs(Hardware, LayerShape, SegmentShape) + c_text.enum("Account", CYCLES)


@dataclass(frozen=True)
class LayerCycles:
    """Cycles of a layer, and of each PE where they went: int64 (n_pe,), by hw.counters.CYCLES."""

    cycles: int
    counters: dict[str, np.ndarray]


def predict(program: Program) -> list[LayerCycles]:
    """What the RTL's counters will say of each layer while no stream stalls."""
    return walk(layout(program))


def input_cycles(program: Program, spikes: np.ndarray) -> int:
    """Cycles from the first beat until the input, uint8 (T, C, H, W), is in the spike buffer."""
    side = program.input.side
    beats = row_beats(program, spikes)
    writes = Storage(program.config, side, side).row_writes
    pointers = side // STREAM_WORDS + 1
    rows = np.maximum(beats, writes)
    rows[:, 0] = beats[:, 0]  # the rows before are out when the pointers are in
    # While the next pointers come in, the row before waits to be written, and nobody for it.
    rows[:-1, -1] = beats[:-1, -1]
    return int(4 + len(rows) * pointers + rows.sum() + writes)


def row_beats(program: Program, spikes: np.ndarray) -> np.ndarray:
    """Cycles that the APU takes a row's activations in, at least one: int (C, H), of the input as it is stored."""
    active = program.stored(spikes).any(axis=0).sum(axis=2)  # (C, H) activations a row
    ends = np.cumsum(active, axis=1)
    starts = ends - active
    return np.where(active > 0, (ends - 1) // STREAM_WORDS - starts // STREAM_WORDS + 1, 1)


def bound(program: Program, spikes: np.ndarray) -> int:
    """Cycles after which a run without stalls has surely ended."""
    return 2 * (input_cycles(program, spikes) + sum(layer.cycles for layer in predict(program)))


@dataclass(frozen=True)
class Layout:
    """A program as cycles.cpp reads it."""

    config: Config
    shapes: ctypes.Array[LayerShape]
    positions: np.ndarray  # int32 (tiles of all layers,)
    stored: np.ndarray  # uint8, the same length
    segments: ctypes.Array[SegmentShape]  # of all layers
    ends: np.ndarray  # int64 (segments * n_pe,): where the words of each PE end
    words: np.ndarray  # uint16, of all PEs of all segments
    identities: (
        np.ndarray
    )  # int32, as long as `ends`: how many weights, the last, are an identity's


def layout(program: Program) -> Layout:
    """The arrays of a program."""
    n_pe = program.config.n_pe
    shapes, tiles, segments = [], [], []
    words: list[np.ndarray] = []
    identities: list[int] = []
    for layer in program.layers:
        tiling = layer.tiling(program.config)
        parts = list(tiling.tiles())
        fast = layer.descriptor.fast
        shapes.append(
            LayerShape(
                filters=layer.descriptor.filters,
                whole=tiling.whole,
                raw=layer.output is None,
                rotation=-(-n_pe // BANKS) if fast else n_pe,
                slots_a_phase=BANKS if fast else 1,
                tiles=len(parts),
                segments=len(layer.segments),
            )
        )
        tiles += parts
        for segment in layer.segments:
            segments.append(SegmentShape(segment.open, segment.close, segment.all_tiles))
            words += segment.words
            identities += segment.identities
    return Layout(
        config=program.config,
        shapes=(LayerShape * len(shapes))(*shapes),
        positions=np.array([tile.positions for tile in tiles], np.int32),
        stored=np.array([tile.stored for tile in tiles], np.uint8),
        segments=(SegmentShape * len(segments))(*segments),
        ends=np.cumsum([len(part) for part in words], dtype=np.int64),
        words=np.concatenate(words).astype(np.uint16, copy=False),
        identities=np.array(identities, np.int32),
    )


def walk(plan: Layout) -> list[LayerCycles]:
    """Cycles of every layer of a layout."""
    config, layers = plan.config, len(plan.shapes)
    hardware = Hardware(
        n_pe=config.n_pe,
        rows=config.scratchpad_rows,
        queue_depth=config.queue_depth,
        minimum=MINIMUM_CYCLES,
        fetch=FETCH,
        drain=Drain.latency(config) + 1,
        counter_beats=BEATS,
        result_beats=beats_a_result(config),
        words_a_beat=STREAM_WORDS,
        kernel=(1 << KERNEL) - 1,
    )
    cycles = np.zeros(layers, np.int64)
    counters = np.zeros((layers, len(CYCLES), config.n_pe), np.int64)

    def pointer(array: np.ndarray) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)

    library(SOURCE, SHARED).uticket_cycles(
        ctypes.byref(hardware),
        ctypes.c_int64(layers),
        plan.shapes,
        pointer(plan.positions),
        pointer(plan.stored),
        plan.segments,
        pointer(plan.ends),
        pointer(plan.words),
        pointer(plan.identities),
        pointer(cycles),
        pointer(counters),
    )
    return [
        LayerCycles(int(total), dict(zip(CYCLES, rows, strict=True)))
        for total, rows in zip(cycles, counters, strict=True)
    ]
