"""The lanes against a table of sums."""

import cocotb

from hw.config import PRESETS
from hw.lane import Lanes, step_layout
from hw.sweep import MINIMUM_CYCLES
from tb.helpers import bits, lockstep, run, signed_random


class Sums:
    """Sweeps in any order of positions; none comes again within MINIMUM_CYCLES, as sweep.py has it."""

    def __init__(self, config):
        self.config = config
        self.layout = step_layout(config)
        self.sums = {}
        self.recent: list = [None] * (MINIMUM_CYCLES - 1)
        self.expected = None
        self.opened = set()

    def inputs(self, rng):
        side, lanes = self.config.tile_side, self.config.lanes
        free = [(y, x) for y in range(side) for x in range(side) if (y, x) not in self.recent]
        position = rng.choice(free)
        self.step = {
            "y": position[0],
            "x": position[1],
            "spikes": rng.getrandbits(lanes),
            "accumulate": rng.random() < 0.8,
            "opening": rng.random() < 0.2,
            "weight": signed_random(rng, self.config.weight_bits),
            "bias": signed_random(rng, 18),
        }
        return {"valid": rng.random() < 0.8, "step": bits(self.layout, self.step)}

    def outputs(self, i):
        return {"sums": self.expected}

    def edge(self, i):
        step, position = self.step, (self.step["y"], self.step["x"])
        before = self.sums.get(position, [0] * self.config.lanes)
        if i["valid"]:
            self.expected = sum(
                (v & ((1 << self.config.accumulator_bits) - 1))
                << (k * self.config.accumulator_bits)
                for k, v in enumerate(before)
            )
        visited = i["valid"] and step["accumulate"]
        self.recent = [*self.recent[1:], position if visited else None]
        if visited:
            start = [step["bias"]] * self.config.lanes if step["opening"] else before
            self.sums[position] = [
                v + step["weight"] * (step["spikes"] >> t & 1) for t, v in enumerate(start)
            ]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def sums(dut):
    model = Sums(PRESETS["tiny"])
    await lockstep(dut, model, 4000)
    assert len(model.sums) == PRESETS["tiny"].positions


def test_lane():
    run(Lanes(PRESETS["tiny"]), "lane", "sums")
