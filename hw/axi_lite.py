"""An AXI4-Lite slave for the registers of registers.py."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.registers import REGISTER_BITS, REGISTERS

ADDRESS_BITS = 12
OKAY, SLVERR = 0, 2


INSIDE = ("values", "write", "data", "mask")
"""Ports between it and the chip; the others are AXI's."""


class AxiLite(wiring.Component):
    """AXI4-Lite slave of 32 bits. SLVERR for an address of no register and a write to a read-only one.

    values: what reads get, a register after another. write: a pulse for each register, in the cycle
    after its address and data were taken; data, mask: what is written, and which bits of it.
    No output depends on an input of the same cycle, as AXI demands.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "awaddr": In(ADDRESS_BITS),
                "awvalid": In(1),
                "awready": Out(1),
                "wdata": In(REGISTER_BITS),
                "wstrb": In(REGISTER_BITS // 8),
                "wvalid": In(1),
                "wready": Out(1),
                "bresp": Out(2),
                "bvalid": Out(1),
                "bready": In(1),
                "araddr": In(ADDRESS_BITS),
                "arvalid": In(1),
                "arready": Out(1),
                "rdata": Out(REGISTER_BITS),
                "rresp": Out(2),
                "rvalid": Out(1),
                "rready": In(1),
                "values": In(len(REGISTERS) * REGISTER_BITS),
                "write": Out(len(REGISTERS)),
                "data": Out(REGISTER_BITS),
                "mask": Out(REGISTER_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = len(REGISTERS)
        writable = Const(sum(r.writable << k for k, r in enumerate(REGISTERS)), count)
        taking = Signal()
        taken = Signal()
        m.d.sync += taking.eq(self.awvalid & self.wvalid & ~self.bvalid & ~taking)
        m.d.comb += [
            taken.eq(taking & self.awvalid & self.wvalid),
            self.awready.eq(taking),
            self.wready.eq(taking),
            self.arready.eq(~self.rvalid),
        ]
        register = self.awaddr[2:]
        allowed = (register < count) & writable.bit_select(register[: count.bit_length()], 1)
        m.d.sync += [
            self.write.eq(Mux(taken & allowed, 1 << register[: count.bit_length()], 0)),
            self.data.eq(self.wdata),
            self.mask.eq(Cat(strobe.replicate(8) for strobe in self.wstrb)),
        ]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(taken):
            m.d.sync += [self.bvalid.eq(1), self.bresp.eq(Mux(allowed, OKAY, SLVERR))]
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(self.arvalid & self.arready):
            m.d.sync += [self.rvalid.eq(1), self.rresp.eq(SLVERR), self.rdata.eq(0)]
            for k in range(count):
                with m.If(self.araddr[2:] == k):
                    value = self.values.word_select(k, REGISTER_BITS)
                    m.d.sync += [self.rresp.eq(OKAY), self.rdata.eq(value)]
        return m
