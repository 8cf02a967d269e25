"""The output word against a square of spikes."""

import cocotb
import pytest

from hw.pool import OutputWord
from tb.helpers import config_of, lockstep, parameters, run


class Square:
    """ORs each neuron's spikes into its place, or its pool's."""

    def __init__(self, config):
        self.config = config
        self.word = 0
        self.tile = {"pool": 0, "row": 0, "column": 0}

    def inputs(self, rng):
        side = self.config.tile_side
        if rng.random() < 0.1:
            pool = rng.randint(0, 1)
            corner = [0, side // 2] if pool else [0]
            self.tile = {"pool": pool, "row": rng.choice(corner), "column": rng.choice(corner)}
        return {
            **self.tile,
            "valid": rng.random() < 0.7,
            "clear": rng.random() < 0.1,
            "y": rng.randrange(side),
            "x": rng.randrange(side),
            "spikes": rng.getrandbits(self.config.ticks),
        }

    def outputs(self, i):
        return {"word": self.word}

    def edge(self, i):
        side, ticks = self.config.tile_side, self.config.ticks
        if i["clear"]:
            self.word = 0
        elif i["valid"]:
            y, x = (i["y"] // 2, i["x"] // 2) if i["pool"] else (i["y"], i["x"])
            position = (i["row"] + y) * side + i["column"] + x
            self.word |= i["spikes"] << (position * ticks)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def square(dut):
    await lockstep(dut, Square(config_of(parameters()["preset"])), 3000)


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_pool(preset):
    component = OutputWord(config_of(preset))
    run(component, "output_word", "square", preset, file="pool", preset=preset)
