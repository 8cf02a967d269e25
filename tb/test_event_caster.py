"""The caster, in every cycle, against a walk over lists: which slices of which tiles it offers, and when."""

import random
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import cocotb
import numpy as np
import pytest
from amaranth.lib import data

from hw.config import BANKS
from hw.event.caster import Caster
from hw.event.pe import cast_layout
from hw.event.program import LIST_ENTRY, LIST_WORDS, SEGMENT_HEADER
from hw.geometry import geometry_layout
from hw.program import EXTENDED_LAYER
from hw.widths import ADDRESS_BITS
from tb import maps, test_event_slice
from tb.helpers import bits, fields, lockstep, parameters, run

SLICES = test_event_slice.CONFIG  # what `expected` cuts slices for
CONFIGS = {
    "64 bits": replace(SLICES, stream_bits=64, segment_depth=8, banks=4),
    "256 bits": replace(SLICES, stream_bits=256, fifo_depth=2, n_pe=3),
}
LAYERS = 12
SHAPES = {  # sides of the sources, stride of the first, padding
    "tiles": ((10, 10), 1, 1),
    "unpadded": ((9,), 1, 0),
    "strided": ((11, 11), 2, 1),
    "strided, unpadded": ((10,), 2, 0),
    "one tile": ((3, 4), 1, 1),
    "packed": ((2, 2), 1, 1),
}
LENGTHS = (0, 1, 3, 17)  # of lists
CHANNELS = 8
BASES, WORDS = (100, 2000), 50  # of the sources' first rounds, and of a round in a bank
CAST = cast_layout(SLICES)


@dataclass
class Item:
    """A place of a list, or the end of a pass."""

    passes: int = 1
    position: int = 0
    shortcut: int = 0
    spikes: int = 0
    cells: int = 0  # of the slice, that a tap can need
    end: dict[str, int] | None = None


class Layer:
    """A layer's maps in the spike buffer, its segments and, for each of these, its visits of tiles."""

    def __init__(self, rng, config, *, long=False, bases=BASES):
        """long: its lists are together longer than the ring. bases: of the sources' first rounds."""
        self.config, self.long = config, long
        sides, self.stride, self.pad = SHAPES["one tile" if long else rng.choice(list(SHAPES))]
        self.packed = max(sides) <= config.small_side
        self.rounds = rng.choice([1, 1, 2, 3])
        self.banks: list[dict[int, int]] = [{} for _ in range(BANKS)]
        numbers = np.random.default_rng(rng.getrandbits(32))
        self.maps = []  # by source and round
        for base, side in zip(bases, sides, strict=False):
            shape = self.rounds, CHANNELS, side, side, config.ticks
            self.maps.append((numbers.random(shape) < 0.5).astype(np.uint8))
            for number, spikes in enumerate(self.maps[-1]):
                maps.store(config, self.banks, spikes, base + number * WORDS)
        self.side = (sides[0] + 2 * self.pad - 3) // self.stride + 1
        pool = self.side > 1 and rng.random() < 0.5
        order = maps.tiles(config, side=self.side, half=False, pool=pool)
        self.visits = [(y, x, k) for y, x, _ in order for k in range(self.rounds)]
        geometry = maps.oblong(config, height=self.side, width=self.side, pool=pool)
        self.geometry = bits(geometry_layout(config), geometry)
        sources = [{"base": b, "side": s} for b, s in zip(bases, sides, strict=False)]
        sources[0]["strided"] = self.stride == 2
        descriptor = {
            "side": self.side,
            "pool": pool,
            "output_side": self.side // 2 if pool else self.side,
            "padded": self.pad,
            "fast": self.packed,
            "more_rounds": self.rounds - 1,
            "input": sources[0],
            "shortcut": sources[-1],
            "extension": {"input_words": WORDS, "shortcut_words": WORDS},
        }
        self.descriptor = bits(EXTENDED_LAYER, descriptor)
        self.cut = {}  # slices that were needed before
        self.segments: list[tuple[dict, list, list]] = []  # header, list, visits
        for group in range(8 if long else rng.randint(1, 3)):
            if long:
                self._segment(rng, self.visits, LIST_WORDS // 4, close=1, all_tiles=1)
            elif rng.random() < 0.5 or len(self.visits) > 9:
                self._segment(rng, self.visits, rng.choice(LENGTHS), close=1, all_tiles=1)
            else:
                for visit in self.visits:
                    for part in range(1 + group):
                        length = rng.choice(LENGTHS)
                        self._segment(rng, [visit], length, close=part == group, all_tiles=0)
        self.segments[-1][0]["end"] = 1

    def _segment(self, rng, visits, length, **flags):
        entries = []
        for _ in range(length):
            shortcut = len(self.maps) > 1 and rng.random() < 0.3
            count = CHANNELS // 4 if self.packed else CHANNELS
            count *= 4 if self.stride == 2 and not shortcut else 1
            entries.append({"index": rng.randrange(count), "shortcut": int(shortcut)})
        self.segments.append(({"length": length, **flags, "end": 0}, entries, visits))

    def loading(self):
        """What the loader does for it, one after the other: ports and payloads."""
        words = self.config.stream_bits // 16
        for header, entries, _ in self.segments:
            yield "segment", bits(SEGMENT_HEADER, header)
            for first in range(0, len(entries), words):
                row = [bits(LIST_ENTRY, entry) for entry in entries[first : first + words]]
                yield "list", sum(word << 16 * k for k, word in enumerate(row))
            yield "loaded", 0

    def item(self, place, entry, visit):
        """The slice of a list's entry for a visit."""
        key = entry["index"], entry["shortcut"], visit
        if key not in self.cut:
            self.cut[key] = self._cut(*key)
        return Item(position=place, shortcut=entry["shortcut"], **self.cut[key])

    def _cut(self, index, shortcut, visit):
        y, x, number = visit
        config, strided = self.config, self.stride == 2 and not shortcut
        spikes = self.maps[shortcut][number]
        cells = test_event_slice.expected(
            spikes, strided=strided, pad=1 if strided else self.pad, blocks=0, packed=self.packed,
            index=index, shortcut=shortcut, tile=(y, x),
        )  # fmt: skip
        window = np.ones_like(cells)
        passes = 1
        if not self.packed:
            used = test_event_slice.used(strided, self.pad, False, index, shortcut)
            window[:] = 0
            window[used] = 1
            whole = range(config.tile_side + 2)
            for tile, rows, phase in zip((y, x), used, divmod(index % 4, 2), strict=True):
                passes *= self._passes(tile, whole[rows], spikes, phase if strided else None)
        return {"passes": passes, "spikes": maps.number(cells), "cells": maps.number(window)}

    def _passes(self, tile, rows, spikes, phase):
        """Along one axis: two where two tiles of one bank are needed. phase: None where the stride is 1."""
        side = self.config.tile_side
        if (
            phase is not None
        ):  # from the tile before, or the one behind the two that lie under the slice
            first = [2 * (tile * side + row - 1) + phase for row in rows]
            there = [at for at in first if 0 <= at < spikes.shape[1]]
            return 1 + any(not 2 * tile <= at // side <= 2 * tile + 1 for at in there)
        there = [tile * side + row - self.pad for row in rows]
        return 1 + (len({at // side for at in there if 0 <= at < spikes.shape[1]}) == 3)


def check_cast(item, seen, where):
    """That the fields of what is cast are an item's, as far as a tap can need its spikes."""
    assert seen["what"]["is_end"] == (item.end is not None), where
    if item.end is not None:
        assert seen["what"] == {"is_end": 1, **item.end}, where
        return
    assert (seen["position"], seen["shortcut"]) == (item.position, item.shortcut), where
    assert seen["spikes"] & item.cells == item.spikes & item.cells, where


class Casting:
    """Programs in, slices out: the rules of docs/event.md, "Cycle rules"."""

    def __init__(self, dut, config, rng):
        self.dut, self.config = dut, config
        self.words = config.stream_bits // 16
        self.layers = [Layer(rng, config, long=k == 5) for k in range(LAYERS)]
        self.ops = deque(op for layer in self.layers for op in layer.loading())
        self.cycle = 0
        self.now: Any = None  # the layer at work
        self.state = "done"
        self.loaded: deque[int] = deque()  # when segments that are not open yet were
        self.headers = self.rows = 0  # of segments that are not open yet; of the list, not freed
        self.open = 0  # segments, until handed out
        self.coming: deque[Item] = deque()  # of this pass, not handed on
        self.hand_from = 0
        self.item: Any = None  # handed on
        self.read = 0  # passes of it that were read
        self.offers: deque[tuple[Item, int]] = deque()  # read, and from when they are offered
        self.begun = 0  # read or being read, and not handed out
        self.asked = None  # the banks, in the cycle before
        self.offering = False
        self.fired = self.full = 0
        self.kinds = set()

    def inputs(self, rng):
        config = self.config
        start = self.state == "done" and bool(self.layers) and rng.random() < 0.3
        if start:
            self.now = self.layers.pop(0)
            self.segments = deque(self.now.segments)
            self.rate, self.slow = rng.choice([0, 0.5]), rng.choice([0, 0, 0.8])
            if self.now.long:
                self.slow = 0
        if not self.now:
            self.rate = self.slow = 0
        kind, payload = self.ops[0] if self.ops else ("", 0)
        self.offering = bool(kind) and (self.offering or rng.random() >= self.slow)
        if not self.offering:
            kind = ""
        words = [rng.getrandbits(config.word_bits) for _ in range(BANKS)]
        if self.asked:
            for bank, address in enumerate(self.asked[1]):
                if self.asked[0] >> bank & 1:
                    words[bank] = self.now.banks[bank].get(address, words[bank])
        return {
            "list__valid": kind == "list",
            "list__payload": payload if kind == "list" else rng.getrandbits(config.stream_bits),
            "segment__valid": kind == "segment",
            "segment__payload": payload if kind == "segment" else rng.getrandbits(64),
            "loaded": kind == "loaded",
            "layer": self.now.descriptor if self.now else 0,
            "geometry": self.now.geometry if self.now else 0,
            "layer_start": start,
            "o__ready": rng.random() >= self.rate,
            "words": bits(data.ArrayLayout(config.word_bits, BANKS), words),
        }

    def _waits(self):
        """Whether a segment is there to be opened."""
        return bool(self.loaded) and self.loaded[0] + 2 <= self.cycle

    def outputs(self, i):
        room = LIST_WORDS // self.words - self.rows
        depth = self.config.segment_depth
        result = {
            "done": self.state == "done",
            "loading": self.state == "wait" and not self._waits(),
            "active": self.open > 0,
            "o__valid": bool(self.offers) and self.offers[0][1] <= self.cycle,
            "list__ready": room > 0,
        }
        self.full += room == 0
        if self.headers != depth - 1:  # then it is Amaranth's FIFO that says
            result["segment__ready"] = self.headers < depth
        if result["o__valid"]:
            seen = fields(CAST, int(self.dut.o__payload.value))
            check_cast(self.offers[0][0], seen, f"cycle {self.cycle}")
        self.valid = result["o__valid"]
        return result

    def edge(self, i):
        fire = bool(self.valid and i["o__ready"])
        reads = self.item is not None and (self.read > 0 or self.begun < 2 or fire)
        asks = int(self.dut.read.value)
        of_slice = reads and self.item.end is None
        assert bool(asks) == of_slice, f"cycle {self.cycle}: banks {asks:#x} are read"
        layout = data.ArrayLayout(ADDRESS_BITS, BANKS)
        self.asked = (asks, fields(layout, int(self.dut.address.value))) if asks else None
        self._load(i)
        if fire:
            item, _ = self.offers.popleft()
            self.begun -= 1
            self.fired += 1
            self.open -= bool(item.end and item.end["segment_end"])
        done = None
        if reads:
            self.begun += self.read == 0
            self.read += 1
            if self.read == self.item.passes:
                self.kinds.add(self.read)
                done, self.item, self.read = self.item, None, 0
                self.offers.append((done, self.cycle + 2))
        if self.item is None and self.coming and self.cycle >= self.hand_from:
            self.item = self.coming.popleft()
        if self.state == "wait" and self._waits():
            self._open()
        if done and done.end:
            self._turn(done.end)
        if i["layer_start"]:
            self.state = "wait"
        self.cycle += 1

    def _load(self, i):
        taken = i["loaded"]
        for kind in ("list", "segment"):
            taken = taken or (
                i[f"{kind}__valid"] and int(getattr(self.dut, f"{kind}__ready").value)
            )
        if taken:
            self.ops.popleft()
            self.offering = False
        self.rows += bool(taken and i["list__valid"])
        self.headers += bool(taken and i["segment__valid"])
        if i["loaded"]:
            self.loaded.append(self.cycle)

    def _open(self):
        """The next segment, in this cycle."""
        self.loaded.popleft()
        self.headers -= 1
        self.open += 1
        self.header, self.entries, visits = self.segments.popleft()
        self.visits = deque(visits)
        self.state = "cast"
        self._pass()

    def _pass(self):
        """Over the segment's list, for its next visit."""
        visit = self.visits.popleft()
        self.coming.extend(self.now.item(k, entry, visit) for k, entry in enumerate(self.entries))
        last = not self.visits
        end = {"close": self.header["close"], "segment_end": last}
        self.coming.append(Item(end={**end, "layer_end": last and self.header["end"]}))
        self.hand_from = self.cycle + 1

    def _turn(self, end):
        """A pass's end was read in this cycle."""
        if not end["segment_end"]:
            self._pass()
            return
        self.rows -= -(-len(self.entries) // self.words)
        self.state = "done" if end["layer_end"] else "wait"
        if self.state == "wait" and self._waits():
            self._open()

    def done(self):
        return not self.layers and self.state == "done" and not self.offers


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def casts(dut):
    case = parameters()
    rng = random.Random(case["seed"])
    model = Casting(dut, CONFIGS[case["config"]], rng)
    await lockstep(dut, model, 60_000, done=model.done)
    assert model.kinds == {1, 2, 4}
    assert model.full, "the list's ring was never full"
    assert model.fired > 500


@pytest.mark.parametrize("config", CONFIGS)
def test_caster(config):
    run(Caster(CONFIGS[config]), "caster", "casts", config, file="event_caster", config=config)
