"""The values of a PE against lists of words: the weights of each segment in order, pass after pass, and its filter."""

import random
from collections import deque
from typing import Any

import cocotb

from hw.config import Config
from hw.event.values import FILTER, Values
from tb.helpers import bits, lockstep, parameters, run

CONFIG = Config(machine="event", scratchpad_depth=128, segment_depth=4)
READ_AFTER = 2  # cycles from a header's way in to its way out of the queue
WRITTEN_AFTER = 2  # cycles from a row's way in until its words can be read
CYCLES = 4000


class Segment:
    """A filter's header, its rows of values, and how often they are gone through."""

    def __init__(self, rng, room):
        count = rng.choice([0, 1, 4, 5, 9, 4 * room - rng.randrange(4)])
        self.rows = -(-count // 4)
        self.words = [rng.getrandbits(16) for _ in range(4 * self.rows)]
        self.header = bits(
            FILTER,
            {"value_rows": self.rows, "bias": rng.randint(-9, 9), "threshold": rng.getrandbits(20)},
        )
        self.count = count  # words that have a tap
        self.passes = rng.choice([1, 1, 2, 5])
        self.queued = self.complete = 0  # when its header, and its last row, were taken


class Passes:
    """Segments are loaded in order and used in order, as soon as all of their rows can be read."""

    def __init__(self, dut, config, rng):
        self.dut, self.rng = dut, rng
        self.room, self.depth = config.scratchpad_depth // 8, config.segment_depth
        self.cycle = 0
        self.loading: Any = None
        self.row = 0  # of the segment that is loaded
        self.queue: deque[Segment] = deque()  # headers that no one has read
        self.loaded: deque[Segment] = (
            deque()
        )  # with all rows there or not, none ended; the first is at work
        self.at = 0  # word of the pass
        self.held: Any = None  # whose header is shown
        self.used = 0  # rows in the ring
        self.taken = self.ended = self.full = 0
        self.idle = False

    def inputs(self, rng):
        if self.cycle % 500 == 0:
            self.rates = [rng.choice([0.1, 0.5, 1]) for _ in range(2)]
        if self.loading is None:
            self.loading, self.row, self.header_in = Segment(rng, self.room), 0, False
        one, offers = self.loading, rng.random() < self.rates[0]
        row = one.words[4 * self.row : 4 * self.row + 4]
        works = self.held and self.loaded and self.held is self.loaded[0]
        ready = works and self._is_there(self.held) and rng.random() < self.rates[1]
        take = bool(ready and self.at < self.held.count)
        end = bool(ready and self.at >= self.held.count)
        return {
            "filters__valid": offers and not self.header_in,
            "filters__payload": one.header,
            "rows__valid": offers and self.header_in and self.row < one.rows,
            "rows__payload": sum(word << 16 * k for k, word in enumerate(row)),
            "take": take,
            "end": end,
            "segment_end": end and self.held.passes == 1,
        }

    def _is_there(self, one):
        return one.complete and one.complete + WRITTEN_AFTER <= self.cycle

    def outputs(self, i):
        result = {"have": self.held is not None, "rows__ready": self.used < self.room}
        self.full += self.used == self.room
        if len(self.queue) != self.depth - 1:  # then it is Amaranth's FIFO that says
            result["filters__ready"] = len(self.queue) < self.depth
        if self.held:
            result["filter"] = self.held.header
            if self._is_there(self.held) and self.at < self.held.count:
                result["word"] = self.held.words[self.at]
        return result

    def edge(self, i):
        written = i["rows__valid"] and self.used < self.room
        if i["take"]:
            self.at += 1
            self.taken += 1
        if i["end"]:
            self.at = 0
            self.held.passes -= 1
        if i["segment_end"]:
            self.used -= self.held.rows
            self.loaded.popleft()
            self.held = None
            self.ended += 1
        if self.held is None and self.queue and self.queue[0].queued + READ_AFTER <= self.cycle:
            self.held = self.queue.popleft()
        one = self.loading
        if i["filters__valid"] and self.dut.filters__ready.value:
            self.header_in, one.queued = True, self.cycle
            self.queue.append(one)
            self.loaded.append(one)
        if written:
            self.used, self.row = self.used + 1, self.row + 1
        if self.header_in and self.row == one.rows:
            one.complete, self.loading = self.cycle, None
        self.cycle += 1


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def passes(dut):
    model = Passes(dut, CONFIG, random.Random(parameters()["seed"]))
    await lockstep(dut, model, CYCLES)
    assert model.taken > CYCLES // 5
    assert min(model.ended, model.full) > 5


def test_values():
    run(Values(CONFIG), "values", "passes", file="event_values")
