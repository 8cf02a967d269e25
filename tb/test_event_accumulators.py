"""A PE's accumulators against sums by position: weights added by any banks at once, and tiles drained in any size."""

from typing import Any

import cocotb
import pytest

from hw.config import Config
from hw.event.accumulators import Accumulators
from hw.event.planes import bank_rows, position
from tb.helpers import bits, fields, lockstep, parameters, run, signed_random

CONFIGS = {
    "8 banks of two": Config(machine="event", tile_side=4, ticks=1),
    "4 banks, one at a time": Config(machine="event", banks=4, lifs=1, tile_side=4, ticks=3),
    "1 bank": Config(machine="event", banks=1, lifs=1, tile_side=4, ticks=2, accumulator_bits=18),
}
CYCLES = 2000


class Tiles:
    """Adds for some cycles, then the tile is drained, row by row, and starts from the bias again.

    What is said in a cycle shows in the next.
    """

    def __init__(self, dut, config):
        self.dut = dut
        component = Accumulators(config)
        self.config, self.step = config, component.step
        self.layout = component.sums.shape()
        # By position; what is missing starts from the bias.
        self.sums: dict[tuple[int, int], list[int]] = {}
        # Positions side by side, cycle by cycle.
        self.drains: list[list[tuple[int, int] | None]] = []
        self.now: Any = None  # positions that are read in the next cycle
        self.shown: list[list[int] | None] = []  # in this cycle
        self.adding, self.spikes = 0, [0] * config.banks  # in this cycle
        self.adds = self.drained = 0

    def inputs(self, rng):
        config = self.config
        if not self.drains and not self.shown:  # `average` is of a layer, and so stays until then
            self.adds = rng.choice([0, 1, 9, 60])
            self.bias, self.average = (
                signed_random(rng, config.accumulator_bits),
                rng.getrandbits(1),
            )
            height, width = (rng.randint(1, config.tile_side) for _ in range(2))
            self.drains = [
                [(y, x + k) if x + k < width else None for k in range(config.lifs)]
                for y in range(height)
                for x in range(0, width, config.lifs)
            ]
            self.size = height, width
        draining = self.adds == 0 and bool(self.drains)
        i = {"average": self.average, "draining": draining, "step__bias": self.bias & self._mask()}
        i["step__valid"] = 0
        i["step__weight"] = signed_random(rng, config.weight_bits) & (1 << config.weight_bits) - 1
        rows, spikes = [], []
        for bank in range(config.banks):
            row = rng.randrange(bank_rows(config))
            inside = all(a < b for a, b in zip(position(config, bank, row), self.size, strict=True))
            add = self.adds > 0 and inside and rng.random() < 0.6
            i["step__valid"] |= add << bank
            rows.append(1 << row)
            spikes.append(rng.randrange(1, 1 << config.ticks))
        i["step__at"] = bits(self.step.at.shape(), rows)
        i["step__spikes"] = bits(self.step.spikes.shape(), spikes)
        i["y"], i["x"], i["lanes"] = rng.randrange(4), 0, 0
        if draining:
            self.now = self.drains[0]
            (i["y"], i["x"]), *_ = self.now
            i["lanes"] = sum((at is not None) << k for k, at in enumerate(self.now))
        return i

    def _mask(self):
        return (1 << self.config.accumulator_bits) - 1

    def _sum(self, at):
        """Of a position; it starts from the bias."""
        start = self.bias if not self.average or at == (0, 0) else 0
        return self.sums.get(at, [start & self._mask()] * self.config.ticks)

    def outputs(self, i):
        seen = fields(self.layout, int(self.dut.sums.value))
        for lane, (one, wanted) in enumerate(zip(seen, self.shown, strict=False)):
            found = [value & self._mask() for value in one]
            assert wanted in (None, found), f"lane {lane}: {found}, expected {wanted}"
        ticks = fields(self.step.spikes.shape(), int(self.dut.spikes.value))
        for bank, one in enumerate(self.spikes):
            assert not self.adding >> bank & 1 or ticks[bank] == one, f"bank {bank}"
        return {"adding": self.adding}

    def edge(self, i):
        config = self.config
        rows = fields(self.step.at.shape(), i["step__at"])
        ticks = fields(self.step.spikes.shape(), i["step__spikes"])
        weight = i["step__weight"]
        weight -= (weight >> config.weight_bits - 1) << config.weight_bits
        for bank in range(config.banks):
            if i["step__valid"] >> bank & 1:
                at = position(config, bank, rows[bank].bit_length() - 1)
                self.sums[at] = [
                    (total + weight * (ticks[bank] >> t & 1)) & self._mask()
                    for t, total in enumerate(self._sum(at))
                ]
        self.shown = []
        if i["draining"]:
            self.shown = [at and self._sum(at) for at in self.now]
            for at in self.now:
                self.sums.pop(at, None)
                self.drained += at is not None
            self.drains.pop(0)
        elif self.adds:
            self.adds -= 1
        self.adding, self.spikes = i["step__valid"], ticks


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def tiles(dut):
    model = Tiles(dut, CONFIGS[parameters()["config"]])
    await lockstep(dut, model, CYCLES)
    assert model.drained > 200


@pytest.mark.parametrize("config", CONFIGS)
def test_accumulators(config):
    run(
        Accumulators(CONFIGS[config]),
        "accumulators",
        "tiles",
        config,
        file="event_accumulators",
        config=config,
    )
