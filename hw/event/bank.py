"""A bank of a PE's accumulators: one position a cycle, all its ticks."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.event.planes import bank_rows
from hw.event.rows import Rows


class Bank(wiring.Component):
    """Reads, adds and writes in one cycle.

    at: a row, one-hot. add: the weight is added to it in the ticks of `spikes`. drain: it is read for the last time: its
    next sum starts from the bias again, or from 0 unless `biased`. sums: of the row, in the same cycle, before the weight is added.

    Rows come one-hot, as a look-up finds them (taps.py), and the bias is read as one more row.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        accumulator = signed(config.accumulator_bits)
        super().__init__(
            {
                "at": In(bank_rows(config)),
                "add": In(1),
                "drain": In(1),
                "spikes": In(config.ticks),
                "weight": In(signed(config.weight_bits)),
                "bias": In(accumulator),
                "biased": In(1),
                "sums": Out(data.ArrayLayout(accumulator, config.ticks)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = bank_rows(self.config)
        m.submodules.rows = rows = Rows(self.config)
        fresh = Signal(count, init=(1 << count) - 1)  # nothing was added since the last drain
        starts = Signal()
        m.d.comb += [
            rows.at.eq(self.at),
            rows.read.eq(self.at & ~fresh),
            starts.eq((self.at & fresh).any()),
        ]
        bias = Mux(starts & self.biased, self.bias.as_unsigned(), 0)
        for t in range(self.config.ticks):
            m.d.comb += [
                self.sums[t].eq(rows.sums[t] | bias),
                rows.totals[t].eq(self.sums[t] + Mux(self.spikes[t], self.weight, 0)),
                rows.write[t].eq(self.add & (self.spikes[t] | starts)),
            ]
        with m.If(self.add):
            m.d.sync += fresh.eq(fresh & ~self.at)
        with m.If(self.drain):
            m.d.sync += fresh.eq(fresh | self.at)
        return m
