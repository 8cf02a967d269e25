"""The address generator against nested loops."""

import cocotb

from hw.config import PRESETS
from hw.sweep import MINIMUM_CYCLES, Sweep
from tb.helpers import lockstep, parameters, run


class Loops:
    """height x width positions, row by row; at least MINIMUM_CYCLES; a start as early as allowed."""

    def __init__(self, side):
        self.side = side
        self.schedule = []  # of the cycles to come: (valid, y, x, last_position)
        self.size = (1, 1)
        self.next_size = (1, 1)

    def inputs(self, rng):
        start = len(self.schedule) <= 1 and rng.random() < 0.7
        # The size is that of the running sweep, and of the one that starts from the next cycle on.
        height, width = self.size
        if start:
            self.next_size = (rng.randint(1, self.side), rng.randint(1, self.side))
        return {"start": start, "height": height, "width": width}

    def outputs(self, i):
        if not self.schedule:
            return {"running": 0, "valid": 0, "last": 0, "last_position": 0}
        valid, y, x, last_position = self.schedule[0]
        return {
            "running": 1,
            "valid": valid,
            "last": len(self.schedule) == 1,
            "last_position": last_position,
            "y": y if valid else None,
            "x": x if valid else None,
        }

    def edge(self, i):
        self.schedule = self.schedule[1:]
        if i["start"]:
            height, width = self.size = self.next_size
            self.schedule = [(1, y, x, 0) for y in range(height) for x in range(width)]
            self.schedule[-1] = (1, height - 1, width - 1, 1)
            self.schedule += [(0, 0, 0, 0)] * (MINIMUM_CYCLES - height * width)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def loops(dut):
    await lockstep(dut, Loops(parameters()["side"]), 4000)


def test_sweep():
    config = PRESETS["tiny"]
    run(Sweep(config), "sweep", "loops", side=config.tile_side)


def test_sweep_paper():
    config = PRESETS["paper"]
    run(Sweep(config), "sweep", "loops", "paper", side=config.tile_side)
