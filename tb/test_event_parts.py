"""Parts of the event machine's PE against models: bank, ring of words, header unit."""

import random
from collections import deque

import cocotb
import pytest

from hw.config import Config
from hw.event.bank import Bank
from hw.event.fifo import END, SliceFifo
from hw.event.header import HeaderUnit
from hw.event.ring import WordRing
from hw.sram import BlackBoxes
from tb.helpers import bits, fields, lockstep, run, signed_random

CONFIG = Config(machine="event", tile_side=4, ticks=2, banks=4, fifo_depth=3)
ROWS = 4


class Sums:
    """A bank: sums start from the bias after each drain, or from 0."""

    def __init__(self):
        self.sums = [None] * ROWS  # None: nothing was added yet
        self.layout = Bank(CONFIG).sums.shape()

    def inputs(self, rng):
        add = rng.random() < 0.6
        return {
            "add": add,
            "drain": not add and rng.random() < 0.5,
            "at": 1 << rng.randrange(ROWS),
            "spikes": rng.randrange(1, 1 << CONFIG.ticks),
            "weight": signed_random(rng, CONFIG.weight_bits) & 0xFFFF,
            "bias": signed_random(rng, CONFIG.accumulator_bits) & 0xFFFFFF,
            "biased": rng.random() < 0.8,
        }

    def _now(self, i):
        kept = self.sums[i["at"].bit_length() - 1]
        return [i["bias"] * i["biased"]] * CONFIG.ticks if kept is None else kept

    def outputs(self, i):
        return {"sums": bits(self.layout, self._now(i))}

    def edge(self, i):
        if i["add"]:
            weight = i["weight"] - (i["weight"] >> 15 << 16)
            self.sums[i["at"].bit_length() - 1] = [
                (total + weight * (i["spikes"] >> t & 1)) & 0xFFFFFF
                for t, total in enumerate(self._now(i))
            ]
        if i["drain"]:
            self.sums[i["at"].bit_length() - 1] = None


class Words:
    """A ring of words: rows appended, read from any row that was not freed."""

    def __init__(self, dut):
        self.dut, self.rows, self.head, self.tail = dut, {}, 0, 0
        self.at = (0, 0)  # row and word that must be shown next
        self.written = 0  # rows that a read in this cycle could see
        self.shown = False  # the current row was read after it was written

    def inputs(self, rng):
        low = self.tail
        if rng.random() < 0.02 and self.at[0] > low:
            low = self.at[0]
        self.tail = low
        jump = rng.random() < 0.05
        to = rng.randint(self.tail, self.head) if jump else 0
        return {
            "i__valid": rng.random() < 0.4,
            "i__payload": rng.getrandbits(64),
            "tail": self.tail % 16,
            "advance": bool(self.dut.available.value) and rng.random() < 0.8,
            "jump": jump,
            "to": to % 16,
        }

    def outputs(self, i):
        row, word = self.at
        result = {"i__ready": self.head - self.tail < 8, "row": row % 16, "available": self.shown}
        if self.shown:
            result["word"] = self.rows[row] >> 16 * word & 0xFFFF
        return result

    def edge(self, i):
        row, word = self.at
        if i["jump"]:
            row, word = self.tail + (i["to"] - self.tail) % 16, 0
        elif i["advance"] and self.shown:
            row, word = (row + 1, 0) if word == 3 else (row, word + 1)
        self.at = (row, word)
        self.shown = row < self.head
        if i["i__valid"] and self.head - self.tail < 8:
            self.rows[self.head] = i["i__payload"]
            self.head += 1


class Fifo:
    """A slice FIFO: slices and ends in order, a source that is the one at work or the next."""

    def __init__(self, dut):
        self.dut = dut
        self.slices: deque[int] = deque()  # not popped
        self.order: deque[int] = deque()  # not begun
        self.begun = 0  # slices begun and not popped
        self.seen = 0
        self.layout = SliceFifo(CONFIG).entry.shape()

    def inputs(self, rng):
        room = len(self.slices) < CONFIG.fifo_depth and len(self.order) < 2 * CONFIG.fifo_depth
        is_end = rng.random() < 0.3 or not room
        end_room = len(self.order) < 2 * CONFIG.fifo_depth
        what = {"is_end": is_end, "close": rng.getrandbits(1), "segment_end": rng.getrandbits(1)}
        pop = self.begun == 1 and rng.random() < 0.5
        free = self.begun == 0 or pop
        return {
            "push": end_room and (is_end or room) and rng.random() < 0.7,
            "what": bits(END, what),
            "entry": rng.getrandbits(self.layout.size),
            "begin": bool(self.order) and free and rng.random() < 0.7,
            "more": self.begun == 1 and not pop,
            "pop": pop,
        }

    def outputs(self, i):
        result: dict[str, int | None] = {
            "room": len(self.slices) < CONFIG.fifo_depth
            and len(self.order) < 2 * CONFIG.fifo_depth,
            "end_room": len(self.order) < 2 * CONFIG.fifo_depth,
            "next_valid": bool(self.order),
        }
        if self.order:
            result["next_what"] = self.order[0]
        if self.begun:
            result["work"] = self.slices[0]
        if i["more"]:
            result["source"] = self.slices[0]
        elif len(self.slices) > self.begun:
            result["source"] = self.slices[self.begun]
        return result

    def edge(self, i):
        if i["begin"]:
            self.begun += not fields(END, self.order.popleft())["is_end"]
        if i["pop"]:
            self.slices.popleft()
            self.begun -= 1
            self.seen += 1
        if i["push"]:
            self.order.append(i["what"])
            if not fields(END, i["what"])["is_end"]:
                self.slices.append(i["entry"])


class Headers:
    """A header unit behind a ring that holds one segment's words, pass after pass."""

    def __init__(self, dut, rng):
        self.dut, self.rng = dut, rng
        self.segment, self.pass_number, self.taken = 0, 0, 0
        self.next_segment()

    def next_segment(self):
        rng = self.rng
        self.beats = []  # place, taps, words until it is known, until it is complete
        words, place = [], -1
        for _ in range(rng.choice([0, 1, 3, 5])):
            gap = rng.choice([0, 0, 1, 5, 15, 16, 40, 200])
            count, left = 0, gap
            while left > 15:
                step = min(left, 127)
                words.append(step << 9)
                left, count = left - step, count + 1
            place += gap + 1
            subs = sorted(rng.sample(range(4), rng.randint(1, 4)))
            taps = 0
            for sub in subs:
                wsp = rng.randrange(1, 512)
                taps |= wsp << 9 * sub
                words.append(wsp | sub << 9 | (sub == subs[-1]) << 11 | left << 12)
                left = 0
            self.beats.append((place, taps, count + 1, count + len(subs)))
        self.count = len(words)
        self.rows = -(-len(words) // 4)
        self.words = words + [0] * (4 * self.rows - len(words))
        self.restart()

    def restart(self):
        self.at, self.beat, self.read = 0, 0, 0


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def sums(dut):
    await lockstep(dut, Sums(), 3000)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def words(dut):
    model = Words(dut)
    await lockstep(dut, model, 5000)
    assert model.head > 200


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def slices(dut):
    model = Fifo(dut)
    await lockstep(dut, model, 5000)
    assert model.seen > 500


class Decoding(Headers):
    """Cycle by cycle: words are read one a cycle, up to the last of a beat, or the first of the next once it is taken.

    That there are no more takes a cycle as a word does.
    """

    def __init__(self, dut, rng):
        self.start = 0
        self.have = self.over = False
        super().__init__(dut, rng)

    def inputs(self, rng):
        known, complete = self.state()
        position = self.beats[self.beat][0] if known and self.beat < len(self.beats) else None
        ends = rng.random() < 0.03 or (position is None and known and rng.random() < 0.3)
        end = self.have and ends
        self.take = bool(position is not None and complete and not end and rng.random() < 0.5)
        return {
            "rows__payload": self.rows,
            "rows__valid": not self.have,
            "word": self.words[self.at] if self.at < len(self.words) else rng.getrandbits(16),
            "available": 1,
            "row": (self.start + self.at // 4) % 16,
            "active": 1,
            "pass_end": end,
            "segment_end": 1,
            "take": self.take,
        }

    def state(self):
        """Whether the next place is known, and its taps complete."""
        if not self.have:
            return False, False
        if self.beat == len(self.beats):
            return self.over, self.over
        _, _, known, complete = self.beats[self.beat]
        return self.read >= known, self.read >= complete

    def outputs(self, i):
        known, complete = self.state()
        there = self.beat < len(self.beats)
        result = {"known": known, "positioned": known and there, "tail": self.start % 16}
        if known and there:
            result |= {"position": self.beats[self.beat][0], "complete": complete}
            if complete:
                result["taps"] = self.beats[self.beat][1]
        result["jump"] = i["pass_end"]
        if i["pass_end"] and self.have:
            result["to"] = (self.start + self.rows) % 16
        return result

    def edge(self, i):
        self.over = self.have and self.at == self.count and not i["pass_end"]
        if i["pass_end"]:
            if self.have:
                self.start += self.rows
            self.have = False
            self.taken += 1
            self.next_segment()
            return
        if not self.have:
            self.have = True
            return
        if self.take:
            self.beat, self.read = self.beat + 1, 0
        elif self.beat < len(self.beats) and self.read >= self.beats[self.beat][3]:
            return
        if self.beat < len(self.beats):
            self.at, self.read = self.at + 1, self.read + 1


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def headers(dut):
    model = Decoding(dut, random.Random(2))
    await lockstep(dut, model, 6000)
    assert model.taken > 50


@pytest.mark.parametrize("platform", [None, BlackBoxes()], ids=["memories", "silicon"])
def test_bank(platform, request):
    case = request.node.callspec.id
    run(Bank(CONFIG), "bank", "sums", case, file="event_parts", platform=platform)


def test_ring():
    run(WordRing(macro="ring", width=64, rows=8), "word_ring", "words", file="event_parts")


def test_fifo():
    run(SliceFifo(CONFIG), "fifo", "slices", file="event_parts")


def test_header_unit():
    run(HeaderUnit(CONFIG, 4), "header_unit", "headers", file="event_parts")
