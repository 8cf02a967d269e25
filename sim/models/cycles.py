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
from hw.window import LATENCY
from sim.native import library
from sw.compile import Program

SOURCE = Path(__file__).with_suffix(".cpp")
FETCH = LATENCY + 2  # from a granted window to the first cycle of its sweep


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
    active = spikes.any(axis=0).sum(axis=2)  # (C, H) activations a row
    ends = np.cumsum(active, axis=1)
    starts = ends - active
    beats = np.where(active > 0, (ends - 1) // STREAM_WORDS - starts // STREAM_WORDS + 1, 1)
    writes = Storage(program.config, side, side).row_writes
    pointers = side // STREAM_WORDS + 1
    rows = np.maximum(beats, writes)
    rows[:, 0] = beats[:, 0]  # the rows before are out when the pointers are in
    # While the next pointers come in, the row before waits to be written, and nobody for it.
    rows[:-1, -1] = beats[:-1, -1]
    return int(4 + len(rows) * pointers + rows.sum() + writes)


def bound(program: Program, spikes: np.ndarray) -> int:
    """Cycles after which a run without stalls has surely ended."""
    return 2 * (input_cycles(program, spikes) + sum(layer.cycles for layer in predict(program)))


@dataclass(frozen=True)
class Layout:
    """A program as cycles.cpp reads it."""

    config: Config
    shapes: (
        np.ndarray
    )  # int64 (layers, 7): filters, whole, raw, rotation, PEs a phase, tiles, segments
    positions: np.ndarray  # int32 (tiles of all layers,)
    stored: np.ndarray  # uint8, the same length
    segments: np.ndarray  # int64 (segments of all layers, 3): open, close, all_tiles
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
        fast = layer.fields["fast"]
        shapes.append(
            (
                layer.fields["filters"],
                tiling.whole,
                layer.output is None,
                -(-n_pe // BANKS) if fast else n_pe,
                BANKS if fast else 1,
                len(parts),
                len(layer.segments),
            )
        )
        tiles += parts
        for segment in layer.segments:
            segments.append((segment.open, segment.close, segment.all_tiles))
            words += segment.words
            identities += segment.identities
    return Layout(
        config=program.config,
        shapes=np.array(shapes, np.int64),
        positions=np.array([tile.positions for tile in tiles], np.int32),
        stored=np.array([tile.stored for tile in tiles], np.uint8),
        segments=np.array(segments, np.int64),
        ends=np.cumsum([len(part) for part in words], dtype=np.int64),
        words=np.concatenate(words).astype(np.uint16, copy=False),
        identities=np.array(identities, np.int32),
    )


def walk(plan: Layout) -> list[LayerCycles]:
    """Cycles of every layer of a layout."""
    config, layers = plan.config, len(plan.shapes)
    hardware = np.array(
        [
            config.n_pe,
            config.scratchpad_rows,
            config.queue_depth,
            MINIMUM_CYCLES,
            FETCH,
            Drain.latency(config) + 1,
            BEATS,
            beats_a_result(config),
            STREAM_WORDS,
        ],
        np.int64,
    )
    cycles = np.zeros(layers, np.int64)
    counters = np.zeros((layers, len(CYCLES), config.n_pe), np.int64)
    arrays = (
        plan.shapes,
        plan.positions,
        plan.stored,
        plan.segments,
        plan.ends,
        plan.words,
        plan.identities,
    )
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    library(SOURCE).uticket_cycles(
        ctypes.c_void_p(hardware.ctypes.data),
        ctypes.c_int64(layers),
        *pointers,
        ctypes.c_void_p(cycles.ctypes.data),
        ctypes.c_void_p(counters.ctypes.data),
    )
    return [
        LayerCycles(int(total), dict(zip(CYCLES, rows, strict=True)))
        for total, rows in zip(cycles, counters, strict=True)
    ]
