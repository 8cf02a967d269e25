"""The average pool of a PE: before the neurons, the sums of a whole map are added up."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.unreset import data_register

LATENCY = 1
"""Cycles from a position's sums to `o`, whether they are added up or pass as they are."""


class Average(wiring.Component):
    """valid, i: the sums of a position, a field a tick. first: it starts a map.

    Of several positions side by side the first is there where any is, and the others are only added up.
    enable: add them up, so that `o` after the last position is the map's; else `o` is the position's.
    Weights hold the division by the number of positions, and `i` the bias at one position alone.
    """

    def __init__(self, config: Config, positions: int = 1) -> None:
        self.config, self.positions = config, positions
        sums = data.ArrayLayout(signed(config.accumulator_bits), config.ticks)
        super().__init__(
            {
                "enable": In(1),
                "valid": In(positions),
                "first": In(1),
                "i": In(data.ArrayLayout(sums, positions)),
                "o": Out(sums),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        adds = Signal()
        m.d.comb += adds.eq(self.enable & ~self.first)
        sums = data_register(m, self.o, "held_sums")
        with m.If(self.valid[0]):
            for t in range(self.config.ticks):
                total = self.i[0][t] + Mux(adds, sums[t], 0)
                for k in range(1, self.positions):
                    total = total + Mux(self.enable & self.valid[k], self.i[k][t], 0)
                m.d.sync += sums[t].eq(total)
        return m
