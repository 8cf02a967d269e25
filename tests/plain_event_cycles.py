"""The event machine's cycle model in plain Python, slowly: what sim/models/event_cycles.cpp must equal.

It reads the program's beats, as the RTL does, and finds every position by looking at the maps. All times are cycles
counted from the program's first beat; "at t" means in cycle t. Derived in docs/event.md.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hw.config import Config
from hw.counters import BEATS, EVENT_CYCLES
from hw.event.program import FILTER_HEADER, LIST_ENTRY, LIST_WORDS, SEGMENT_HEADER
from hw.program import EXTENSION, INPUT_HEADER, LAYER, unpack
from hw.results import beats_a_result
from sim.models.cycles import LayerCycles
from tb import maps as plain_maps
from tests.plain_cycles import _Headers as Queue
from tests.plain_cycles import _Results, _Ring

BANK_SHAPES = {1: (1, 1), 4: (2, 2), 8: (4, 2)}


@dataclass
class _Channel:
    """Of the input, as the APU reads it."""

    pointers: int  # beats
    rows: list[int]  # cycles in which each row's activations are taken


@dataclass
class _Segment:
    """Of the stream: what a group, or a part of it, brings."""

    close: bool
    all_tiles: bool
    end: bool
    places: list[int]
    headers: list[list[int]] = field(default_factory=list)
    values: list[int] = field(default_factory=list)  # rows
    early: list[_Channel] | None = None  # of the next image's input, if it comes behind the header


class _Reader:
    """Words of the stream's beats, (beats, lanes)."""

    def __init__(self, beats: np.ndarray, config: Config) -> None:
        self.beats, self.config, self.at = beats, config, 0

    def narrow(self) -> int:
        self.at += 1
        return int(self.beats[self.at - 1, 0])

    def layer(self) -> dict:
        low = self.narrow()
        fields = unpack(LAYER, low | self.narrow() << 64)
        fields["anew"] = fields.pop("half")  # the same bit
        more = unpack(EXTENSION, self.narrow() if fields["extended"] else 0)
        for name, long in (
            ("", fields["side"]),
            ("input_", fields["input"] >> 12 & 127),
            ("shortcut_", fields["shortcut"] >> 12 & 127),
            ("output_", fields["output_side"]),
        ):
            sides = long, more[f"{name}short"] or long
            fields[f"{name}height"], fields[f"{name}width"] = sides[:: 1 if fields["tall"] else -1]
        return fields

    def input(self) -> list[_Channel]:
        head = unpack(INPUT_HEADER, self.narrow())
        found = []
        for _ in range(head["first"], head["channels"]):
            count = head["side"] // 4 + 1
            words = b"".join(self.narrow().to_bytes(8, "little") for _ in range(count))
            ends = [int(k) for k in np.frombuffer(words, "<u2")[: head["side"] + 1]]
            self.at += -(-ends[-1] // 4)
            rows = [{k // 4 for k in range(*pair)} for pair in pairwise(ends)]
            found.append(_Channel(count, [max(1, len(beats)) for beats in rows]))
        return found

    def segment(self) -> _Segment:
        head = unpack(SEGMENT_HEADER, self.narrow())
        early = self.input() if head["input"] else None
        words = 4 * self.beats.shape[1]
        rows = -(-head["length"] // words)
        places = self.beats[self.at : self.at + rows].copy().view("<u2").ravel()[: head["length"]]
        self.at += rows
        found = _Segment(
            bool(head["close"]), bool(head["all_tiles"]), bool(head["end"]), places.tolist()
        )
        found.early = early
        lanes = self.beats.shape[1]
        for first in range(0, self.config.n_pe, lanes):
            team = range(min(lanes, self.config.n_pe - first))
            heads = [unpack(FILTER_HEADER, int(self.beats[self.at, lane])) for lane in team]
            self.at += 1
            counts = [head["header_rows"] for head in heads]
            for lane, count in zip(team, counts, strict=True):
                column = self.beats[self.at : self.at + count, lane].copy()
                words_of = column.view("<u2").tolist()
                found.headers.append([word for word in words_of if word])
            self.at += max(counts)
            counts = [head["value_rows"] for head in heads]
            found.values += counts
            self.at += max(counts)
        return found


class _Map:
    """A layer's source: what its list entries see, in each round of ticks."""

    def __init__(self, spikes: np.ndarray, fields: dict, config: Config, *, second: bool) -> None:
        ticks = len(spikes) // (fields["more_rounds"] + 1) if fields["anew"] else config.ticks
        self.rounds = [spikes[t : t + ticks].any(axis=0) for t in range(0, len(spikes), ticks)]
        self.fields, self.config = fields, config
        name = "shortcut" if second else "input"
        self.strided = fields[name] >> 19 & 1
        self.height, self.width = fields[f"{name}_height"], fields[f"{name}_width"]
        self.second = second
        self.log = 0 if second else fields["blocks"]
        self.pad = (1, 2, 3)[self.log] if fields["padded"] else 0
        if self.strided:
            self.pad = 1

    def sees(self, number: int, index: int, sub: int, tap: int, y: int, x: int) -> bool:
        """Whether position (y, x) of the layer has an active input at a tap of a beat's channel, in a round."""
        phase = 0
        if self.fields["fast"]:
            phases = self.strided and not self.second
            channel, phase = (index, sub) if phases else (4 * index + sub, 0)
        elif self.strided:
            channel, phase = index // 4, index % 4
        else:
            channel = index >> 2 * self.log
        whole = self.fields["fast"] or self.strided
        down, across = (0, 0) if whole else self.block(index)
        y, x = y + tap // 3 + 3 * down - self.pad, x + tap % 3 + 3 * across - self.pad
        if self.strided:
            y, x = 2 * y + phase // 2, 2 * x + phase % 2
        active = self.rounds[number]
        height, width = active.shape[1:]
        return 0 <= y < height and 0 <= x < width and bool(active[channel, y, x])

    def block(self, index: int) -> tuple[int, int]:
        """Of a kernel larger than 3x3, which part of it a list entry is, down and across."""
        along = 1 << self.log
        return index // along % along, index % along

    def passes(self, index: int, tile_y: int, tile_x: int) -> int:
        """Reads of a slice: tiles before and behind it lie in the same bank."""
        size, padded = self.config.tile_side, self.fields["padded"]
        result = 1
        blocks = self.block(index)
        down = tile_y, index // 2 % 2, blocks[0], self.height
        across = tile_x, index % 2, blocks[1], self.width
        for tile, phase, block, side in (down, across):
            if self.fields["fast"] or self.second:
                continue
            if self.strided:
                before, after = tile > 0, side > 2 * (tile + 1) * size + phase
                if self.log:
                    result *= 1 + (before or after)
                else:
                    only = before if phase and padded else after and not phase and not padded
                    result *= 1 + only
            else:  # tiles of the slice's first and last position, if the map has both, in one bank
                first = tile * size + 3 * block - self.pad
                last = first + size + 1
                result *= 1 + (first >= 0 and last < side and last // size - first // size == 2)
        return result


class _Pe:
    def __init__(self, config: Config) -> None:
        rows = config.scratchpad_depth // 8
        self.rings = {"headers": _Ring(rows), "values": _Ring(rows)}
        self.front, self.back = Queue(config.segment_depth), Queue(config.segment_depth)
        self.slices_freed: list[int] = []  # cycles from which their places are free
        self.items_freed: list[int] = []  # of slices and ends
        self.segment_ended = 0
        self.last = self.word_out = 0
        self.gaps: list[int] = []  # cycles without anything to do
        self.counts: dict[str, int] = defaultdict(int)
        self.needs: dict[int, list[tuple[int, int]]] = {}  # place: (channel, taps)
        self.reads: dict[int, tuple[int, int]] = {}  # place: headers until known, until complete
        self.known = self.complete = 0
        self.coming: list[int] = []

    def decode(self, words: list[int]) -> None:
        self.needs, self.reads = {}, {}
        cursor = count = 0
        place = None
        for word in words:
            count += 1
            if word & 511 == 0:
                cursor += word >> 9
                continue
            if place is None:
                place = cursor + (word >> 12)
                self.needs[place], self.reads[place] = [], (count, count)
                cursor = place + 1
            self.needs[place].append((word >> 9 & 3, word & 511))
            self.reads[place] = (self.reads[place][0], count)
            if word >> 11 & 1:
                place, count = None, 0

    def follow(self, at: int) -> None:
        """The header unit reads on from cycle `at`."""
        known, complete = self.reads[self.coming[0]] if self.coming else (0, 0)
        self.known, self.complete = at + known, at + complete


class _Machine:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.pes = [_Pe(config) for _ in range(config.n_pe)]
        self.lanes = config.stream_bits // 64
        self.list = _Ring(LIST_WORDS // (4 * self.lanes))
        self.segments = Queue(config.segment_depth)
        self.results = _Results(config)
        assert self.results.counters == BEATS * config.n_pe
        assert self.results.beats == beats_a_result(config)
        self.load, self.ended, self.descriptor_free = 0, -1, 0
        self.casts = [-1, -1]  # the last two
        self.writes: set[int] = set()  # cycles in which a PE writes a word
        self.arrived: int | None = None  # the first beat of the next image's input

    def next_program(self) -> int:
        """The header of a program whose input is there; cycles until its layers begin."""
        begun = max(self.ended + 1, self.load + 1)
        self.load += 1
        waited, self.ended = begun - self.ended, begun
        self.results.free = max(self.results.free, begun + 1) + 1  # a beat says what the input was
        return waited

    def takes_first(self, reader: _Reader) -> int:
        """The header of a program, and its input; cycles until its layers begin."""
        before, self.load, self.arrived = self.ended, self.ended + 2, None
        self.takes(reader.input())
        self.ended = self.load - 1
        self.results.free = max(self.results.free, self.ended + 1) + 1
        return self.ended - before

    def takes(self, channels: list[_Channel]) -> None:
        """A part of the next image's input: cycle by cycle."""
        if self.arrived is None:
            self.arrived = self.load
        pairs = -(-len(channels[0].rows) // (2 * self.config.tile_side))
        todo = [step for one in channels for step in (-one.pointers, *one.rows)]
        in_place, writing, cycle = False, 0, self.load
        while todo or in_place or writing:
            cycle += 1
            writing -= writing > 0 and cycle not in self.writes
            moves = not in_place or not writing  # what is in place is, or was, none's hindrance
            if in_place and not writing:
                writing, in_place = pairs, False
            if not todo:
                continue
            if todo[0] < 0:
                todo[0] += 1
            elif moves:
                todo[0] -= 1
                in_place = not todo[0]
            todo = todo[not todo[0] :]
        self.load = cycle + 2

    def loads(self, segment: _Segment) -> int:
        """The cycle in which its last beat is taken."""
        self.load = self.segments.write(self.load) + 1
        if segment.early:
            self.takes(segment.early)
        for _ in range(-(-len(segment.places) // (4 * self.lanes))):
            self.load = self.list.take(self.load) + 1
        for first in range(0, len(self.pes), self.lanes):
            team = range(first, min(first + self.lanes, len(self.pes)))
            for i in team:
                for queue in (self.pes[i].front, self.pes[i].back):
                    self.load = queue.places.take(self.load)
            for i in team:
                self.pes[i].front.written.append(self.load)
                self.pes[i].back.written.append(self.load)
            self.load += 1
            rows = {i: -(-len(segment.headers[i]) // 4) for i in team}
            for kind, wanted in (
                ("headers", rows),
                ("values", {i: segment.values[i] for i in team}),
            ):
                for row in range(max(wanted.values())):
                    for i in team:
                        if row < wanted[i]:
                            self.load = self.pes[i].rings[kind].take(self.load)
                    self.load += 1
        return self.load - 1

    def layer(self, fields: dict, segments: list[_Segment], sources: list[_Map]) -> LayerCycles:
        config = self.config
        n_pe, size = config.n_pe, config.tile_side
        high = max(self.load + 1, self.descriptor_free)
        self.load = high + fields["extended"] + 1
        taken = max(self.ended + 1, self.load)
        self.descriptor_free = taken + 1
        start = taken + 2
        sides = fields["height"], fields["width"]
        pool = bool(fields["pool"])
        tiles = plain_maps.tiles(config, side=sides[0], width=sides[1], half=False, pool=pool)
        rounds = fields["more_rounds"] + 1
        tiles = [
            (y, x, completes or rounds > 1, number)
            for y, x, completes in tiles
            for number in range(rounds)
        ]
        word_side = _word_side(config, fields["output_side"])
        down, across = (-(-fields[f"output_{name}"] // word_side) for name in ("height", "width"))
        per_word = max(
            1, _word_side(config, fields["output_side"]) // (size // (1 + fields["pool"]))
        )
        waiting: set[int] = set()  # cycles in which the caster waits for the program
        for pe in self.pes:
            pe.last, pe.word_out, pe.gaps = start - 1, start, []
        turned, wait_from, tile, group = start, start, 0, 0
        for segment in segments:
            opened = max(turned, self.loads(segment) + 2)
            self.segments.pop(opened)
            waiting |= set(range(wait_from, opened))
            for pe, headers in zip(self.pes, segment.headers, strict=True):
                pe.decode(headers)
                pe.front.pop(self.casts[-1])
                pe.back.pop(pe.segment_ended)
                pe.coming = sorted(pe.needs)
                pe.follow(max(self.casts[-1], opened) + 1)
            ready = opened + 2
            final = len(tiles) - 1 if segment.all_tiles else tile
            while tile <= final:
                y, x, completes, number = tiles[tile]
                height, width = min(size, sides[0] - y * size), min(size, sides[1] - x * size)
                for place, word in enumerate(segment.places):
                    entry = unpack(LIST_ENTRY, word)
                    source = sources[entry["shortcut"]]
                    begins = max(ready, self.casts[-2])
                    read = begins + source.passes(entry["index"], y, x) - 1
                    ready = read + 1
                    at = max(read + 2, self.casts[-1] + 1, *(pe.known for pe in self.pes))
                    users = [pe for pe in self.pes if pe.coming[:1] == [place]]
                    for pe in users:
                        at = max(at, pe.complete, _freed(pe.slices_freed, config.fifo_depth))
                        at = max(at, _freed(pe.items_freed, 2 * config.fifo_depth))
                    self.casts = [self.casts[-1], at]
                    for pe in users:
                        pe.coming.pop(0)
                        pe.follow(at)
                        shown = (y, x, height, width, number)
                        self._slice(pe, at, entry, source, shown, pe.needs[place])
                begins = max(ready, self.casts[-2])
                ready, turned = begins + 2, begins
                at = max(begins + 2, self.casts[-1] + 1)
                at = max(at, *(_freed(pe.items_freed, 2 * config.fifo_depth) for pe in self.pes))
                self.casts = [self.casts[-1], at]
                stored = completes and y // per_word < down and x // per_word < across
                neurons = height * -(-width // config.lifs)
                for i, pe in enumerate(self.pes):
                    pe.coming = sorted(pe.needs)
                    pe.follow(at + 1)
                    begin = max(at + 1, pe.last, pe.word_out if segment.close else 0)
                    pe.gaps += range(pe.last + 1, min(at, begin) + 1)
                    pe.counts["stall_output"] += begin - max(at, pe.last)
                    pe.items_freed.append(begin + 1)
                    took = neurons if segment.close else 1
                    pe.counts["stall_lif"] += took
                    pe.last = begin + took
                    if segment.close:
                        there = group * n_pe + i < fields["filters"]
                        self._word_out(pe, i, fields, start, stored=stored and there)
                    if tile == final:
                        pe.segment_ended = begin
                        pe.rings["values"].freed += [begin + 1] * segment.values[i]
                        pe.rings["headers"].freed += [at + 1] * -(-len(segment.headers[i]) // 4)
                tile += 1
            self.list.freed += [turned + 1] * -(-len(segment.places) // (4 * self.lanes))
            if not segment.close:
                tile = final
            elif tile == len(tiles):
                tile, group = 0, group + 1
            wait_from = turned + 1
        end = max(self.results.free, *(pe.word_out + 1 for pe in self.pes))
        self.results.capture(end)
        for pe in self.pes:
            pe.counts["stall_load"] += start - self.ended - 1
            pe.counts["stall_output"] += end - pe.last
            for cycle in pe.gaps:
                pe.counts["stall_load" if cycle in waiting else "idle_cycles"] += 1
        cycles, self.ended = end - self.ended, end
        names = (*EVENT_CYCLES, "positions")
        counts = {name: np.array([pe.counts.pop(name, 0) for pe in self.pes]) for name in names}
        return LayerCycles(cycles, counts)

    def _slice(self, pe: _Pe, at: int, entry: dict, source: _Map, tile: tuple, needs: list) -> None:
        config = self.config
        by, bx = BANK_SHAPES[config.banks]
        tile_y, tile_x, height, width, number = tile
        begin = max(at + 1, pe.last)
        pe.gaps += range(pe.last + 1, begin + 1)
        pe.items_freed.append(begin + 1)
        identity = source.second and source.fields["identity"]
        pe.last = begin
        for sub, taps in needs:
            for tap in (k for k in range(9) if taps >> k & 1):
                counts = np.zeros((by, bx), int)
                for y in range(height):
                    for x in range(width):
                        top, left = tile_y * config.tile_side, tile_x * config.tile_side
                        seen = source.sees(number, entry["index"], sub, tap, top + y, left + x)
                        counts[y % by, x % bx] += seen
                took, full = max(1, counts.max()), max(1, counts.min())
                pe.last += int(took)
                if identity:
                    pe.counts["stall_shortcut"] += took
                else:
                    pe.counts["work_cycles"] += full
                    pe.counts["stall_bank"] += took - full
                    pe.counts["positions"] += counts.sum()
        pe.slices_freed.append(pe.last + 1)

    def _word_out(self, pe: _Pe, i: int, fields: dict, start: int, *, stored: bool) -> None:
        gathered = pe.last + 3 + self.config.ticks
        if not stored:
            pe.word_out = gathered
        elif fields["raw"]:
            pe.word_out = self.results.put(gathered) + 1
        else:
            while (gathered - start) % self.config.n_pe != i:
                gathered += 1
            self.writes.add(gathered)
            pe.word_out = gathered + 1


def _word_side(config: Config, side: int) -> int:
    return config.small_side if side <= config.small_side else config.tile_side


def _freed(times: list[int], places: int) -> int:
    """From when on there is room for one more."""
    return times[-places] if len(times) >= places else 0


def predict(beats: np.ndarray, inputs: list[list[np.ndarray]], config: Config) -> list[LayerCycles]:
    """Cycles of each layer. beats: of the program behind its input, uint64 (beats, lanes).

    inputs: for each layer the maps that it reads, spikes uint8 (T, C, H, W): its input, its shortcut's.
    """
    reader, machine = _Reader(beats, config), _Machine(config)
    result = _program(reader, machine, inputs)
    assert reader.at == len(beats)
    return result


def predict_row(
    streams: list[np.ndarray], inputs: list[list[list[np.ndarray]]], config: Config
) -> list[tuple[int, int, list[LayerCycles]]]:
    """Of programs one after the other: cycles until the layers begin, from the input's first beat to the end, and layers.

    streams: uint64 (beats, lanes), the first with its input, each other's in the one before, or with it. inputs: of each
    as of `predict`.
    """
    machine, result = _Machine(config), []
    for beats, read in zip(streams, inputs, strict=True):
        reader, came = _Reader(beats, config), machine.arrived
        reader.narrow()
        if came is None:
            came = machine.ended + 2
            waited = machine.takes_first(reader)
        else:
            waited = machine.next_program()
        machine.arrived = None
        layers = _program(reader, machine, read)
        assert reader.at == len(beats)
        result.append((waited, machine.ended - came + 1, layers))
    return result


def _program(
    reader: _Reader, machine: _Machine, inputs: list[list[np.ndarray]]
) -> list[LayerCycles]:
    config, result = machine.config, []
    for read in inputs:
        fields = reader.layer()
        sources = [_Map(spikes, fields, config, second=bool(k)) for k, spikes in enumerate(read)]
        segments = [reader.segment()]
        while not segments[-1].end:
            segments.append(reader.segment())
        result.append(machine.layer(fields, segments, sources))
    return result
