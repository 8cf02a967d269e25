"""The average pool against a sum of a few lines."""

import cocotb

from hw.average import LATENCY, Average
from hw.config import PRESETS
from tb.helpers import lockstep, run

CONFIG = PRESETS["tiny"]
MASK = (1 << CONFIG.accumulator_bits) - 1


class Sums:
    """Positions of maps of random lengths, with gaps; what comes out holds while nothing comes in."""

    def __init__(self):
        self.left, self.length, self.enable = 0, 0, 0
        self.o = [0] * CONFIG.ticks

    def inputs(self, rng):
        valid = rng.random() < 0.7
        if self.left == 0:
            self.left = self.length = rng.randint(1, CONFIG.positions)
            self.enable = rng.randint(0, 1)
        self.sums = [rng.getrandbits(CONFIG.accumulator_bits) for _ in range(CONFIG.ticks)]
        return {
            "enable": self.enable,
            "valid": valid,
            "first": self.left == self.length,
            "i": sum(s << CONFIG.accumulator_bits * t for t, s in enumerate(self.sums)),
        }

    def outputs(self, i):
        return {"o": sum(s << CONFIG.accumulator_bits * t for t, s in enumerate(self.o))}

    def edge(self, i):
        if i["valid"]:
            keep = 0 if i["first"] or not i["enable"] else 1
            self.o = [(s + keep * o) & MASK for s, o in zip(self.sums, self.o, strict=True)]
            self.left -= 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def sums(dut):
    assert LATENCY == 1
    await lockstep(dut, Sums(), 3000)


def test_average():
    run(Average(CONFIG), "average", "sums")
