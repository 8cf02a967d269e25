"""The cycle model in plain Python, slowly: what sim/models/cycles.cpp must equal (test_cycles.py).

It follows the RTL's rules, not its signals: when words are loaded, weights decoded, windows granted
and tiles drained, as times that depend on earlier times. Nothing here knows of spikes, so a layer's
cycles are the same for every image; only loading the input depends on it.

All times are cycles counted from the program's first beat; "at t" means in cycle t. Derived in
docs/cycles.md.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from hw import average
from hw.config import BANKS, STREAM_WORDS, Config
from hw.counters import BEATS, CYCLES
from hw.lif import Lif
from hw.results import beats_a_result
from hw.sweep import MINIMUM_CYCLES
from hw.window import LATENCY
from sw.compile import CompiledLayer, Program
from sw.encoding import Segment
from tb import maps

FETCH = LATENCY + 2  # from a granted window to the first cycle of its sweep
DRAIN = 1 + average.LATENCY  # from a position to what its neuron gets


@dataclass(frozen=True)
class LayerCycles:
    """Cycles of a layer, and of each PE where they went: int64 (n_pe,), by hw.counters.CYCLES."""

    cycles: int
    counters: dict[str, np.ndarray]


def predict(program: Program) -> list[LayerCycles]:
    """What the RTL's counters will say of each layer while no stream stalls."""
    return _Array(program).run()


def input_cycles(program: Program, spikes: np.ndarray) -> int:
    """Cycles from the first beat until the input, uint8 (T, C, H, W), is in the spike buffer."""
    side = program.input.side
    writes = -(-side // (2 * program.config.tile_side))  # cycles to write a row
    now = placed = free = 0  # the next beat; when the row before is in place; when it is written
    for channel in spikes.any(axis=0).sum(axis=2):  # activations of its rows
        now += side // STREAM_WORDS + 1
        count = 0
        for active in channel:
            more = (count + active - 1) // STREAM_WORDS - count // STREAM_WORDS if active else 0
            now = max(now, placed) + int(more)
            placed = max(now + 1, free)
            free = placed + writes
            now += 1
            count += active
    return free + 4


def bound(program: Program, spikes: np.ndarray) -> int:
    """Cycles after which a run without stalls has surely ended."""
    return 2 * (input_cycles(program, spikes) + sum(layer.cycles for layer in predict(program)))


class _Ring:
    """A buffer whose places are taken in order, and freed in order."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.freed: deque[int] = deque()  # cycles from which a place can be taken again

    def take(self, at: int) -> int:
        """The first cycle from `at` on in which there is a place; takes it."""
        if self.left:
            self.left -= 1
            return at
        return max(at, self.freed.popleft())


class _Headers:
    """A queue of filter headers: a memory of one place less than its depth, and a register behind it."""

    def __init__(self, depth: int) -> None:
        self.places = _Ring(depth - 1)
        self.written: deque[int] = deque()
        self.popped = -1

    def write(self, at: int) -> int:
        """The cycle, from `at` on, in which a header is taken in."""
        at = self.places.take(at)
        self.written.append(at)
        return at

    def pop(self, at: int) -> int:
        """The cycle, from `at` on, in which the oldest header is taken out."""
        moved = max(self.written.popleft() + 1, self.popped)  # from the memory to the register
        self.places.freed.append(moved + 1)
        self.popped = max(at, moved + 1)
        return self.popped


class _Results:
    """The result stream: counters of the layer before, then accumulators (hw/results.py)."""

    def __init__(self, config: Config) -> None:
        self.counters = BEATS * config.n_pe
        self.beats = beats_a_result(config)
        self.queue = _Headers(config.n_pe + 2)  # the same kind of queue
        self.free = 0  # cycle from which the stream is free
        self.turn = -1  # when the last result was taken in

    def capture(self, at: int) -> None:
        """A layer ends in cycle `at`: its counters follow."""
        self.free = at + 1 + self.counters

    def put(self, at: int) -> int:
        """The cycle, from `at` on, in which the next filter's result is taken in."""
        self.turn = self.queue.write(max(at, self.turn + 1))
        first = max(self.free, self.queue.written[-1] + 2, self.queue.popped + 1)
        self.free = self.queue.pop(first + self.beats - 1) + 1
        return self.turn


@dataclass(frozen=True)
class _Tile:
    positions: int
    stored: bool  # it completes a word that lies in the output map


def _tiles(layer: CompiledLayer, config: Config) -> tuple[list[_Tile], int]:
    """The tiles of a layer in order, and the positions of a whole one: counted, position by position."""
    side, output = layer.side, layer.descriptor.output_side
    half, pool = bool(layer.descriptor.half), bool(layer.descriptor.pool)
    block = config.tile_side // 2 if half else config.tile_side
    tiles = []
    for y, x, completes in maps.tiles(config, side=side, half=half, pool=pool):
        held = [
            (row, column)
            for row in range(y * block, (y + 1) * block)
            for column in range(x * block, (x + 1) * block)
            if row < side and column < side
        ]
        # the word begins at a position that this tile, or one before it, pools into the output map
        word = config.small_side if output <= config.small_side else config.tile_side
        scale = 2 if pool else 1
        begins = all(at * block // scale // word * word < output for at in (y, x))
        tiles.append(_Tile(len(held), completes and begins))
    return tiles, max(tile.positions for tile in tiles)


def _gaps(words: np.ndarray) -> list[int]:
    """For each weight of a WSP stream, how many headers come right before it."""
    gaps, headers, rest = [], 0, 0
    for word in words.tolist():
        if rest:
            gaps.append(headers)
            headers, rest = 0, rest - 1
        else:
            headers, rest = headers + 1, (word & 511).bit_count()
    return gaps


class _Pe:
    """Where a PE stands: cycles of its last decode, grant and take, and what it is waiting for."""

    def __init__(self, config: Config) -> None:
        self.ring = _Ring(config.scratchpad_rows)
        self.headers = _Headers(config.queue_depth)
        self.decoded = -1  # the last word
        self.granted = -1
        self.taken = -1
        self.free = 0  # the first cycle that is not accounted for
        self.leaving_free = 0  # from when on the next tile may open: the one before is out
        self.opened = False
        self.stored = False  # of the open tile
        self.tile = 0
        self.group = 0
        self.counts = dict.fromkeys(CYCLES, 0)


class _Array:
    def __init__(self, program: Program) -> None:
        self.program, self.config = program, program.config
        self.pes = [_Pe(self.config) for _ in range(self.config.n_pe)]
        self.results = _Results(self.config)

    def run(self) -> list[LayerCycles]:
        load = 0  # the loader's next beat; the input has just been loaded, in cycle -1
        ended, descriptor_free = -1, 0
        result = []
        for layer in self.program.layers:
            high = max(load + 1, descriptor_free)
            load = high + 1
            taken = max(ended + 1, high + 1)  # by the sequencer
            descriptor_free = taken + 1
            start = taken + 2
            done, load = self._layer(layer, start, load)
            end = max(done, self.results.free)
            self.results.capture(end)
            for pe in self.pes:
                pe.counts["stall_load"] += start - ended - 1
                pe.counts["stall_output"] += end + 1 - pe.free
                pe.free = end + 1
            counters = {n: np.array([pe.counts[n] for pe in self.pes], np.int64) for n in CYCLES}
            for pe in self.pes:
                pe.counts = dict.fromkeys(CYCLES, 0)
            result.append(LayerCycles(end - ended, counters))
            ended = end
        return result

    def _layer(self, layer: CompiledLayer, start: int, load: int) -> tuple[int, int]:
        """Runs a layer whose PEs start in cycle `start`; when all are done, and the next beat's cycle."""
        tiles, whole = _tiles(layer, self.config)
        for pe in self.pes:
            pe.decoded = pe.granted = pe.taken = start - 1
            pe.free = pe.leaving_free = start
            pe.opened, pe.tile, pe.group = False, 0, 0
        for segment in layer.segments:
            loaded = []
            for pe, words in zip(self.pes, segment.words, strict=True):
                load = pe.headers.write(load) + 1
                rows = []
                for _ in range(-(-len(words) // STREAM_WORDS)):
                    rows.append(pe.ring.take(load))
                    load = rows[-1] + 1
                loaded.append(rows)
            ends = []
            for i, pe in enumerate(self.pes):
                ends.append(self._segment(pe, i, layer, segment, tiles, whole, loaded[i], start))
            release = max(ends) + 1
            for pe, end in zip(self.pes, ends, strict=True):
                pe.counts["idle_cycles"] += release - end
                pe.free = release + 1
        done = 0
        for i, pe in enumerate(self.pes):
            done = max(done, self._flush(pe, i, layer, whole, start))
        return done, load

    def _segment(
        self,
        pe: _Pe,
        i: int,
        layer: CompiledLayer,
        segment: Segment,
        tiles: list[_Tile],
        whole: int,
        loaded: list[int],
        start: int,
    ) -> int:
        """Decodes and sweeps PE i's part of a segment; the last cycle of its last sweep."""
        rotation, phase = self._slots(layer, i)
        words = len(segment.words[i])
        gaps = _gaps(segment.words[i])
        empty = not gaps
        decoded = pe.headers.pop(max(pe.decoded + 1, start))
        granted, taken, free = pe.granted, pe.taken, pe.free
        work = load = window = output = lif = shortcut = 0
        identities = segment.identities[i]  # the last of its weights
        first, last = (0, len(tiles) - 1) if segment.all_tiles else (pe.tile, pe.tile)
        for number in range(first, last + 1):
            tile = tiles[number]
            word = 0
            for index, gap in enumerate(gaps or [0]):
                # decode: a word a cycle, once it is loaded; a weight once the one before is granted
                if empty:
                    decoded = max(decoded + 1, granted)
                elif number in (first, last):
                    for k in range(gap + 1):
                        decoded = max(decoded + 1, loaded[word >> 2] + 2)
                        if k == gap:
                            decoded = max(decoded, granted)
                        word += 1
                        if number == last and (word % STREAM_WORDS == 0 or word == words):
                            pe.ring.freed.append(decoded + 1)
                else:
                    decoded = max(decoded + gap + 1, granted)
                # fetch: in this PE's slot, once the fetch stage is empty
                granted = max(decoded, taken) + 1
                if empty:
                    ready = granted + 1
                else:
                    granted += (phase - (granted - start)) % rotation
                    ready = granted + FETCH - 1
                # take: once the sweep before ends, and the tile before is out
                opening = segment.open and index == 0
                taken = max(ready, free - 1)
                if opening and pe.leaving_free > taken:
                    output += pe.leaving_free - max(free, ready)
                    taken = pe.leaving_free
                    window -= taken - max(free, ready)
                if taken >= free:
                    waits = min(max(decoded - free + 1, 0), taken - free + 1)
                    load += waits
                    window += taken - free + 1 - waits
                # sweep
                visited = whole if opening else tile.positions
                cycles = max(visited, MINIMUM_CYCLES)
                if empty:
                    lif += cycles
                else:
                    if index >= len(gaps) - identities:
                        shortcut += tile.positions
                    else:
                        work += tile.positions
                    lif += visited - tile.positions
                    window += cycles - visited
                free = taken + cycles + 1
                if opening:
                    self._drain(pe, i, layer, taken, whole, start)
                    present = pe.group * self.config.n_pe + i < layer.descriptor.filters
                    pe.opened, pe.stored = True, tile.stored and present
        if segment.close:
            pe.tile = (last + 1) % len(tiles)
            pe.group += pe.tile == 0
        pe.decoded, pe.granted, pe.taken, pe.free = decoded, granted, taken, free
        pe.counts["work_cycles"] += work
        pe.counts["stall_load"] += load
        pe.counts["stall_window"] += window
        pe.counts["stall_output"] += output
        pe.counts["stall_lif"] += lif
        pe.counts["stall_shortcut"] += shortcut
        return free - 1

    def _flush(self, pe: _Pe, i: int, layer: CompiledLayer, whole: int, start: int) -> int:
        """The sweep that drains a layer's last tile; the cycle in which PE i is done."""
        begin = max(pe.free, pe.leaving_free)
        pe.counts["stall_output"] += begin - pe.free + 1
        cycles = max(whole, MINIMUM_CYCLES)
        pe.counts["stall_lif"] += cycles
        pe.free = begin + cycles + 1
        self._drain(pe, i, layer, begin, whole, start)
        return max(pe.leaving_free, pe.free) + 1

    def _drain(
        self, pe: _Pe, i: int, layer: CompiledLayer, taken: int, whole: int, start: int
    ) -> None:
        """The sweep taken in cycle `taken` drains the open tile: when the next may open."""
        if not pe.opened:
            return
        gathered = taken + whole + DRAIN + Lif.latency(self.config) + 1
        if not pe.stored:
            pe.leaving_free = gathered
        elif layer.output is None:
            pe.leaving_free = self.results.put(gathered) + 1
        else:
            wait = (i - (gathered - start)) % self.config.n_pe
            pe.leaving_free = gathered + wait + 1

    def _slots(self, layer: CompiledLayer, i: int) -> tuple[int, int]:
        """How often PE i may read the spike buffer, and when."""
        if layer.descriptor.fast:
            return -(-self.config.n_pe // BANKS), i // BANKS
        return self.config.n_pe, i
