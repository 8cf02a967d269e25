"""The write port against what each write must change in the banks."""

import cocotb
import numpy as np
import pytest

from hw.config import BANKS, MAX_SIDE, Config
from hw.spike_buffer import granules, write_layout
from hw.writer import QUARTER, Writer, row_layout, word_layout
from tb import maps
from tb.helpers import bits, config_of, fields, lockstep, parameters, run

EVENT = Config(machine="event", tile_side=4, ticks=2)


class Changes:
    """Which bits of which bank change, one cycle after the row or word."""

    def __init__(self, dut, config):
        self.dut, self.config = dut, config
        self.coming = {}

    def inputs(self, rng):
        config = self.config
        tile, ticks = config.tile_side, config.ticks
        side = rng.choice([rng.randint(1, tile), rng.randint(1, MAX_SIDE)])
        both = ["both"] * (config.machine == "event")  # the word is written, the row waits
        kind = rng.choice(["row", "word", "none", *both])
        common = {"base": rng.randrange(100), "side": side, "channel": rng.randrange(20)}
        row = {
            **common,
            "row": rng.randrange(side),
            "pair": rng.randrange(-(-side // (2 * tile))),
            "spikes": [rng.getrandbits(tile * ticks) for _ in range(2)],
        }
        word = {
            **common,
            "word_y": rng.randrange(-(-side // tile)),
            "word_x": rng.randrange(-(-side // tile)),
            "word": rng.getrandbits(config.word_bits),
        }
        if config.machine == "event":
            word |= {name: rng.getrandbits(1) for name in QUARTER}
        self.next = {}
        if kind == "row":
            self.next = self._row(row)
        elif kind in ("word", "both"):
            self.next = self._word(word)
        return {
            "row_valid": kind in ("row", "both"),
            "row": bits(row_layout(config), row),
            "word_valid": kind in ("word", "both"),
            "word": bits(word_layout(config), word),
        }

    def _place(self, write, tile_y, tile_x):
        where = {name: write[name] for name in ("base", "side", "channel")}
        return maps.place(self.config, **where, tile_y=tile_y, tile_x=tile_x)

    def _row(self, row):
        tile, small, ticks = self.config.tile_side, self.config.small_side, self.config.ticks
        changes = {}
        for k in range(2 if row["side"] > tile else 1):
            tile_x = 2 * row["pair"] + k
            banks, address, quarter = self._place(row, row["row"] // tile, tile_x)
            if quarter is None:
                width, at = tile * ticks, row["row"] % tile * tile * ticks
            else:
                width = small * ticks
                at = quarter * small * width + row["row"] * width
            mask = (1 << width) - 1
            for bank in banks:
                changes[bank, address] = (mask << at, (row["spikes"][k] & mask) << at)
        return changes

    def _word(self, word):
        config = self.config
        banks, address, quarter = self._place(word, word["word_y"], word["word_x"])
        mask, value = (1 << config.word_bits) - 1, word["word"]
        if quarter is not None:
            width, line = config.small_side * config.ticks, config.tile_side * config.ticks
            value = sum(
                (word["word"] >> (r * line) & ((1 << width) - 1)) << (r * width)
                for r in range(config.small_side)
            )
            at = quarter * config.small_side * width
            mask, value = ((1 << config.small_side * width) - 1) << at, value << at
        elif word.get("part"):
            quarter, half = (
                np.zeros((config.tile_side, config.tile_side, config.ticks), int),
                config.small_side,
            )
            quarter[half * word["down"] :, half * word["right"] :][:half, :half] = 1
            mask = maps.number(quarter)
            value &= mask
        return {(bank, address): (mask, value) for bank in banks}

    def outputs(self, i):
        return {"row_ready": not i["word_valid"] if i["row_valid"] else None}

    def edge(self, i):
        config = self.config
        write = fields(write_layout(config), int(self.dut.write.value))
        size = config.word_bits // granules(config)
        mask = sum(
            ((1 << size) - 1) << (k * size)
            for k in range(granules(config))
            if write["enable"] >> k & 1
        )
        seen = {
            (bank, write["address"]): (mask, write["data"][bank % 2] & mask)
            for bank in range(BANKS)
            if write["banks"] >> bank & 1
        }
        assert seen == self.coming
        self.coming = self.next


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def changes(dut):
    await lockstep(dut, Changes(dut, config(parameters()["preset"])), 3000)


def config(preset):
    return EVENT if preset == "event" else config_of(preset)


@pytest.mark.parametrize("preset", ["tiny", "paper", "event"])
def test_writer(preset):
    run(Writer(config(preset)), "writer", "changes", preset, preset=preset)
