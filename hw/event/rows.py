"""What a bank keeps: a row of sums a position, read and written in one cycle."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.event.planes import bank_rows


class Rows(wiring.Component):
    """at: a row, one-hot, or none. read: that row, or none. write: the ticks whose total goes into it. sums: of the row read, or 0.

    As memories, which simulate fast and become LUT RAM on an FPGA. `registers` has the same ports, for silicon.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        sums = data.ArrayLayout(signed(config.accumulator_bits), config.ticks)
        super().__init__(
            {
                "at": In(bank_rows(config)),
                "read": In(bank_rows(config)),
                "write": In(config.ticks),
                "totals": In(sums),
                "sums": Out(sums),
            }
        )

    def elaborate(self, platform: object) -> Module:
        if hasattr(platform, "get_rows"):  # of a platform of our own, as Amaranth's for memories
            return platform.get_rows(self)
        m = Module()
        rows = bank_rows(self.config)
        at = Signal(range(rows))
        there = Signal()
        m.d.comb += there.eq(self.at.any())
        for k in range(len(at)):  # the index of a one-hot value
            m.d.comb += at[k].eq(Cat(self.at[i] for i in range(rows) if i >> k & 1).any())
        for t in range(self.config.ticks):
            m.submodules[f"tick_{t}"] = memory = Memory(
                shape=self.config.accumulator_bits, depth=rows, init=[]
            )
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [
                write.addr.eq(at),
                write.data.eq(self.totals[t]),
                write.en.eq(self.write[t] & there),
                read.addr.eq(at),
                self.sums[t].eq(Mux(self.read.any(), read.data, 0)),
            ]
        return m

    def registers(self) -> Module:
        """A read is an AND and an OR a row, less than half of the gates of multiplexers that decode an address."""
        m = Module()
        bits, rows = self.config.accumulator_bits, bank_rows(self.config)
        for t in range(self.config.ticks):
            sums = [Signal(bits, name=f"sum_{t}_{r}", reset_less=True) for r in range(rows)]
            read: list[Value] = [
                Mux(here, one, 0) for here, one in zip(self.read, sums, strict=True)
            ]
            m.d.comb += self.sums[t].eq(reduce(or_, read))
            for here, one in zip(self.at, sums, strict=True):
                with m.If(self.write[t] & here):
                    m.d.sync += one.eq(self.totals[t])
        return m
