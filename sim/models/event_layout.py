"""A program of the event machine in arrays, as its cycle model walks it: tiles, segments, lists, slice headers."""

from __future__ import annotations

import numpy as np

from hw.config import Config
from hw.tiling import Tile
from sim.models.event_costs import pad_of
from sw.event.encode import SHORTCUT, Part
from sw.event.program import EventLayer, EventProgram

KINDS = 65
"""Kinds of list entries, by the passes that they take: the four phases of the input (a source of stride 1 has the first
only) or the blocks of its kernel, and the shortcut."""


class LaidOut:
    """A program as event_cycles.cpp reads it, but for spikes: each kind of thing in one array, all layers' one behind the other.

    tiles: a TileShape of each visit, int64 (visits, 2). reads: passes of a slice, of each layer uint8 (KINDS, tiles), flat.
    segments: a SegmentShape each, int64 (segments, 3). header_words, value_words: how many, of each segment's PEs, int64.
    places: a Place of each entry of each list, int32 (places, 2). headers: all slice headers, uint16. early: channels of
    the next program's input, of each segment, int64.
    """

    def __init__(self, program: EventProgram) -> None:
        self.program, config = program, program.config
        self.tilings = [list(layer.tiling(config).tiles()) for layer in program.layers]
        visits = [
            [tile for tile in tiling for _ in range(layer.descriptor.rounds)]
            for layer, tiling in zip(program.layers, self.tilings, strict=True)
        ]
        segments = [segment for layer in program.layers for segment in layer.segments]
        parts = [segment.part for segment in segments]
        tiles = [
            (tile.height * -(-tile.width // config.lifs), tile.stored)
            for tiling in visits
            for tile in tiling
        ]
        layers = zip(program.layers, visits, strict=True)
        self.tiles = np.array(tiles, np.int64)
        self.reads = np.concatenate([passes(*pair, config).ravel() for pair in layers])
        self.segments = np.array(
            [(s.close, s.all_tiles, len(s.part.places)) for s in segments], np.int64
        )
        self.header_words = np.array([len(w) for p in parts for w in p.headers], np.int64)
        self.value_words = np.array([len(w) for p in parts for w in p.values], np.int64)
        self.places = np.concatenate(
            [_places(s.part, layer) for layer in program.layers for s in layer.segments]
        )
        self.headers = np.concatenate([w for p in parts for w in p.headers])
        self.early = np.array(program.early or np.zeros(len(segments)), np.int64)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """In the order of event_cycles.cpp."""
        return (
            *(self.tiles, self.reads, self.segments, self.header_words, self.value_words),
            *(self.places, self.headers, self.early),
        )

    def counts(self) -> tuple[int, ...]:
        """How far the next program is from it in each of them, as in ProgramAt."""
        sizes = self.layers, len(self.tiles), len(self.reads), len(self.segments)
        return *sizes, len(self.places), len(self.headers)

    @property
    def layers(self) -> int:
        """How many."""
        return len(self.program.layers)


def own_beats(layer: EventLayer) -> int:
    """Beats of a layer's input, behind which those of its shortcut are counted."""
    channels = layer.descriptor.channels
    strided = layer.descriptor.input["strided"]
    if layer.packed:
        return channels if strided else -(-channels // 4)
    return 4 * channels if strided else channels << 2 * layer.descriptor.blocks


def _places(part: Part, layer: EventLayer) -> np.ndarray:
    """Of each place of a list its beat's number and kind, int32 (places, 2)."""
    shortcut = part.places >> SHORTCUT & 1
    index = (part.places & ((1 << SHORTCUT) - 1)).astype(np.int32)
    if layer.descriptor.input["strided"]:
        phase = index % 4 if not layer.packed else 0 * index
    else:
        phase = index % (1 << 2 * layer.descriptor.blocks)
    beats = np.where(shortcut, index + own_beats(layer), index)
    return np.stack([beats, np.where(shortcut, KINDS - 1, phase)], 1).astype(np.int32)


def passes(layer: EventLayer, parts: list[Tile], config: Config) -> np.ndarray:
    """How often the banks are read for a slice, uint8 (KINDS, tiles): once, or twice along an axis."""
    source, size = layer.descriptor.input, config.tile_side
    height, width = layer.descriptor.source_sides(0)
    strided = source["strided"] and not layer.packed
    result = np.ones((KINDS, len(parts)), np.uint8)
    if layer.packed:
        return result
    padded, log = layer.descriptor.padded, layer.descriptor.blocks

    def twice(tile: int, part: int, side: int) -> bool:
        """part: phase, or block of the kernel, along the axis."""
        if strided:
            before, after = tile > 0, side > 2 * size * (tile + 1) + part
            if log:  # a kernel larger than 3x3
                return before or after
            return bool(before if part and padded else after and not part and not padded)
        start = tile * size + 3 * part - pad_of(layer)
        return start >= 0 and start % size == size - 1 and start + size + 1 < side

    for kind in range(4 if strided else 1 << 2 * log):
        along_y, along_x = divmod(kind, 2 if strided else 1 << log)
        for k, tile in enumerate(parts):
            down, across = twice(tile.y, along_y, height), twice(tile.x, along_x, width)
            result[kind, k] = (1 + down) * (1 + across)
    return result
