"""The control of a PE, layer after layer, against its rules; sweeps, fetch and drain are models."""

from collections import deque
from typing import Any

import cocotb
import pytest

from hw.config import PRESETS
from hw.control import Control, tile_layout
from hw.geometry import geometry_layout
from hw.sweep import MINIMUM_CYCLES
from hw.wsp import weight_layout
from tb import maps
from tb.helpers import bits, lockstep, parameters, run

CONFIG = PRESETS["tiny"]
WEIGHT = weight_layout(CONFIG)


class Layers:
    """A program of random weights; every output that means something, in every cycle."""

    def __init__(self, stall):
        self.stall = stall
        self.state = "done"
        self.weights: deque[tuple[dict, int]] = deque()
        self.offer: Any = None  # the weight that waits, and its window
        self.current: Any = None
        self.tile: Any = None
        self.leaving: Any = None
        self.left_of_sweep = 0  # cycles
        self.leaves_in: Any = None  # cycles until the leaving tile is out
        self.size: Any = None  # of the sweep
        self.draining = self.flushing = False
        self.geometry, self.fields = 0, {}
        self.side = 1
        self.layers = self.drained = 0

    def _layer(self, rng):
        shape = {"side": rng.randint(1, 9), "half": rng.random() < 0.3, "pool": False}
        self.side = shape["side"]
        self.fields = maps.geometry(CONFIG, **shape)
        self.geometry = bits(geometry_layout(CONFIG), self.fields)
        tiles = maps.tiles(CONFIG, **shape)
        groups = rng.randint(1, 2)
        for group in range(groups):
            for number, (y, x, word_last) in enumerate(tiles):
                count = rng.randint(1, 3)
                for k in range(count):
                    last = k == count - 1 and number == len(tiles) - 1
                    weight = {
                        **{name: rng.getrandbits(field.width) for name, field in WEIGHT},
                        "opening": k == 0,
                        "segment_last": last,
                        "end": group == groups - 1,
                        "block_y": y,
                        "block_x": x,
                        "word_last": word_last,
                        "group": group,
                    }
                    self.weights.append((weight, rng.getrandbits(CONFIG.word_bits)))

    def inputs(self, rng):
        begins = self.state == "done" and rng.random() < 0.2
        if begins:
            self._layer(rng)
        if self.offer is None and self.weights and not begins and rng.random() >= self.stall:
            self.offer = self.weights.popleft()
        weight, spikes = self.offer or ({}, rng.getrandbits(CONFIG.word_bits))
        self.delay = rng.randint(1, 12) if self.stall else 3  # of the drain
        return {
            "i__valid": self.offer is not None,
            "i__payload": bits(WEIGHT, weight),
            "spikes": spikes,
            "side": self.side,
            "geometry": self.geometry,
            "layer_start": begins,
            "release": self.state == "barrier" and rng.random() >= self.stall,
            "running": self.left_of_sweep > 0,
            "last": self.left_of_sweep == 1,
            "left": self.leaves_in == 0,
        }

    def _moves(self, i):
        """What happens in this cycle: "take", "flush", or nothing."""
        busy = self.leaves_in is not None
        self.blocked = self.offer is not None and self.offer[0]["opening"] and busy
        can = self.offer is not None and not self.blocked
        if self.state == "run" and can:
            between = self.left_of_sweep == 1 and not self.current["segment_last"]
            return "take" if self.left_of_sweep == 0 or between else None
        if self.state == "barrier" and can and i["release"] and not self.current["end"]:
            return "take"
        return "flush" if self.state == "flush" and not busy else None

    def outputs(self, i):
        self.move = self._moves(i)
        expected = {
            "i__ready": self.move == "take",
            "start": self.move is not None,
            "blocked": self.blocked,
            "done": self.state == "done",
            "at_barrier": self.state == "barrier",
            "ending": self.state in ("flush", "flushing"),
        }
        if self.left_of_sweep:
            expected |= {"height": self.size[0], "width": self.size[1]}
            expected |= {"draining": self.draining, "flushing": self.flushing}
            expected |= {"current": bits(WEIGHT, self.current), "window": self.window}
            if not self.flushing:
                expected["tile"] = bits(tile_layout(CONFIG), self.tile)
        if self.leaves_in is not None:
            expected["leaving"] = bits(tile_layout(CONFIG), self.leaving)
        return expected

    def edge(self, i):
        ends = self.left_of_sweep == 1
        if self.state == "done" and i["layer_start"]:
            self.state, self.layers = "run", self.layers + 1
        elif self.state == "run" and ends and self.current["segment_last"]:
            self.state = "barrier"
        elif self.state == "barrier" and i["release"]:
            self.state = "flush" if self.current["end"] else "run"
        elif self.state == "flush" and self.move:
            self.state = "flushing"
        elif self.state == "flushing" and self.leaves_in is None and not self.left_of_sweep:
            self.state = "done"
        self.left_of_sweep = max(0, self.left_of_sweep - 1)
        if self.leaves_in is not None:
            self.leaves_in = None if self.leaves_in == 0 else self.leaves_in - 1
        if self.move == "take":
            self._take()
        elif self.move == "flush":
            self.flushing = True
            self._sweep((self.fields["sweep_side"],) * 2, leaving=self.tile)
            self.tile = None

    def _take(self):
        (weight, self.window), self.offer = self.offer, None
        self.current, self.flushing = weight, False
        block = self.fields["block_side"]
        size = [min(block, self.side - weight[f"block_{a}"] * block) for a in "yx"]
        if not weight["opening"]:
            self._sweep(size, leaving=None)
            return
        leaving, names = self.tile, ("block_y", "block_x", "word_last", "group", "threshold")
        self.tile = {name: weight[name] for name in names}
        self.tile |= {"height": size[0], "width": size[1]}
        self._sweep((self.fields["sweep_side"],) * 2, leaving=leaving)

    def _sweep(self, size, leaving):
        self.size = tuple(size)
        self.left_of_sweep = max(size[0] * size[1], MINIMUM_CYCLES)
        self.draining = leaving is not None
        if self.draining:
            self.leaving, self.drained = leaving, self.drained + 1
            self.leaves_in = size[0] * size[1] + self.delay


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def layers(dut):
    model = Layers(parameters()["stall"])
    await lockstep(dut, model, 8000)
    assert model.layers > 5
    assert model.drained > 20


@pytest.mark.parametrize("stall", [0, 0.4])
def test_control(stall):
    run(Control(CONFIG), "control", "layers", f"stall{stall}", stall=stall)
