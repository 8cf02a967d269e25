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
        self.expected = [0] * config.lanes  # no memory reads anything else before its first read
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
            "drain": rng.random() < 0.3,
            "weight": signed_random(rng, self.config.weight_bits),
            "bias": signed_random(rng, 18),
        }
        return {"valid": rng.random() < 0.8, "step": bits(self.layout, self.step)}

    def outputs(self, i):
        bits = self.config.accumulator_bits
        parts = [(v & ((1 << bits) - 1)) << (t * bits) for t, v in enumerate(self.expected)]
        return {"sums": sum(parts)}

    def edge(self, i):
        step, position = self.step, (self.step["y"], self.step["x"])
        before = self.sums.get(position, [0] * self.config.lanes)
        for t, value in enumerate(before):
            if i["valid"] and (step["drain"] or step["spikes"] >> t & 1):
                self.expected[t] = value
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
