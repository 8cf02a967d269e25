"""The average pool against a sum of a few lines."""

import cocotb

from hw.average import LATENCY, Average
from hw.config import PRESETS
from tb.helpers import lockstep, parameters, run

CONFIG = PRESETS["tiny"]
MASK = (1 << CONFIG.accumulator_bits) - 1


class Sums:
    """Positions of maps of random lengths, with gaps; what comes out holds while nothing comes in.

    several: positions side by side, of which those behind the first may be missing.
    """

    def __init__(self, several):
        self.several = several
        self.left, self.length, self.enable = 0, 0, 0
        self.o = [0] * CONFIG.ticks

    def inputs(self, rng):
        valid = rng.random() < 0.7
        if self.left == 0:
            self.left = self.length = rng.randint(1, CONFIG.positions)
            self.enable = rng.randint(0, 1)
        self.sums = [
            [rng.getrandbits(CONFIG.accumulator_bits) for _ in range(CONFIG.ticks)]
            for _ in range(self.several)
        ]
        self.there = [valid] + [rng.random() < 0.7 for _ in range(1, self.several)]
        return {
            "enable": self.enable,
            "valid": sum(v << k for k, v in enumerate(self.there)),
            "first": self.left == self.length,
            "i": sum(
                s << CONFIG.accumulator_bits * t
                for t, s in enumerate(s for one in self.sums for s in one)
            ),
        }

    def outputs(self, i):
        return {"o": sum(s << CONFIG.accumulator_bits * t for t, s in enumerate(self.o))}

    def edge(self, i):
        if i["valid"] & 1:
            added = [self.o] if i["enable"] and not i["first"] else []
            if i["enable"]:
                added += [s for s, v in zip(self.sums[1:], self.there[1:], strict=True) if v]
            self.o = [sum(ticks) & MASK for ticks in zip(self.sums[0], *added, strict=True)]
            self.left -= 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def sums(dut):
    assert LATENCY == 1
    await lockstep(dut, Sums(parameters()["several"]), 3000)


def test_average():
    run(Average(CONFIG), "average", "sums", several=1)


def test_average_of_positions_side_by_side():
    run(Average(CONFIG, 2), "average", "sums", "several", several=2)
