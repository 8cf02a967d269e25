"""The issue of taps, in every cycle: what the banks add, and when slices and passes begin and end, against a walk over taps."""

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import cocotb
import pytest

from hw.event.fifo import END, entry_layout
from hw.event.issue import Issue
from hw.event.planes import bank_rows, position
from tb.helpers import bits, lockstep, parameters, run, signed_random
from tb.test_event_taps import CONFIGS, number, random_slice

CYCLES = 2500


@dataclass
class Slice:
    """A slice in the FIFO, its spikes by place, and its taps, bit 9 sub + position."""

    cells: dict[tuple[int, int], int]
    taps: int
    shortcut: int
    entry: int  # its bits
    spikes: int


class Taps:
    """Slices and ends in order, taken as the FIFO shows them; tiles of any size."""

    def __init__(self, dut, config, rng):
        self.dut, self.config = dut, config
        self.layout = entry_layout(config)
        self.order: deque[Slice | dict] = deque()  # not begun
        self.slices: deque[Slice] = deque()  # not done, the one at work first
        self.work: list[list[Any]] = []  # of this tap: for each cycle, what each bank adds to
        self.left = 0  # taps of the slice at work, behind this one
        self.held = {"weight": 0, "bias": 0, "shortcut": 0}
        self.first = False
        self.taps = self.ends = self.waits = 0
        self.packed = False
        self._tile(rng)

    def _tile(self, rng):
        most = self.config.small_side if self.packed else self.config.tile_side
        self.size = rng.randint(1, most), rng.randint(1, most)

    def _append(self, rng):
        if rng.random() < 0.25:
            what = {name: rng.getrandbits(1) for name in ("close", "segment_end", "layer_end")}
            self.order.append({"is_end": 1, **what})
            return
        config, subs = self.config, 4 if self.packed else 1
        cells = random_slice(rng, config, packed=self.packed)
        taps = rng.choice([rng.getrandbits(9 * subs), 1 << rng.randrange(9 * subs)]) or 1
        spikes, shortcut = number(cells, config), rng.getrandbits(1)
        entry = bits(self.layout, {"spikes": spikes, "taps": taps, "shortcut": shortcut})
        one = Slice(cells, taps, shortcut, entry, spikes)
        self.order.append(one)
        self.slices.append(one)

    def inputs(self, rng):
        # What was pushed is seen a cycle later; here the push is in the cycle before.
        if len(self.order) < 4 and rng.random() < 0.5:
            self._append(rng)
        coming = self.order[0] if self.order else None
        self.more = bool(self.work) and self.left > 0
        begun = bool(self.work)
        source = self.slices[0] if self.more else None
        if not self.more and len(self.slices) > begun:
            source = self.slices[begun]
        what = coming if isinstance(coming, dict) else {"is_end": 0, "close": rng.getrandbits(1)}
        return {
            "coming_valid": coming is not None,
            "coming": bits(END, what if coming is not None else {"is_end": rng.getrandbits(1)}),
            "source": source.entry if source else rng.getrandbits(self.layout.size),
            "spikes": self.slices[0].spikes if begun else 0,
            "height": self.size[0],
            "width": self.size[1],
            "weight": signed_random(rng, self.config.weight_bits)
            & (1 << self.config.weight_bits) - 1,
            "bias": rng.getrandbits(self.config.accumulator_bits),
            "identity": rng.getrandbits(1),
            "free": rng.random() < 0.7,
            "may_end": rng.random() < 0.7,
        }

    def _decide(self, i):
        """What happens at the end of this cycle: a tap is taken, of a new slice or not, or a pass ends."""
        free = len(self.work) == 1 if self.work else i["free"]
        coming = self.order[0] if self.order else None
        is_end = isinstance(coming, dict)
        take = free and (self.more or (coming is not None and not is_end))
        end = free and not self.more and is_end and i["may_end"]
        pop = len(self.work) == 1 and self.left == 0
        return take, end, bool(pop)

    def outputs(self, i):
        take, end, pop = self._decide(i)
        result = {
            "more": self.more,
            "take": take,
            "end": end,
            "begin": (take and not self.more) or end,
            "pop": pop,
            "working": bool(self.work),
            "first": self.first,
        }
        banks = self.work[0] if self.work else [None] * self.config.banks
        result["step__bias"] = self.held["bias"]  # a drain needs it, too
        result["step__valid"] = sum((row is not None) << b for b, row in enumerate(banks))
        if self.work:
            result |= {f"step__{name}": value for name, value in self.held.items()}
            at, ticks = (int(getattr(self.dut, f"step__{name}").value) for name in ("at", "spikes"))
            rows, width = bank_rows(self.config), self.config.ticks
            for b, row in enumerate(banks):
                if row is not None:
                    assert at >> rows * b & (1 << rows) - 1 == 1 << row[0], f"bank {b}"
                    assert ticks >> width * b & (1 << width) - 1 == row[1], f"bank {b}"
        return result

    def _begin(self, one, tap):
        """Positions of a tap, a list of cycles; at least one."""
        config, jump = self.config, self.config.small_side + 1
        sub, place = divmod(tap, 9)
        down, right = place // 3 + jump * (sub // 2), place % 3 + jump * (sub % 2)
        queues = []
        for bank in range(config.banks):
            queue = []
            for row in range(bank_rows(config)):
                y, x = position(config, bank, row)
                if y < self.size[0] and x < self.size[1] and one.cells.get((y + down, x + right)):
                    queue.append((row, one.cells[y + down, x + right]))
            queues.append(queue)
        cycles = max(1, *map(len, queues))
        self.work = [[q[k] if k < len(q) else None for q in queues] for k in range(cycles)]

    def edge(self, i):
        take, end, pop = self._decide(i)
        self.waits += not self.work and not take
        more, self.first = self.more, take
        self.work = self.work[1:]
        if pop:
            self.slices.popleft()
        if take or end:
            self.held["bias"] = i["bias"]
        if take:
            one = self.slices[0]
            if not more:
                self.order.popleft()
                self.coming = [tap for tap in range(36) if one.taps >> tap & 1]
            self._begin(one, self.coming.pop(0))
            self.left = len(self.coming)
            self.held["weight"] = i["weight"]
            self.held["shortcut"] = one.shortcut & i["identity"]
            self.taps += 1
        if end:
            self.order.popleft()
            self.ends += 1
            if not self.order:  # no slice of the next tile is there yet
                self.packed = bool(self.ends % 2)
            self._tile(random.Random(self.ends))


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def taps(dut):
    case = parameters()
    model = Taps(dut, CONFIGS[case["config"]], random.Random(case["seed"]))
    await lockstep(dut, model, CYCLES)
    assert min(model.taps // 5, model.ends, model.waits) > 30


@pytest.mark.parametrize("config", CONFIGS)
def test_issue(config):
    run(Issue(CONFIGS[config]), "issue", "taps", config, file="event_issue", config=config)
