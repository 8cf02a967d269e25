"""The chip on AXI: the program and its results as AXI4-Stream, registers behind AXI4-Lite."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import STREAM_BITS, Config
from hw.program import MAGIC, VERSION
from hw.registers import ADDRESS, EVENTS, REGISTER_BITS, REGISTERS
from hw.top import Top

ADDRESS_BITS = 12
OKAY, SLVERR = 0, 2


INSIDE = ("values", "write", "data", "mask")
"""Ports of Registers between it and the chip."""


class Registers(wiring.Component):
    """AXI4-Lite slave of 32 bits. SLVERR for an address of no register and a write to a read-only one.

    values: what reads get, a register after another. write: a pulse for each register, in the cycle
    after its address and data were taken; data, mask: what is written, and which bits of it.
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
        taken = Signal()
        m.d.comb += [
            taken.eq(self.awvalid & self.wvalid & (~self.bvalid | self.bready)),
            self.awready.eq(taken),
            self.wready.eq(taken),
            self.arready.eq(~self.rvalid | self.rready),
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


class TopAxi(wiring.Component):
    """The top (top.py) on AXI. Ports are named as AXI names them; reset is `rst`, active high.

    s_axil: AXI4-Lite slave, the registers of registers.py. s_axis: AXI4-Stream slave, the program.
    m_axis: AXI4-Stream master, the results. irq: the interrupt line, high while an enabled event is pending.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.registers = Registers()
        axi = [name for name in self.registers.signature.members if name not in INSIDE]
        members = self.registers.signature.members
        super().__init__(
            {
                **{f"s_axil_{name}": members[name] for name in axi},
                "s_axil_awprot": In(3),
                "s_axil_arprot": In(3),
                "s_axis_tdata": In(STREAM_BITS),
                "s_axis_tlast": In(1),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "m_axis_tdata": Out(STREAM_BITS),
                "m_axis_tlast": Out(1),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.registers = registers = self.registers
        for name, member in registers.signature.members.items():
            if name not in INSIDE:
                ours, theirs = getattr(self, f"s_axil_{name}"), getattr(registers, name)
                m.d.comb += theirs.eq(ours) if member.flow == In else ours.eq(theirs)

        def written(register: str, low: int = 0) -> Value:
            """Whether bit `low` of a register is written with 1."""
            k = ADDRESS[register] // 4
            return registers.write[k] & registers.mask[low] & registers.data[low]

        reset, drain = Signal(), Signal()
        control = ADDRESS["CONTROL"] // 4
        m.d.comb += reset.eq(written("CONTROL"))
        with m.If(registers.write[control] & registers.mask[1]):
            m.d.sync += drain.eq(registers.data[1])
        top = Top(config)
        m.submodules.top = ResetInserter(reset)(top)
        m.d.comb += [
            top.program.payload.data.eq(self.s_axis_tdata),
            top.program.payload.last.eq(self.s_axis_tlast),
            top.program.valid.eq(self.s_axis_tvalid & ~drain),
            self.s_axis_tready.eq(top.program.ready | drain),
            self.m_axis_tdata.eq(top.results.payload.data),
            self.m_axis_tlast.eq(top.results.payload.last),
            self.m_axis_tvalid.eq(top.results.valid),
            top.results.ready.eq(self.m_axis_tready),
        ]

        # --- what happens ---
        beat_in = top.program.valid & top.program.ready
        beat_out = top.results.valid & top.results.ready
        done = beat_out & top.results.payload.last
        busy, failed = Signal(), Signal()
        m.d.sync += failed.eq(top.error != 0)
        events = {"done": done, "error": (top.error != 0) & ~failed}
        pending, enabled = Signal(len(EVENTS)), Signal(len(EVENTS))
        for k, (name, _) in enumerate(EVENTS):
            with m.If(written("INTERRUPT_STATUS", k)):
                m.d.sync += pending[k].eq(0)
            with m.If(events[name]):
                m.d.sync += pending[k].eq(1)
        enable = ADDRESS["INTERRUPT_ENABLE"] // 4
        with m.If(registers.write[enable] & registers.mask[0]):
            m.d.sync += enabled.eq(registers.data)
        m.d.comb += self.irq.eq((pending & enabled).any())

        # --- counters ---
        steps = {
            "PROGRAMS": done,
            "LAYERS": top.layer_end,
            "BEATS_IN": beat_in,
            "BEATS_OUT": beat_out,
        }
        counts = {name: Signal(REGISTER_BITS, name=name.lower()) for name in (*steps, "CYCLES")}
        for name, step in steps.items():
            m.d.sync += counts[name].eq(counts[name] + step)
        with m.If(beat_in & ~busy):
            m.d.sync += [busy.eq(1), counts["CYCLES"].eq(1)]
        with m.If(busy):
            m.d.sync += counts["CYCLES"].eq(counts["CYCLES"] + 1)
        with m.If(done):
            m.d.sync += busy.eq(0)
        with m.If(reset):
            m.d.sync += [busy.eq(0), failed.eq(0), *(count.eq(0) for count in counts.values())]

        hardware = (config.n_pe, config.ticks, config.tile_side, VERSION)
        values = {
            "ID": Const(MAGIC, REGISTER_BITS),
            "HARDWARE": Cat(Const(value, 8) for value in hardware),
            "CONTROL": Cat(Const(0, 1), drain),
            "STATUS": Cat(busy, top.error, self.irq),
            "INTERRUPT_ENABLE": enabled,
            "INTERRUPT_STATUS": pending,
            **counts,
        }
        for k, register in enumerate(REGISTERS):
            value = registers.values.word_select(k, REGISTER_BITS)
            m.d.comb += value.eq(values[register.name])
        return m
