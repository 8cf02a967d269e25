"""The tiles of maps of any kind, in the order of tb/maps.py."""

import cocotb
import pytest

from hw.geometry import geometry_layout
from hw.tile_counter import TileCounter
from tb import maps
from tb.helpers import bits, config_of, lockstep, parameters, run


class Order:
    """Steps through maps of any kind; the geometry changes only after the last tile."""

    def __init__(self, config):
        self.config = config
        self.order = []
        self.settled = False

    def inputs(self, rng):
        self.settled = bool(self.order)
        if not self.order:
            side, half = rng.randint(1, 64), rng.randint(0, 1)
            side = min(side, 32) if half else side
            pool = side > 1 and rng.randint(0, 1)
            shape = {"side": side, "half": half, "pool": pool}
            self.order = maps.tiles(self.config, **shape)
            self.geometry = bits(geometry_layout(self.config), maps.geometry(self.config, **shape))
        return {"geometry": self.geometry, "step": self.settled and rng.random() < 0.8}

    def outputs(self, i):
        y, x, word_last = self.order[0]
        if not self.settled:
            return {"y": y, "x": x}
        return {"y": y, "x": x, "word_last": word_last, "last": len(self.order) == 1}

    def edge(self, i):
        if i["step"]:
            self.order = self.order[1:]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def order(dut):
    await lockstep(dut, Order(config_of(parameters()["preset"])), 5000)


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_tile_counter(preset):
    component = TileCounter(config_of(preset))
    run(component, "tile_counter", "order", preset, preset=preset)
