"""A bank of a PE's accumulators: one position a cycle, all its ticks."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.event.planes import bank_rows


class Bank(wiring.Component):
    """Reads, adds and writes in one cycle.

    at: a row, one-hot. add: the weight is added to it in the ticks of `spikes`. drain: it is read for the last time: its
    next sum starts from the bias again, or from 0 unless `biased`. sums: of the row, in the same cycle, before the weight is added.

    Rows come one-hot, as a look-up finds them (taps.py). So a read is an AND and an OR a row, less than half of the
    gates of multiplexers that decode an address, and the bias is one more row.
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
        bits, rows = self.config.accumulator_bits, bank_rows(self.config)
        fresh = Signal(rows, init=(1 << rows) - 1)  # nothing was added since the last drain
        goes_on = Signal(rows)  # the row, where it has a sum
        starts = Signal()
        m.d.comb += [goes_on.eq(self.at & ~fresh), starts.eq((self.at & fresh).any())]
        bias = Mux(starts & self.biased, self.bias.as_unsigned(), 0)
        for t in range(self.config.ticks):
            sums = [Signal(bits, name=f"sum_{t}_{r}", reset_less=True) for r in range(rows)]
            read = [Mux(here, one, 0) for here, one in zip(goes_on, sums, strict=True)]
            total, writes = Signal(bits, name=f"total_{t}"), Signal(name=f"writes_{t}")
            m.d.comb += [
                self.sums[t].eq(reduce(or_, [*read, bias])),
                total.eq(self.sums[t] + Mux(self.spikes[t], self.weight, 0)),
                writes.eq(self.add & (self.spikes[t] | starts)),
            ]
            for here, one in zip(self.at, sums, strict=True):
                with m.If(writes & here):
                    m.d.sync += one.eq(total)
        with m.If(self.add):
            m.d.sync += fresh.eq(fresh & ~self.at)
        with m.If(self.drain):
            m.d.sync += fresh.eq(fresh | self.at)
        return m
