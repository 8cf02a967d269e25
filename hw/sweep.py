"""The address generator of a PE: one weight visits the positions of its tile, one a cycle."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config

MINIMUM_CYCLES = 4
"""A weight takes at least as long: the accumulators' read, add, write, with one cycle of reserve."""


class Sweep(wiring.Component):
    """Row by row over `height` x `width` positions, starting in the cycle after `start`.

    height, width: held while the sweep runs, at least 1. running: from the first position on.
    valid: `y`, `x` is a position to visit. last: the sweep ends with this cycle; `start` may come.
    last_position: the position is the last one.
    """

    def __init__(self, config: Config) -> None:
        bits = config.tile_side.bit_length()
        super().__init__(
            {
                "start": In(1),
                "height": In(bits),
                "width": In(bits),
                "running": Out(1),
                "valid": Out(1),
                "last": Out(1),
                "last_position": Out(1),
                "y": Out(bits - 1),
                "x": Out(bits - 1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        resting = Signal()  # all positions were visited before MINIMUM_CYCLES were over
        age = Signal(range(MINIMUM_CYCLES))
        row_end = Signal()
        m.d.comb += [
            self.valid.eq(self.running & ~resting),
            row_end.eq(self.x == self.width - 1),
            self.last_position.eq(self.valid & row_end & (self.y == self.height - 1)),
            self.last.eq(
                self.running & (self.last_position | resting) & (age == MINIMUM_CYCLES - 1)
            ),
        ]
        with m.If(self.running & (age != MINIMUM_CYCLES - 1)):
            m.d.sync += age.eq(age + 1)
        with m.If(self.valid):
            m.d.sync += self.x.eq(self.x + 1)
            with m.If(row_end):
                m.d.sync += [self.x.eq(0), self.y.eq(self.y + 1)]
        with m.If(self.last_position):
            m.d.sync += resting.eq(1)
        with m.If(self.last):
            m.d.sync += self.running.eq(0)
        with m.If(self.start):
            m.d.sync += [self.running.eq(1), resting.eq(0), age.eq(0), self.x.eq(0), self.y.eq(0)]
        return m
