"""The APU against the map that was encoded: rows, spikes, and cycles when the stream never stalls."""

import cocotb
import numpy as np
import pytest

from hw.apu import Apu
from hw.config import MAX_SIDE
from hw.program import INPUT_HEADER
from hw.writer import row_layout
from tb import maps
from tb.helpers import bits, config_of, fields, lockstep, parameters, run


def encode(spikes):
    """Beats of a map (C, H, W, T), as apu.py says."""
    beats = []
    for channel in spikes:
        pointers, active = [0], []
        for row in channel:
            active += [(x, maps.number(ticks)) for x, ticks in enumerate(row) if ticks.any()]
            pointers.append(len(active))
        for k in range(0, len(pointers), 4):
            beats.append(sum(p << (16 * j) for j, p in enumerate(pointers[k : k + 4])))
        for k in range(0, len(active), 4):
            four = enumerate(active[k : k + 4])
            beats.append(sum(x << (8 * j) | t << (32 + 4 * j) for j, (x, t) in four))
    return beats


def cycles_of(spikes, tile):
    """Cycles from the first pointers to `done`, both included: a row is taken while one waits to be written."""
    at = placed = free = (
        0  # the next beat's cycle; when the row before is in place; when it is written
    )
    pairs = -(-spikes.shape[1] // (2 * tile))
    for channel in spikes:
        at += spikes.shape[1] // 4 + 1
        count = 0
        for row in channel:
            active = int(row.any(axis=1).sum())
            at = max(at, placed)
            at += max(
                (count + active - 1) // 4 - count // 4 if active else 0, 0
            )  # all but the last
            placed = max(at + 1, free)
            free = placed + pairs
            at += 1
            count += active
    return free + 2


class Inputs:
    """Some maps in a row, or parts of one; every row of every one is written. busy: how often others write."""

    def __init__(self, dut, config, *, seed, stall, busy, count):
        self.dut, self.config, self.stall, self.count = dut, config, stall, count
        self.busy_share, self.more, self.total = busy, False, 0
        self.rng = np.random.default_rng(seed)
        self.beats, self.rows, self.busy, self.offered = [], [], False, None
        self.cycle = 0

    def _start(self):
        config, rng = self.config, self.rng
        side = int(rng.choice([rng.integers(1, 10), rng.integers(1, MAX_SIDE + 1)]))
        shape = (int(rng.integers(1, 5)), side, side, config.ticks)
        spikes = (rng.random(shape) < rng.choice([0, 0.05, 0.3, 0.8])).astype(np.uint8)
        first, more = int(rng.integers(0, 9)), bool(rng.random() < 0.3)
        self.header = {"base": 7, "side": side, "first": first, "channels": first + shape[0]}
        self.header["more"] = more
        self.beats = encode(spikes)
        self.total = int(spikes.sum()) + (self.total if self.more else 0)
        self.more = more
        width = config.tile_side
        for c in range(shape[0]):
            for y in range(side):
                for pair in range(-(-side // (2 * width))):
                    parts = [
                        maps.number(
                            maps.square(config, spikes[c], y, (2 * pair + k) * width, width)[0]
                        )
                        for k in range(2)
                    ]
                    where = {"base": 7, "side": side, "channel": first + c, "row": y, "pair": pair}
                    self.rows.append({**where, "spikes": parts})
        self.due = self.cycle + cycles_of(spikes, width)
        self.busy = True
        self.count -= 1

    def inputs(self, rng):
        start = not self.busy and self.count > 0
        if start:
            self._start()
        self.starting = start
        if not start and self.offered is None and self.beats and rng.random() >= self.stall:
            self.offered = self.beats.pop(0)
        return {
            "start": start,
            "header": bits(INPUT_HEADER, self.header),
            "i__valid": self.offered is not None,
            "i__payload": self.offered or 0,
            "row_ready": rng.random() >= self.busy_share,
        }

    def outputs(self, i):
        return {}

    def edge(self, i):
        dut = self.dut
        if dut.row_valid.value and i["row_ready"]:
            seen = fields(row_layout(self.config), int(dut.row.value))
            assert self.rows, f"too many rows: {seen}"
            assert seen == self.rows.pop(0)
        if i["i__valid"] and dut.i__ready.value:
            self.offered = None
        if dut.done.value:
            assert not self.rows
            assert not self.beats
            assert self.offered is None
            assert int(dut.spikes.value) == self.total
            assert self.stall or self.busy_share or self.cycle == self.due
            self.busy = False
        self.cycle += 1


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def inputs(dut):
    case = parameters()
    config = config_of(case["preset"])
    kinds = {name: case[name] for name in ("seed", "stall", "busy")}
    model = Inputs(dut, config, **kinds, count=12)
    await lockstep(dut, model, 50_000, done=lambda: not model.count and not model.busy)


def check(preset, stall, busy):
    case = {"preset": preset, "stall": stall, "busy": busy}
    run(Apu(config_of(preset)), "apu", "inputs", f"{preset}-{stall}-{busy}", **case)


@pytest.mark.parametrize(("preset", "stall"), [("tiny", 0), ("tiny", 0.4), ("paper", 0)])
def test_apu(preset, stall):
    check(preset, stall, 0)


@pytest.mark.parametrize("stall", [0, 0.4])
def test_rows_wait_while_others_write(stall):
    check("tiny", stall, 0.5)
