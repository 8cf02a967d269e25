"""Tiles and places in the spike buffer, against docs/architecture.md as tb/maps.py has it."""

import cocotb
import pytest

from hw.config import MAX_SIDE
from hw.geometry import Geometry, Place, geometry_layout
from hw.program import LAYER
from tb import maps
from tb.helpers import bits, config_of, lockstep, parameters, run


class Tiles:
    """How many tiles, words and tiles a word a layer has: counted, not shifted."""

    def __init__(self, config):
        self.config = config

    def inputs(self, rng):
        side, half, pool = rng.randint(1, MAX_SIDE), rng.randint(0, 1), rng.randint(0, 1)
        if half:
            side = min(side, MAX_SIDE // 2)
        if pool:
            side = max(side, 2)
        self.layer = {
            "side": side,
            "half": half,
            "pool": pool,
            "output_side": side // 2 if pool else side,
        }
        return {"layer": bits(LAYER, self.layer)}

    def outputs(self, i):
        config, layer = self.config, self.layer
        half, pool = layer["half"], layer["pool"]
        expected = maps.geometry(config, side=layer["side"], half=half, pool=pool)
        return {"o": bits(geometry_layout(config), expected)}

    def edge(self, i):
        pass


class Places:
    """Any word of any map."""

    def __init__(self, config):
        self.config = config

    def inputs(self, rng):
        small = rng.random() < 0.5
        side = rng.randint(1, 2 * self.config.tile_side if small else MAX_SIDE)
        tiles = -(-side // self.config.tile_side)
        pairs = -(-side // (2 * self.config.tile_side))
        self.word = {
            "base": rng.randrange(512),
            "side": side,
            "channel": rng.randrange(min(1024, 3000 // pairs**2)),
            "tile_y": rng.randrange(tiles),
            "tile_x": rng.randrange(tiles),
        }
        return self.word

    def outputs(self, i):
        banks, address, quarter = maps.place(self.config, **self.word)
        return {
            "banks": sum(1 << b for b in banks),
            "address": address,
            "small": quarter is not None,
            "quarter": quarter,
        }

    def edge(self, i):
        pass


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def tiles(dut):
    await lockstep(dut, Tiles(config_of(parameters()["preset"])), 3000, clocked=False)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def places(dut):
    await lockstep(dut, Places(config_of(parameters()["preset"])), 3000, clocked=False)


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_geometry(preset):
    run(Geometry(config_of(preset)), "geometry", "tiles", preset, preset=preset)


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_place(preset):
    module = Place(config_of(preset))
    run(module, "place", "places", preset, file="geometry", preset=preset)


def test_no_two_words_share_a_place():
    for preset in ("tiny", "paper"):
        config = config_of(preset)
        for side in range(1, MAX_SIDE + 1):
            n = -(-side // config.tile_side)
            seen: set[tuple] = set()
            for channel in range(9):
                for word in range(n * n):
                    y, x = divmod(word, n)
                    banks, address, quarter = maps.place(
                        config, base=0, side=side, channel=channel, tile_y=y, tile_x=x
                    )
                    places = {(bank, address, quarter) for bank in banks}
                    assert not places & seen
                    seen |= places
