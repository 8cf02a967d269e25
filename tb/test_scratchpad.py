"""The weight ring against a list."""

import cocotb
import pytest

from hw.config import STREAM_BITS
from hw.scratchpad import Scratchpad, pointer_bits
from tb.helpers import config_of, lockstep, parameters, run


class Ring:
    """Appends while there is room; a row that is there is read in the next cycle, and stays until the next."""

    def __init__(self, config):
        self.rows, self.wrap = config.scratchpad_rows, 1 << pointer_bits(config)
        self.written = {}  # by row number, never wrapped
        self.head = self.tail = self.row = 0
        self.expected = None

    def inputs(self, rng):
        self.read = rng.random() < 0.6
        if self.read:
            if self.tail < self.head and rng.random() < 0.7:
                self.tail += rng.randint(1, min(3, self.head - self.tail))
            self.row = rng.randint(self.tail, self.head)
        return {
            "i__payload": rng.getrandbits(STREAM_BITS),
            "i__valid": rng.random() < 0.9,
            "tail": self.tail % self.wrap,
            "read": self.read,
            "row": self.row % self.wrap,
        }

    def outputs(self, i):
        return {
            "i__ready": self.head - self.tail < self.rows,
            "head": self.head % self.wrap,
            "data": self.expected,
        }

    def edge(self, i):
        if self.read:
            self.expected = self.written.get(self.row)  # None: not there yet, so nothing is said
        if i["i__valid"] and self.head - self.tail < self.rows:
            self.written[self.head] = i["i__payload"]
            self.head += 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def ring(dut):
    model = Ring(config_of(parameters()["preset"]))
    await lockstep(dut, model, parameters()["cycles"])
    assert model.head > 3 * model.rows


@pytest.mark.parametrize(("preset", "cycles"), [("tiny", 1000), ("paper", 4000)])
def test_scratchpad(preset, cycles):
    run(Scratchpad(config_of(preset)), "scratchpad", "ring", preset, preset=preset, cycles=cycles)
