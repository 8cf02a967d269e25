"""The way out of a PE: words of whole maps against the recurrence of a neuron, cycle by cycle."""

from collections import deque
from itertools import product
from typing import Any

import cocotb
import numpy as np
import pytest

from hw.config import PRESETS
from hw.control import tile_layout
from hw.drain import Drain
from hw.geometry import geometry_layout
from hw.program import LAYER
from hw.word_out import output_layout
from tb import maps
from tb.helpers import bits, lockstep, parameters, run

CONFIG = PRESETS["tiny"]
INDEX = 2
SUMS = 1 << 12  # beyond them no sum lies


def neuron(sums, threshold):
    """Spikes of a neuron, one a tick: a quarter of the potential is left, rounded down."""
    u, spikes = 0, []
    for total in sums:
        u = (u >> CONFIG.leak_shift) + total
        spikes.append(u >= threshold)
        u = 0 if spikes[-1] else u
    return spikes


class Tiles:
    """Map after map, tile after tile; between draining sweeps come others, which change nothing."""

    def __init__(self, stall):
        self.stall = stall
        self.tiles: deque[tuple[int, int, bool]] = deque()
        self.positions: deque[tuple[tuple[int, ...], list[int]]] = deque()
        self.leaving: Any = None
        self.offered: Any = None
        self.due: Any = None  # sums of the position before
        self.gathered_in: Any = None  # cycles until the last neuron's spikes are there
        self.layer: dict[str, int] = {}
        self.geometry: dict[str, int] = {}
        self.average = False
        self.draining = False
        self.side = CONFIG.tile_side
        self.word = np.zeros((CONFIG.tile_side, CONFIG.tile_side, CONFIG.ticks), np.uint8)
        self.words = self.dropped = 0

    def _map(self, rng):
        self.average = rng.random() < 0.2
        shape = {"side": rng.randint(1, 10), "half": rng.random() < 0.3, "pool": False}
        if self.average:
            shape = {"side": rng.randint(1, CONFIG.tile_side), "half": False, "pool": False}
        elif shape["side"] > 1 and rng.random() < 0.4:
            shape["pool"] = True
        self.side = shape["side"]
        self.geometry = maps.geometry(CONFIG, **shape)
        self.tiles.extend(maps.tiles(CONFIG, **shape))
        self.group = rng.randint(0, 200)
        spare = rng.choice([0, 1, 500])  # the last filter is this one, or the one before
        filters = self.group * CONFIG.n_pe + INDEX + spare
        self.layer = {"filters": filters, "pool": shape["pool"], "average": self.average}

    def _tile(self, rng):
        y, x, word_last = self.tiles.popleft()
        block, sweep = self.geometry["block_side"], self.geometry["sweep_side"]
        height, width = (min(block, self.side - at * block) for at in (y, x))
        threshold = rng.randint(1, SUMS)
        self.leaving = {
            "block_y": y,
            "block_x": x,
            "height": height,
            "width": width,
            "word_last": word_last,
            "group": self.group,
            "threshold": threshold,
        }
        self.total = [0] * CONFIG.ticks
        for at in product(range(sweep), repeat=2):
            self.positions.append((at, [rng.randint(-SUMS, SUMS) for _ in range(CONFIG.ticks)]))

    def inputs(self, rng):
        idle = self.leaving is None
        if idle and not self.tiles:
            self._map(rng)
        if idle and rng.random() >= self.stall:
            self._tile(rng)
            self.draining = True
        visits, last = self.draining, self.draining and len(self.positions) == 1
        sums = self.due or [rng.randint(-SUMS, SUMS) for _ in range(CONFIG.ticks)]
        (y, x), self.due = self.positions.popleft() if visits else ((0, 0), None)
        if visits:
            self._visit(y, x, last)
        else:  # another weight's sweep
            y, x = (rng.randrange(CONFIG.tile_side) for _ in "yx")
        other = not visits and rng.random() < 0.5
        layout = output_layout(CONFIG)["sums"].shape
        inputs = {
            "index": INDEX,
            "layer": bits(LAYER, self.layer),
            "geometry": bits(geometry_layout(CONFIG), self.geometry),
            "leaving": bits(tile_layout(CONFIG), self.leaving or {}),
            "draining": visits,
            "valid": visits or other,
            "last": last or (other and rng.random() < 0.2),
            "y": y,
            "x": x,
            "sums": bits(layout, sums),
            "output__ready": rng.random() >= self.stall,
        }
        if last:
            self.draining = False
            self.gathered_in = Drain.latency(CONFIG)
        return inputs

    def _visit(self, y, x, last):
        if y >= self.leaving["height"] or x >= self.leaving["width"]:
            return
        if self.average:
            self.sums = self.total = [a + b for a, b in zip(self.total, self.due, strict=True)]
            if not last:
                return
            y = x = 0
        else:
            self.sums = self.due
        mask, pooled = self.geometry["sub_mask"], self.geometry["pooled_shift"]
        pool = self.layer["pool"]
        row = ((self.leaving["block_y"] & mask) << pooled) + (y >> pool)
        column = ((self.leaving["block_x"] & mask) << pooled) + (x >> pool)
        self.word[row, column] |= np.array(neuron(self.sums, self.leaving["threshold"]), np.uint8)

    def _complete(self):
        """The word that is offered once the tile is gathered; None where none is, or it is dropped."""
        if not self.leaving["word_last"]:
            return None
        shift, number = self.geometry["sub_shift"], self.group * CONFIG.n_pe + INDEX
        at = [self.leaving[f"block_{a}"] >> shift for a in "yx"]
        if number >= self.layer["filters"] or max(at) > self.geometry["words"]:
            return None
        word = maps.number(self.word)
        named = {"word": word, "sums": list(self.sums), "filter": number}
        return named | {"word_y": at[0], "word_x": at[1]}

    def outputs(self, i):
        gathered = self.gathered_in == 0
        taken = self.offered is not None and i["output__ready"]
        self.left = taken or (gathered and self._complete() is None)
        expected = {"left": self.left, "output__valid": self.offered is not None}
        if self.offered is not None:
            expected["output__payload"] = bits(output_layout(CONFIG), self.offered)
        return expected

    def edge(self, i):
        if self.gathered_in == 0:
            self.offered = self._complete()
            self.dropped += self.offered is None and self.leaving["word_last"]
        elif self.left:
            self.offered, self.words = None, self.words + 1
        self.gathered_in = None if not self.gathered_in else self.gathered_in - 1
        if self.left:
            if self.leaving["word_last"]:
                self.word[:] = 0
            self.leaving = None


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def tiles(dut):
    model = Tiles(parameters()["stall"])
    await lockstep(dut, model, 8000)
    assert model.words > 30
    assert model.dropped > 5


@pytest.mark.parametrize("stall", [0, 0.4])
def test_drain(stall):
    run(Drain(CONFIG), "drain", "tiles", f"stall{stall}", stall=stall)
