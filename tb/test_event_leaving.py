"""The tile that leaves a PE of the event machine, in every cycle: what is read, who waits, and its word, against the neurons' recurrence.

Layers of any maps, tile after tile and round after round. What is said of a tile, of its base and its rounds is rubbish but in
the cycle in which it closes, and so are sums that nobody asked for.
"""

import random
from dataclasses import dataclass, field
from typing import Any

import cocotb
from amaranth import signed
from amaranth.lib import data

from hw.config import Config
from hw.control import tile_layout
from hw.event.drain import Drain
from hw.event.leaving import Leaving
from hw.geometry import geometry_layout
from hw.neuron import RESETS, STARTS, kinds
from hw.program import EXTENDED_LAYER
from hw.widths import ADDRESS_BITS
from hw.word_out import output_layout
from tb import maps
from tb.event_neurons import Sums, averaged, fire
from tb.helpers import bits, lockstep, run, signed_random

CONFIG = Config(machine="event", ticks=2, tile_side=4, n_pe=3)
CYCLES = 6000
INDEX = 2
SUMS = data.ArrayLayout(
    data.ArrayLayout(signed(CONFIG.accumulator_bits), CONFIG.ticks), CONFIG.lifs
)
FACTS = {
    "tile": tile_layout(CONFIG).size,
    "base": ADDRESS_BITS,
    "carried": 1,
    "last_round": 1,
}
"""What is said of a tile, and its bits."""


@dataclass
class Tile:
    """One visit of a tile: what is said of it, its sums, and what it hands over: a payload, or None."""

    facts: dict[str, int]
    sums: Sums
    size: tuple[int, int]
    payload: int | None
    late: bool  # a spike behind the network's last tick is in its word, since another round comes
    positions: list[tuple[int, int]] = field(default_factory=list)  # where a cycle's neurons begin

    def __post_init__(self) -> None:
        height, width = self.size
        self.positions = [(y, x) for y in range(height) for x in range(0, width, CONFIG.lifs)]


class Layer:
    """A layer's descriptor and geometry, and all its tiles in order."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.average = int(rng.random() < 0.2)
        most = CONFIG.tile_side if self.average else 2 * CONFIG.tile_side + 1
        self.height, self.width = rng.randint(1, most), rng.randint(1, most)
        self.pool = int(
            not self.average and min(self.height, self.width) > 1 and rng.random() < 0.5
        )
        self.more_rounds = rng.choice([0, 0, 0, 1, 3])
        self.anew = rng.getrandbits(1)
        self.last_tick = rng.randrange(CONFIG.ticks)
        kind = rng.choice(kinds())
        self.neuron = kind(
            rng.choice(kind.amounts), rng.choice(RESETS), rng.choice(STARTS), rng.random() < 0.5
        )
        self.filters = rng.randint(1, 6)  # one group or two, so that many layers are drawn
        self.geometry = maps.oblong(
            CONFIG, height=self.height, width=self.width, pool=bool(self.pool)
        )
        self.stall = rng.choice([0, 0.5, 0.9])
        self.tiles: list[Tile] = []
        for group in range(-(-self.filters // CONFIG.n_pe)):
            self._group(group)

    def ports(self) -> dict[str, int]:
        """Of the layer, as long as one of its tiles leaves."""
        descriptor = {
            "filters": self.filters,
            "pool": self.pool,
            "average": self.average,
            "more_rounds": self.more_rounds,
            "last_tick": self.last_tick,
            "neuron": self.neuron.code,
        }
        return {
            "layer": bits(EXTENDED_LAYER, descriptor),
            "geometry": bits(geometry_layout(CONFIG), self.geometry),
        }

    def _group(self, group: int) -> None:
        self.threshold = self.rng.randint(1, 1 << 12)
        self.word = 0
        order = maps.tiles(
            CONFIG, side=self.height, width=self.width, half=False, pool=bool(self.pool)
        )
        for y, x, word_last in order:
            self.potentials: dict[tuple[int, int], int] = {}
            for number in range(self.more_rounds + 1):
                self._visit(group, y, x, number, bool(word_last or self.more_rounds))

    def _visit(self, group: int, y: int, x: int, number: int, word_last: bool) -> None:
        rng, side = self.rng, CONFIG.tile_side
        height, width = min(self.height - y * side, side), min(self.width - x * side, side)
        sums = {
            (row, column): [signed_random(rng, 14) for _ in range(CONFIG.ticks)]
            for row in range(height)
            for column in range(width)
        }
        first, last = number == 0 or self.anew, number == self.more_rounds or self.anew
        if first:
            self.potentials = {}
        neurons = averaged(sums) if self.average else sums
        along, pooled = self.geometry["sub_mask"] + 1, side >> self.pool
        spikes = fire(
            CONFIG,
            neurons,
            self.potentials,
            self.neuron,
            self.threshold,
            last_tick=self.last_tick if last else CONFIG.ticks - 1,
            pool=self.pool,
            at=(y % along * pooled, x % along * pooled),
        )
        self.word |= spikes
        behind = sum(
            1 << place * CONFIG.ticks + tick
            for place in range(side**2)
            for tick in range(self.last_tick + 1, CONFIG.ticks)
        )
        base = rng.getrandbits(ADDRESS_BITS)
        tile = {"block_y": y, "block_x": x, "height": height, "width": width,
                "word_last": word_last, "group": group, "threshold": self.threshold}  # fmt: skip
        facts = {
            "tile": bits(tile_layout(CONFIG), tile),
            "base": base,
            "carried": int(not first),
            "last_round": int(last),
        }
        result = Tile(facts, sums, (height, width), None, bool(spikes & behind))
        self.tiles.append(result)
        if not word_last:
            return
        index = group * CONFIG.n_pe + INDEX
        word_y, word_x = y // along, x // along
        inside = word_y <= self.geometry["words_down"] and word_x <= self.geometry["words"]
        if index < self.filters and inside:
            alone = neurons[(0, 0) if self.average else result.positions[-1]]
            result.payload = bits(output_layout(CONFIG), {
                "word": self.word, "sums": alone, "filter": index, "word_y": word_y,
                "word_x": word_x, "base": base, "part": self.more_rounds > 0 and along > 1,
                "down": y % 2, "right": x % 2,
            })  # fmt: skip
        self.word = 0


class Way:
    """A tile closes when none leaves; then it is read, gathered, and waits until its word is taken."""

    def __init__(self) -> None:
        self.layer: Layer | None = None
        self.tile: Tile | None = None  # that leaves
        self.age = 0  # cycles since it closed
        self.gathered = False  # its word, if it completes one, is offered
        self.read: tuple[int, int] | None = None  # whose sums are due
        self.seen = {"words": 0, "dropped": 0, "waits": 0, "gathered": 0, "late": 0}

    def inputs(self, rng: random.Random) -> dict[str, int]:
        if self.tile is None and (self.layer is None or not self.layer.tiles):
            self.layer = Layer(rng)
        layer = self.layer
        assert layer is not None
        self.close = self.tile is None and rng.random() < 0.6
        facts = {name: rng.getrandbits(width) for name, width in FACTS.items()}
        if self.close:
            facts = layer.tiles[0].facts
        sums: Any = [
            [signed_random(rng, 20) for _ in range(CONFIG.ticks)] for _ in range(CONFIG.lifs)
        ]
        if self.tile and self.read:
            y, x = self.read
            sums = [self.tile.sums.get((y, x + k), sums[k]) for k in range(CONFIG.lifs)]
        return {
            "index": INDEX,
            **layer.ports(),
            **facts,
            "close": self.close,
            "sums": bits(SUMS, sums),
            "output__ready": rng.random() >= layer.stall,
        }

    def outputs(self, i: dict[str, int]) -> dict[str, int | None]:
        tile = self.tile
        if tile is None:
            return {"running": 0, "busy": 0, "last": 0, "lanes": 0, "output__valid": 0}
        cycles = len(tile.positions)
        running = self.age < cycles
        self.read = tile.positions[self.age] if running else None
        result: dict[str, int | None] = {
            "running": running,
            "busy": 1,
            "last": self.age == cycles - 1,
            "lanes": 0,
            "output__valid": self.gathered,
        }
        if self.read:
            y, x = self.read
            there = [x + k < tile.size[1] for k in range(CONFIG.lifs)]
            result |= {"y": y, "x": x, "lanes": sum(one << k for k, one in enumerate(there))}
        if self.gathered:
            result["output__payload"] = tile.payload
        return result

    def edge(self, i: dict[str, int]) -> None:
        if self.close:
            assert self.layer is not None
            self.tile, self.age, self.gathered = self.layer.tiles.pop(0), 0, False
            return
        if self.tile is None:
            return
        self.age += 1
        if self.gathered and i["output__ready"]:
            self.seen["words"] += 1
            self.seen["late"] += self.tile.late
            self.tile = None
            return
        self.seen["waits"] += self.gathered
        self.gathered = self.age >= len(self.tile.positions) + Drain.latency(CONFIG)
        if self.gathered and self.tile.payload is None:
            word_last = self.tile.facts["tile"] >> tile_layout(CONFIG)["word_last"].offset & 1
            self.seen["dropped" if word_last else "gathered"] += 1
            self.tile = None


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def tiles(dut):
    model = Way()
    await lockstep(dut, model, CYCLES)
    assert min(model.seen.values()) > 9, model.seen


def test_leaving():
    run(Leaving(CONFIG), "leaving", "tiles", file="event_leaving")
