"""The event machine's cycle model: how long each PE takes for what, from a program and an image's spikes.

It follows the RTL's rules, not its signals (docs/event.md). event_costs.py finds out how many positions each tap has
in each bank, from the maps that the layers read; this file lays the program out in arrays; event_cycles.cpp walks them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hw.config import STREAM_WORDS, WORD_BITS, Config
from hw.counters import BEATS, EVENT_CYCLES
from hw.event.drain import Drain
from hw.event.fifo import SliceFifo
from hw.event.program import LIST_WORDS, ring_rows, stream_lanes
from hw.results import beats_a_result
from hw.tiling import Storage, Tile
from sim import c_text
from sim.models.cycles import LayerCycles, input_cycles, row_beats
from sim.models.event_costs import costs, pad_of
from sim.native import library
from sw.event.encode import SHORTCUT, Part
from sw.event.program import EventLayer, EventProgram

SOURCE = Path(__file__).with_suffix(".cpp")
KINDS = 65
"""Kinds of list entries, by the passes that they take: the four phases of the input (a source of stride 1 has the first
only) or the blocks of its kernel, and the shortcut."""


def _struct(
    name: str, fields: Sequence[str], kind: type = ctypes.c_int64
) -> type[ctypes.Structure]:
    """A struct that event_cycles.cpp sees too; NumPy's rows have the same fields in the same order."""
    return type(name, (ctypes.Structure,), {"_fields_": [(field, kind) for field in fields]})


Hardware = _struct(
    "Hardware",
    (
        *("n_pe", "lanes", "ring_rows", "list_rows", "list_words", "segment_depth", "fifo_depth"),
        *("fifo_places", "drain", "counter_beats", "result_beats"),
    ),
)
LayerShape = _struct(
    "LayerShape",
    ("filters", "raw", "tiles", "segments", "subs", "rows", "identity_from", "more_beats"),
)
"""tiles: visits, each tile as often as there are rounds of ticks. more_beats: of its descriptor, beside two."""
SegmentShape = _struct("SegmentShape", ("close", "all_tiles", "places"))
InputShape = _struct("InputShape", ("side", "pointers", "writes"))
"""Rows of a channel; beats of its pointers; cycles to write a row."""
TileShape = _struct("TileShape", ("neurons", "stored"))
"""Cycles of its drain; whether it completes a word that is stored."""
Place = _struct("Place", ("beat", "kind"), ctypes.c_int32)
"""Of a list: the source's beat, from which its costs are found; which `reads` it takes."""
CASTER = ("cast", "read", "load", "header", "fifo", "finish")
"""Where the caster's cycles go: it hands out, waits for the spike buffer, for the program, for slice headers, for a
PE's FIFO; after its last item the PEs finish."""
SHARED = (
    c_text.structs(Hardware, InputShape, LayerShape, SegmentShape, TileShape, Place)
    + c_text.enum("Account", EVENT_CYCLES)
    + c_text.enum("Caster", CASTER)
)


@dataclass(frozen=True)
class EventCycles(LayerCycles):
    """Of one image; counters also has "positions", those that a weight was added to."""

    group_positions: np.ndarray
    """int64 (groups, n_pe): the same of each filter of each group."""
    caster: dict[str, int]
    """Where the caster's cycles went, by CASTER; they add up to `cycles`."""


@dataclass(frozen=True)
class Passed:
    """An image in a row of images."""

    waited: int
    """Cycles from the end of the image before until its layers begin; of the first image those of its input."""
    latency: int
    """From the first beat of its input to its end."""
    layers: list[EventCycles]

    @property
    def period(self) -> int:
        """Cycles from the end of the image before to its own."""
        return self.waited + sum(layer.cycles for layer in self.layers)


class EventModel:
    """A program's cycle model: laid out once, then asked for each image."""

    def __init__(self, program: EventProgram) -> None:
        self.program = program
        config = program.config
        words = config.stream_bits // WORD_BITS
        self._hardware = Hardware(
            n_pe=config.n_pe,
            lanes=stream_lanes(config),
            ring_rows=ring_rows(config),
            list_rows=LIST_WORDS // words,
            list_words=words,
            segment_depth=config.segment_depth,
            fifo_depth=config.fifo_depth,
            fifo_places=SliceFifo.places(config),
            drain=Drain.latency(config) + 1,
            counter_beats=BEATS,
            result_beats=beats_a_result(config),
        )
        self._tilings = [list(layer.tiling(config).tiles()) for layer in program.layers]
        self._visits = [
            [tile for tile in tiling for _ in range(layer.descriptor.rounds)]
            for layer, tiling in zip(program.layers, self._tilings, strict=True)
        ]
        segments = [segment for layer in program.layers for segment in layer.segments]
        parts = [segment.part for segment in segments]
        tiles = [
            (tile.height * -(-tile.width // config.lifs), tile.stored)
            for tiling in self._visits
            for tile in tiling
        ]
        layers = zip(program.layers, self._visits, strict=True)
        self._tiles = np.array(tiles, np.int64)
        self._reads = np.concatenate([passes(*pair, config).ravel() for pair in layers])
        self._segments = np.array(
            [(s.close, s.all_tiles, len(s.part.places)) for s in segments], np.int64
        )
        self._header_words = np.array([len(w) for p in parts for w in p.headers], np.int64)
        self._value_words = np.array([len(w) for p in parts for w in p.values], np.int64)
        self._headers = np.concatenate([w for p in parts for w in p.headers])
        self._places = np.concatenate(
            [_places(s.part, layer) for layer in program.layers for s in layer.segments]
        )

    def predict(self, maps: Mapping[str, np.ndarray]) -> list[EventCycles]:
        """What the RTL's counters will say of each layer while no stream stalls.

        maps: spikes of every map by the name of the layer that made it, uint8 (T, C, H, W).
        """
        return self._predict([maps], np.zeros((0, 1, 1), np.int32))[0].layers

    def predict_row(self, images: Sequence[Mapping[str, np.ndarray]]) -> list[Passed]:
        """Of images one after the other, the next one's input coming early; maps of each as of `predict`."""
        program = self.program
        spikes = [maps[program.layers[0].integer.own.source.map] for maps in images]
        first = input_cycles(program, spikes[0])
        beats = [row_beats(program, each) for each in spikes[1:]]
        found = self._predict(images, np.array(beats, np.int32))
        whole = first + sum(layer.cycles for layer in found[0].layers)
        # its program's header comes before the first beat of its input
        return [replace(found[0], waited=first, latency=whole - 1), *found[1:]]

    def _predict(
        self, images: Sequence[Mapping[str, np.ndarray]], beats: np.ndarray
    ) -> list[Passed]:
        """beats: of each row of the inputs that come early, int32 (images - 1, channels, rows)."""
        program, config, layers = self.program, self.program.config, self.program.layers
        side = program.input.side
        shapes = []
        by_kind: tuple[list[np.ndarray], ...] = ([], [], [])
        for number, maps in enumerate(images):
            for layer, tiling in zip(layers, self._tilings, strict=True):
                counted = costs(layer, maps, tiling, config)
                for kind, found in zip(by_kind, vars(counted).values(), strict=True):
                    kind.append(found.ravel())
                if not number:
                    shapes.append(self._shape(layer, tiling, counted.most.shape))
        count = len(images)
        cycles = np.zeros((count, len(layers)), np.int64)
        counters = np.zeros((count, len(layers), len(EVENT_CYCLES), config.n_pe), np.int64)
        caster = np.zeros((count, len(layers), len(CASTER)), np.int64)
        positions = np.zeros((count, len(self._segments), config.n_pe), np.int64)
        waited, latency = np.zeros((2, count), np.int64)
        early = np.array(program.early or np.zeros(len(self._segments)), np.int64)
        laid_out = (
            *(np.array(shapes, np.int64), self._tiles, self._reads),
            *(np.concatenate(kind) for kind in by_kind),
            *(self._segments, self._header_words, self._value_words, self._places, self._headers),
            *(early, np.ascontiguousarray(beats)),
            *(cycles, counters, caster, positions, waited, latency),
        )
        stored = InputShape(
            side=side,
            pointers=side // STREAM_WORDS + 1,
            writes=Storage(config, side, side).row_writes,
        )
        library(SOURCE, SHARED).uticket_event_cycles(
            ctypes.byref(self._hardware),
            ctypes.byref(stored),
            *map(ctypes.c_int64, (count, len(layers), KINDS)),
            *(ctypes.c_void_p(array.ctypes.data) for array in laid_out),
        )
        return [
            Passed(int(waited[k]), int(latency[k]), self._layers(*each))
            for k, each in enumerate(zip(cycles, counters, caster, positions, strict=True))
        ]

    @staticmethod
    def _shape(layer: EventLayer, tiling: list[Tile], most: tuple[int, ...]) -> tuple[int, ...]:
        """A LayerShape. most: of its costs."""
        beats, subs, taps, _ = most
        return (
            layer.descriptor.filters,
            layer.output is None,
            len(tiling) * layer.descriptor.rounds,
            len(layer.segments),
            subs,
            beats * subs * taps,
            own_beats(layer) if layer.descriptor.identity else beats,
            bool(layer.descriptor.extension),
        )

    def _layers(
        self, cycles: np.ndarray, counters: np.ndarray, caster: np.ndarray, positions: np.ndarray
    ) -> list[EventCycles]:
        """An image's."""
        result, first = [], 0
        for layer, total, rows, cast in zip(
            self.program.layers, cycles, counters, caster, strict=True
        ):
            groups = np.zeros((layer.segments[-1].group + 1, self.program.config.n_pe), np.int64)
            which = [segment.group for segment in layer.segments]
            np.add.at(groups, which, positions[first : first + len(which)])
            first += len(which)
            named = dict(zip(EVENT_CYCLES, rows, strict=True))
            named["positions"] = groups.sum(axis=0)
            accounts = dict(zip(CASTER, cast.tolist(), strict=True))
            result.append(EventCycles(int(total), named, groups, accounts))
        return result


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
