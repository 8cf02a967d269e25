"""The event machine's drain: tiles of any size and neuron, against the neurons' recurrence in Python's integers."""

import random

import cocotb
from amaranth import signed
from amaranth.lib import data
from cocotb.triggers import FallingEdge, ReadOnly

from hw.config import Config
from hw.event.drain import Drain
from hw.neuron import RESETS, STARTS, kinds
from hw.program import NEURON
from tb.event_neurons import averaged, fire
from tb.helpers import bits, fields, parameters, run, signed_random
from tb.streams import start

CONFIG = Config(machine="event", ticks=2, tile_side=4)
TILES = 400
RESULTS = data.ArrayLayout(signed(CONFIG.accumulator_bits), CONFIG.ticks)
SUMS = data.ArrayLayout(RESULTS, CONFIG.lifs)


class Tile:
    """A tile, and what must come of it. before: its potentials, by position, where it goes on from a drain."""

    def __init__(self, rng: random.Random, before: "Tile | None"):
        kind = rng.choice(kinds())
        self.height, self.width = rng.randint(1, CONFIG.tile_side), rng.randint(1, CONFIG.tile_side)
        self.pool, self.average = rng.choice([(0, 0), (0, 0), (1, 0), (0, 1)])
        self.neuron = kind(
            rng.choice(kind.amounts), rng.choice(RESETS), rng.choice(STARTS), rng.random() < 0.5
        )
        self.threshold = rng.randint(1, 1 << 12)
        self.carried = before is not None and bool(before.kept)
        if before and self.carried:  # another round of the same tile
            self.height, self.width = before.height, before.width
            self.pool, self.average = before.pool, before.average
            self.neuron, self.threshold = before.neuron, before.threshold
        self.kept: bool = rng.random() < 0.5
        self.last_tick = rng.randrange(CONFIG.ticks)
        half = CONFIG.tile_side // 2
        self.row, self.column = (rng.choice([0, half * self.pool]) for _ in range(2))
        self.positions = [
            (y, x) for y in range(self.height) for x in range(0, self.width, CONFIG.lifs)
        ]
        self.sums = {
            (y, x): [signed_random(rng, 14) for _ in range(CONFIG.ticks)]
            for y in range(self.height)
            for x in range(self.width)
        }
        self.left: dict[tuple[int, int], int] = {}
        if before and self.carried:
            self.left |= before.left
        neurons = averaged(self.sums) if self.average else self.sums
        self.word = fire(
            CONFIG,
            neurons,
            self.left,
            self.neuron,
            self.threshold,
            last_tick=self.last_tick,
            pool=self.pool,
            at=(self.row, self.column),
        )
        self.results = neurons[(0, 0) if self.average else self.positions[-1]]

    def ports(self) -> dict[str, int]:
        """What is held while it leaves."""
        names = (
            "height", "width", "pool", "average", "threshold", "carried", "kept", "last_tick", "row",
            "column",
        )  # fmt: skip
        return {name: int(getattr(self, name)) for name in names} | {
            "neuron": bits(NEURON, self.neuron.code)
        }


async def leave(dut, tile: Tile, rng: random.Random) -> None:
    """One tile: which neurons are read in each cycle, and its word exactly as late as it must be."""
    for name, value in tile.ports().items():
        getattr(dut, name).value = value
    dut.start.value = 1
    await FallingEdge(dut.clk)
    dut.start.value = 0
    wanted: list[int] = []
    late = len(tile.positions) + Drain.latency(CONFIG)
    for cycle in range(late):
        lanes = [
            tile.sums.get((wanted[0], wanted[1] + k)) if wanted else None
            for k in range(CONFIG.lifs)
        ]
        garbage = [[signed_random(rng, 20) for _ in range(CONFIG.ticks)] for _ in lanes]
        dut.sums.value = bits(SUMS, [a or b for a, b in zip(lanes, garbage, strict=True)])
        await ReadOnly()
        running = cycle < len(tile.positions)
        assert dut.running.value == running, cycle
        assert dut.last.value == (cycle == len(tile.positions) - 1), cycle
        assert dut.done.value == (cycle == late - 1), cycle
        wanted = []
        if running:
            y, x = wanted = list(tile.positions[cycle])
            assert (int(dut.y.value), int(dut.x.value)) == (y, x)
            there = [x + k < tile.width for k in range(CONFIG.lifs)]
            assert int(dut.lanes.value) == sum(one << k for k, one in enumerate(there))
        await FallingEdge(dut.clk)
    await ReadOnly()
    assert int(dut.word.value) == tile.word
    assert fields(RESULTS, int(dut.results.value)) == tile.results
    await FallingEdge(dut.clk)
    dut.clear.value = 1
    await FallingEdge(dut.clk)
    dut.clear.value = 0


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def tiles(dut):
    rng = random.Random(parameters()["seed"])
    await start(dut)
    before = None
    for _ in range(TILES):
        before = Tile(rng, before)
        await leave(dut, before, rng)


def test_drain():
    run(Drain(CONFIG), "event_drain", "tiles")
