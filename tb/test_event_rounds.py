"""Visits of tiles in rounds of ticks, and where each round's part of a map begins, against plain counting."""

import cocotb

from hw.config import Config
from hw.event.rounds import RoundBase, Visits
from hw.geometry import geometry_layout
from tb import maps
from tb.helpers import bits, lockstep, run

CONFIG = Config(machine="event", tile_side=4, ticks=2, banks=4)


class Order:
    """Layer after layer: maps of any sides, each tile once a round. What is said of a tile is right two cycles after the start."""

    def __init__(self):
        self.order = []
        self.age = 0  # cycles since the layer's start

    def inputs(self, rng):
        self.age += 1
        if not self.order:
            self.age = 0
            height, width = rng.randint(1, 20), rng.randint(1, 20)
            pool = min(height, width) > 1 and rng.random() < 0.5
            self.more = rng.choice([0, 1, 5])
            tiles = maps.tiles(CONFIG, side=height, width=width, half=False, pool=pool)
            self.order = [(*tile, k) for tile in tiles for k in range(self.more + 1)]
            geometry = maps.oblong(CONFIG, height=height, width=width, pool=pool)
            self.geometry = bits(geometry_layout(CONFIG), geometry)
        step = self.age > 1 and rng.random() < 0.8
        return {
            "geometry": self.geometry,
            "more_rounds": self.more,
            "layer_start": self.age == 0,
            "step": step,
        }

    def outputs(self, i):
        y, x, word_last, number = self.order[0]
        if self.age < 2:
            return {}
        return {
            "y": y,
            "x": x,
            "word_last": word_last,
            "first_round": number == 0,
            "last_round": number == self.more,
            "last": len(self.order) == 1,
        }

    def edge(self, i):
        if i["step"]:
            self.order = self.order[1:]


class Base:
    """The parts of a map, round after round."""

    def __init__(self):
        self.at, self.left = None, 0

    def inputs(self, rng):
        start = self.at is None or rng.random() < 0.05
        if start:
            self.base, self.words, self.rounds = (rng.randrange(n) for n in (500, 100, 6))
        step = not start and rng.random() < 0.7
        return {
            "layer_start": start,
            "step": step,
            "last_round": step and self.left == 0,
            "base": self.base,
            "words": self.words,
        }

    def outputs(self, i):
        return {} if self.at is None or i["layer_start"] else {"at": self.at}

    def edge(self, i):
        if i["layer_start"] or i["last_round"]:
            self.at, self.left = self.base, self.rounds
        elif i["step"]:
            self.at, self.left = self.at + self.words, self.left - 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def order(dut):
    await lockstep(dut, Order(), 5000)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def bases(dut):
    await lockstep(dut, Base(), 3000)


def test_visits():
    run(Visits(CONFIG), "visits", "order", file="event_rounds")


def test_round_base():
    run(RoundBase(12), "round_base", "bases", file="event_rounds")
