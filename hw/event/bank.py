"""A bank of a PE's accumulators: one position a cycle, all its ticks."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.event.planes import bank_rows
from hw.event.taps import row_bits
from hw.sram import UNUSED_COLLISIONS


class Bank(wiring.Component):
    """Reads, adds and writes in one cycle.

    add: the weight is added to `row` in the ticks of `spikes`. drain: the row is read for the last time: its
    next sum starts from the bias again. sums: of `row`, in the same cycle, before the weight is added.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        accumulator = signed(config.accumulator_bits)
        super().__init__(
            {
                "add": In(1),
                "drain": In(1),
                "row": In(row_bits(config)),
                "spikes": In(config.ticks),
                "weight": In(signed(config.weight_bits)),
                "bias": In(accumulator),
                "sums": Out(data.ArrayLayout(accumulator, config.ticks)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        rows = bank_rows(config)
        fresh = Signal(rows, init=(1 << rows) - 1)  # nothing was added since the last drain
        starts = Signal()
        m.d.comb += starts.eq(fresh.bit_select(self.row, 1))
        # Sixteen rows are what one LUT RAM of an FPGA has.
        attributes = {**UNUSED_COLLISIONS, "ram_style": "distributed"}
        for t in range(config.ticks):
            memory = Memory(
                shape=signed(config.accumulator_bits), depth=rows, init=[], attrs=attributes
            )
            m.submodules[f"accumulators_{t}"] = memory
            read, write = memory.read_port(domain="comb"), memory.write_port()
            m.d.comb += [
                read.addr.eq(self.row),
                self.sums[t].eq(Mux(starts, self.bias, read.data)),
                write.addr.eq(self.row),
                write.en.eq(self.add & (self.spikes[t] | starts)),
                write.data.eq(self.sums[t] + Mux(self.spikes[t], self.weight, 0)),
            ]
        with m.If(self.add):
            m.d.sync += fresh.bit_select(self.row, 1).eq(0)
        with m.If(self.drain):
            m.d.sync += fresh.bit_select(self.row, 1).eq(1)
        return m
