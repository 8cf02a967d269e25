"""The event machine's cycle model: how long each PE takes for what, from a program and an image's spikes.

It follows the RTL's rules, not its signals (docs/event.md). event_costs.py finds out how many positions each tap has
in each bank, from the maps that the layers read; event_layout.py lays programs out in arrays; event_cycles.cpp walks them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw.config import STREAM_WORDS, WORD_BITS
from hw.counters import BEATS, EVENT_CYCLES
from hw.event.drain import Drain
from hw.event.fifo import SliceFifo
from hw.event.program import LIST_WORDS, ring_rows, stream_lanes
from hw.results import beats_a_result
from hw.tiling import Storage, Tile
from sim import c_text
from sim.models.cycles import LayerCycles, input_cycles, row_beats
from sim.models.event_costs import costs
from sim.models.event_layout import KINDS, LaidOut, own_beats
from support.native import library
from sw.event.program import EventLayer, EventProgram

SOURCE = Path(__file__).with_suffix(".cpp")


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
ProgramAt = _struct(
    "ProgramAt", ("layers", "shape", "tile", "read", "segment", "place", "header", "input")
)
"""How many layers, where its part of each array begins, and cycles of its input; 0: it came in the program before."""
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
    c_text.structs(Hardware, ProgramAt, InputShape, LayerShape, SegmentShape, TileShape, Place)
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
    """An image in a row of images, or a program in one of programs."""

    waited: int
    """Cycles from the end of the one before until its layers begin; of the first one those of its input."""
    latency: int
    """From the first beat of its input to its end."""
    layers: list[EventCycles]

    @property
    def period(self) -> int:
        """Cycles from the end of the one before to its own."""
        return self.waited + sum(layer.cycles for layer in self.layers)


class EventModel:
    """The cycle model of a program, or of several that take turns: laid out once, then asked for each image."""

    def __init__(self, *programs: EventProgram) -> None:
        config = programs[0].config
        self.programs = programs
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
        self._laid_out = [LaidOut(program) for program in programs]

    def predict(self, maps: Mapping[str, np.ndarray]) -> list[EventCycles]:
        """What the RTL's counters will say of each layer of the first program while no stream stalls.

        maps: spikes of every map by the name of the layer that made it, uint8 (T, C, H, W).
        """
        return self._predict([maps], [1], [])[0].layers

    def predict_row(self, runs: Sequence[Mapping[str, np.ndarray]]) -> list[Passed]:
        """Of programs one after the other, in turns; maps of each as of `predict`.

        A program's input comes in the one before, where that takes it `early`. Of a batch's last program the maps are all
        images', the ticks of one behind those of the one before; its early layers read the last.
        """
        count = len(self.programs)
        inputs, beats = [], []
        for k, maps in enumerate(runs):
            program, before = self.programs[k % count], self.programs[(k - 1) % count]
            spikes = maps[program.layers[0].integer.own.source.map]
            spikes = spikes[-program.ticks * program.images :]
            comes = k > 0 and bool(before.early)
            inputs.append(0 if comes else input_cycles(program, spikes))
            if comes:
                beats.append(row_beats(program, spikes).ravel())
        return self._predict(runs, inputs, beats)

    def _predict(
        self,
        runs: Sequence[Mapping[str, np.ndarray]],
        inputs: Sequence[int],
        beats: Sequence[np.ndarray],
    ) -> list[Passed]:
        """inputs: cycles of each program's, 0 where it came early. beats: of each row of those that did."""
        laid_out, config = self._laid_out, self.programs[0].config
        starts = np.cumsum([(0,) * 6, *(one.counts() for one in laid_out)], axis=0)
        in_turn = [k % len(laid_out) for k in range(len(runs))]
        at = np.array(
            [
                (laid_out[k].layers, *starts[k], cycles)
                for k, cycles in zip(in_turn, inputs, strict=True)
            ],
            np.int64,
        )
        shapes: list[list[tuple[int, ...]]] = [[] for _ in laid_out]
        by_kind: tuple[list[np.ndarray], ...] = ([], [], [])
        for number, maps in enumerate(runs):
            one = laid_out[in_turn[number]]
            for layer, tiling in zip(one.program.layers, one.tilings, strict=True):
                counted = costs(layer, maps, tiling, config, one.program.ticks)
                for kind, found in zip(by_kind, vars(counted).values(), strict=True):
                    kind.append(found.ravel())
                if number < len(laid_out):
                    shapes[number].append(self._shape(layer, tiling, counted.most.shape))
        ran = [laid_out[k] for k in in_turn]
        layers, segments = sum(one.layers for one in ran), sum(len(one.segments) for one in ran)
        cycles = np.zeros(layers, np.int64)
        counters = np.zeros((layers, len(EVENT_CYCLES), config.n_pe), np.int64)
        caster = np.zeros((layers, len(CASTER)), np.int64)
        positions = np.zeros((segments, config.n_pe), np.int64)
        waited, latency = np.zeros((2, len(runs)), np.int64)
        arrays = [
            np.concatenate(each) for each in zip(*(one.arrays() for one in laid_out), strict=True)
        ]
        side = self.programs[0].input.side
        stored = InputShape(
            side=side,
            pointers=side // STREAM_WORDS + 1,
            writes=Storage(config, side, side).row_writes,
        )
        handed = (
            *(at, np.array([shape for each in shapes for shape in each], np.int64), *arrays),
            np.concatenate([np.zeros(0), *beats]).astype(np.int32),
            *(np.concatenate(kind) for kind in by_kind),
            *(cycles, counters, caster, positions, waited, latency),
        )
        library(SOURCE, SHARED).uticket_event_cycles(
            ctypes.byref(self._hardware),
            ctypes.byref(stored),
            *map(ctypes.c_int64, (len(runs), KINDS)),
            *(ctypes.c_void_p(array.ctypes.data) for array in handed),
        )
        result, done, opened = [], 0, 0
        for k, one in enumerate(ran):
            mine = slice(done, done := done + one.layers)
            own = slice(opened, opened := opened + len(one.segments))
            found = self._layers(
                one.program, cycles[mine], counters[mine], caster[mine], positions[own]
            )
            result.append(Passed(int(waited[k]), int(latency[k]), found))
        return result

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

    @staticmethod
    def _layers(
        program: EventProgram,
        cycles: np.ndarray,
        counters: np.ndarray,
        caster: np.ndarray,
        positions: np.ndarray,
    ) -> list[EventCycles]:
        """Of a program that ran."""
        result, first = [], 0
        for layer, total, rows, cast in zip(program.layers, cycles, counters, caster, strict=True):
            groups = np.zeros((layer.segments[-1].group + 1, program.config.n_pe), np.int64)
            which = [segment.group for segment in layer.segments]
            np.add.at(groups, which, positions[first : first + len(which)])
            first += len(which)
            named = dict(zip(EVENT_CYCLES, rows, strict=True))
            named["positions"] = groups.sum(axis=0)
            accounts = dict(zip(CASTER, cast.tolist(), strict=True))
            result.append(EventCycles(int(total), named, groups, accounts))
        return result
