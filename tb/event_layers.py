"""Random layers for a PE of the event machine: what it gets, what is cast, and what must come of it, counted position by position."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hw.counters import EVENT_COUNTERS
from hw.event.pe import cast_layout
from hw.event.planes import place
from hw.event.program import FILTER_HEADER, ring_rows
from hw.geometry import geometry_layout
from hw.neuron import RESETS, STARTS, kinds
from hw.program import EXTENDED_LAYER
from tb import maps
from tb.event_neurons import averaged, fire
from tb.helpers import bits
from tb.test_event_taps import number, random_slice

INDEX = 2
"""Of the PE: the last of three."""


@dataclass
class Segment:
    """What this PE gets of a segment, and how often the segment's list is gone through."""

    length: int  # of the list
    taps: dict[int, int]  # by place of the list, bit 9 sub + position
    weights: list[int]
    visits: list[tuple[int, int, int, bool]]
    close: int
    shortcuts: list[int]  # by place of the list
    end: int = 0
    cells: list[list[dict]] = field(default_factory=list)  # of its slices, by visit and place
    beats: list[tuple[str, int]] = field(default_factory=list)  # of the loader


class Layer:
    """A layer of random filters on random slices, and what must come of it."""

    def __init__(self, config, rng, near, parts=False):
        """near: map sides are small. parts, of what is not near: in rounds, with words of several tiles, each of which is handed over for itself."""
        self.config, self.rng = config, rng
        self.packed = near and rng.random() < 0.5
        most = config.small_side if self.packed else config.tile_side if near else 9
        least = config.tile_side + 1 if parts else 1
        self.height, self.width = (rng.randint(least, most) for _ in range(2))
        alone = near and rng.random() < 0.5  # one position, or their average
        self.average = int(alone)
        pooled = parts or rng.random() < 0.5
        self.pool = int(not alone and min(self.height, self.width) > 1 and pooled)
        self.rounds = rng.choice([2, 3] if parts else [1, 1, 2, 3])
        self.anew = rng.getrandbits(1)  # a round is another image
        self.last_tick = rng.randrange(config.ticks)
        kind = rng.choice(kinds())
        self.neuron = kind(rng.choice(kind.amounts), rng.choice(RESETS), rng.choice(STARTS))
        self.identity = rng.getrandbits(1)
        self._geometry()
        groups = rng.randint(1, 2)
        self.filters = groups * config.n_pe - rng.randint(0, 1)  # the last may have none of this PE
        self.base, self.words = rng.randrange(2000), rng.randrange(500)
        self.expected: deque[dict] = deque()
        self.totals = dict.fromkeys(EVENT_COUNTERS, 0)
        self.segments: list[Segment] = []
        self.casts: deque[tuple[int, int]] = deque()  # number of the segment, and what is cast
        for group in range(groups):
            self._group(group)
        self.segments[-1].end = 1
        for one, segment in enumerate(self.segments):
            for visit in segment.visits:
                self._cast(one, segment, visit)
        descriptor = {
            "filters": self.filters,
            "pool": self.pool,
            "average": self.average,
            "identity": self.identity,
            "more_rounds": self.rounds - 1,
            "last_tick": self.last_tick,
            "anew": self.anew,
            "output_base": self.base,
            "neuron": self.neuron.code,
            "extension": {"output_words": self.words},
        }
        self.descriptor = bits(EXTENDED_LAYER, descriptor)

    def _geometry(self):
        config, tile = self.config, self.config.tile_side
        self.out = [side >> self.pool for side in (self.height, self.width)]
        self.pooled = tile >> self.pool
        word = config.small_side if max(self.out) <= config.small_side else tile
        self.word = max(word, self.pooled)  # side of what is gathered in one
        self.last_word = [-(-side // word) - 1 for side in self.out]
        geometry = maps.oblong(config, height=self.height, width=self.width, pool=bool(self.pool))
        self.geometry = bits(geometry_layout(config), geometry)
        order = maps.tiles(
            config, side=self.height, width=self.width, half=False, pool=bool(self.pool)
        )
        self.visits = [(y, x, k, last) for y, x, last in order for k in range(self.rounds)]

    def _group(self, group):
        rng = self.rng
        self.bias, self.threshold = rng.randint(-99, 99), rng.randint(1, 400)
        first = len(self.segments)
        if rng.random() < 0.5:
            self._segment(self.visits, close=1)
        else:
            for visit in self.visits:
                parts = rng.choice([1, 1, 2])
                for part in range(parts):
                    self._segment([visit], close=int(part == parts - 1))
        sums: dict[tuple[int, int], list[int]] = {}
        potentials: dict[tuple[int, int], int] = {}
        word = 0
        index = group * self.config.n_pe + INDEX
        for segment in self.segments[first:]:
            for visit in segment.visits:
                slices = [
                    random_slice(rng, self.config, packed=self.packed)
                    for _ in range(segment.length)
                ]
                segment.cells.append(slices)
                sums = sums or self._fresh(visit)
                self._add(segment, visit, slices, sums)
                if segment.close:
                    word = self._close(index, visit, sums, potentials, word)
                    sums = {}

    def _segment(self, visits, close):
        rng = self.rng
        room = 4 * ring_rows(self.config)
        length = rng.choice([0, 1, 2, 5, 9]) if rng.random() < 0.9 else 40
        taps: dict[int, int] = {}
        weights: list[int] = []
        for at in range(length):
            if rng.random() < (0.6 if length < 40 else 0.1):
                few = rng.getrandbits(36) & rng.getrandbits(36) & rng.getrandbits(36)
                mine = (few if self.packed else few & 0x1FF) or 1 << rng.randrange(9)
                if len(weights) + mine.bit_count() <= room - 8:
                    taps[at] = mine
                    weights += [rng.randint(-200, 200) for _ in range(mine.bit_count())]
        shortcuts = [rng.getrandbits(1) for _ in range(length)]
        segment = Segment(length, taps, weights, visits, close, shortcuts)
        headers, values = rows(self._headers(taps)), rows(weights)
        header = {"header_rows": len(headers), "value_rows": len(values), "bias": self.bias,
                  "threshold": self.threshold}  # fmt: skip
        segment.beats = [("header", bits(FILTER_HEADER, header))]
        segment.beats += [("headers", row) for row in headers] + [("values", row) for row in values]
        self.segments.append(segment)

    def _headers(self, taps):
        """Slice headers: which places, and which taps there."""
        words, cursor = [], 0
        for at, mine in taps.items():
            skip, cursor = at - cursor, at + 1
            while skip > 15:
                words.append(min(skip, 127) << 9)
                skip -= min(skip, 127)
            subs = [(sub, mine >> 9 * sub & 0x1FF) for sub in range(4) if mine >> 9 * sub & 0x1FF]
            for k, (sub, wsp) in enumerate(subs):
                words.append(wsp | sub << 9 | (k == len(subs) - 1) << 11 | (0 if k else skip) << 12)
        return words

    def _size(self, visit):
        tile = self.config.tile_side
        return min(self.height - visit[0] * tile, tile), min(self.width - visit[1] * tile, tile)

    def _fresh(self, visit):
        height, width = self._size(visit)
        return {
            (y, x): [self.bias if not self.average or y == x == 0 else 0] * self.config.ticks
            for y in range(height)
            for x in range(width)
        }

    def _add(self, segment, visit, slices, sums):
        """A segment's taps on a tile, and what they count as."""
        config, jump, weights = self.config, self.config.small_side + 1, iter(segment.weights)
        height, width = self._size(visit)
        for at, mine in segment.taps.items():
            cells, identity = slices[at], segment.shortcuts[at] and self.identity
            for tap in (tap for tap in range(36) if mine >> tap & 1):
                weight, (sub, position) = next(weights), divmod(tap, 9)
                down, right = position // 3 + jump * (sub // 2), position % 3 + jump * (sub % 2)
                banks, added = [0] * config.banks, 0
                for y in range(height):
                    for x in range(width):
                        spikes = cells.get((y + down, x + right), 0)
                        for t in range(config.ticks):
                            sums[y, x][t] += weight * (spikes >> t & 1)
                        banks[place(config, y, x)[0]] += spikes > 0
                        added += spikes.bit_count()
                cycles, full = max(1, *banks), max(1, min(banks))
                if identity:
                    self._count(stall_shortcut=cycles, shortcut_accumulates=added)
                else:
                    self._count(
                        work_cycles=full,
                        stall_bank=cycles - full,
                        positions=sum(banks),
                        accumulates=added,
                    )
        drained = height * -(-width // config.lifs)
        self._count(stall_lif=drained if segment.close else 1)

    def _count(self, **counts):
        for name, count in counts.items():
            self.totals[name] += count

    def _close(self, index, visit, sums, potentials, word):
        """A tile leaves: its spikes go into the word, and the word out where the tile completes it."""
        config = self.config
        y, x, number, word_last = visit
        top, left = y * self.pooled % self.word, x * self.pooled % self.word
        if self.average:
            sums = averaged(sums)
        if number == 0 or self.anew:
            potentials.clear()
        last = number == self.rounds - 1 or self.anew
        word |= fire(
            config,
            sums,
            potentials,
            self.neuron,
            self.threshold,
            last_tick=self.last_tick if last else config.ticks - 1,
            pool=self.pool,
            at=(top, left),
        )
        if not word_last and self.rounds == 1:
            return word
        words = y * self.pooled // self.word, x * self.pooled // self.word
        inside = all(a <= b for a, b in zip(words, self.last_word, strict=True))
        if inside and index < self.filters:
            part = self.rounds > 1 and self.word > self.pooled
            wanted = {"filter": index, "word_y": words[0], "word_x": words[1],
                      "base": self.base + number * self.words, "part": int(part)}  # fmt: skip
            if part:
                wanted |= {"down": y & 1, "right": x & 1}
            where = (top, left, self.pooled) if self.rounds > 1 else (0, 0, self.word)
            cells = self._cells(words, *where)
            alone = next(iter(sums.values())) if len(sums) == 1 else None
            self.expected.append(
                {"wanted": wanted, "cells": cells, "word": word & cells, "sums": alone}
            )
        return 0

    def _cells(self, words, top, left, side):
        """Bits of a word, or of a part, that the output map has."""
        result, tile, ticks = 0, self.config.tile_side, self.config.ticks
        high, wide = (1, 1) if self.average else self.out
        for row in range(top, min(top + side, tile)):
            for column in range(left, min(left + side, tile)):
                if words[0] * self.word + row < high and words[1] * self.word + column < wide:
                    result |= (1 << ticks) - 1 << (row * tile + column) * ticks
        return result

    def _cast(self, one, segment, visit):
        """What the caster hands out of a pass."""
        layout, slices = cast_layout(self.config), segment.cells.pop(0)
        for at, cells in enumerate(slices):
            payload = {
                "spikes": number(cells, self.config),
                "shortcut": segment.shortcuts[at],
                "position": at,
            }
            self.casts.append((one, bits(layout, payload)))
        last = visit is segment.visits[-1]
        what = {
            "is_end": 1,
            "close": segment.close,
            "segment_end": last,
            "layer_end": last and segment.end,
        }
        self.casts.append((one, bits(layout, {"what": what})))


def rows(words):
    """Rows of four words, the last filled up with zeros."""
    words = [word & 0xFFFF for word in words] + [0] * (-len(words) % 4)
    return [
        sum(word << 16 * k for k, word in enumerate(words[at : at + 4]))
        for at in range(0, len(words), 4)
    ]
