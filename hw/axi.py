"""The chip on AXI: the program and its results as AXI4-Stream, registers behind AXI4-Lite."""

from __future__ import annotations

from amaranth import Cat, ClockSignal, Const, DomainRenamer, Module, ResetSignal, Signal, Value
from amaranth.hdl import ClockDomain
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from hw.axi_lite import INSIDE, AxiLite
from hw.config import STREAM_BITS, Config
from hw.frames import Frames
from hw.machines import machine
from hw.program import MAGIC
from hw.registers import ADDRESS, EVENTS, REGISTER_BITS, REGISTERS


class TopAxi(wiring.Component):
    """Either machine's top on AXI. Ports are named as AXI names them; reset is `rst`, active high.

    s_axil: AXI4-Lite slave, the registers of registers.py. s_axis: AXI4-Stream slave, the program.
    m_axis: AXI4-Stream master, the results. irq: the interrupt line, high while an enabled event is pending.

    After an error: CONTROL.drain until the rest of the bad program is gone, then CONTROL.reset. Where results
    of the program were out already, one more beat of zeros, with TLAST, ends their frame; no counter counts it.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.machine = config, machine(config)
        self.registers = AxiLite()
        axi = [name for name in self.registers.signature.members if name not in INSIDE]
        members = self.registers.signature.members
        super().__init__(
            {
                **{f"s_axil_{name}": members[name] for name in axi},
                "s_axil_awprot": In(3),
                "s_axil_arprot": In(3),
                "s_axis_tdata": In(self.machine.stream_bits),
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

        reset = Signal()
        drain = Signal()
        control = ADDRESS["CONTROL"] // 4
        m.d.comb += reset.eq(self._written("CONTROL"))
        with m.If(registers.write[control] & registers.mask[1]):
            m.d.sync += drain.eq(registers.data[1])
        top = self.machine.top(config)
        m.domains.chip = chip = ClockDomain(local=True)
        m.d.comb += [chip.clk.eq(ClockSignal()), chip.rst.eq(ResetSignal() | reset)]
        m.submodules.top = DomainRenamer("chip")(top)
        m.submodules.frames = frames = Frames()
        connect(m, top.results, frames.i)
        m.d.comb += [
            top.program.payload.data.eq(self.s_axis_tdata),
            top.program.payload.last.eq(self.s_axis_tlast),
            top.program.valid.eq(self.s_axis_tvalid & ~drain),
            self.s_axis_tready.eq(top.program.ready | drain),
            frames.reset.eq(reset),
            self.m_axis_tdata.eq(frames.o.payload.data),
            self.m_axis_tlast.eq(frames.o.payload.last),
            self.m_axis_tvalid.eq(frames.o.valid),
            frames.o.ready.eq(self.m_axis_tready),
        ]

        # --- what happens ---
        beat_in = top.program.valid & top.program.ready
        beat_out = frames.o.valid & frames.o.ready & ~frames.stale
        done = beat_out & frames.o.payload.last
        in_program = Signal()  # a program was begun
        failed = Signal()
        begun = beat_in & ~in_program
        running = Signal(range(4))  # one computes, one's counters and one's last beat wait
        busy = running != 0
        with m.If(beat_in):
            m.d.sync += in_program.eq(~self.s_axis_tlast)
        m.d.sync += running.eq(running + begun - done)
        m.d.sync += failed.eq(top.error != 0)
        events = {"done": done, "error": (top.error != 0) & ~failed}
        pending = Signal(len(EVENTS))
        enabled = Signal(len(EVENTS))
        self._interrupt(m, events, pending, enabled)
        steps = {
            "PROGRAMS": done,
            "LAYERS": top.layer_end,
            "BEATS_IN": beat_in,
            "BEATS_OUT": beat_out,
        }
        counts = self._counted(m, steps, busy, begun)
        with m.If(reset):
            states = (running, in_program, failed, *counts.values())
            m.d.sync += [state.eq(0) for state in states]

        hardware = (config.n_pe, config.ticks, config.tile_side, self.machine.version)
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

    def _written(self, register: str, low: int = 0) -> Value:
        """Whether bit `low` of a register is written with 1."""
        k = ADDRESS[register] // 4
        registers = self.registers
        return registers.write[k] & registers.mask[low] & registers.data[low]

    def _interrupt(
        self, m: Module, events: dict[str, Value], pending: Signal, enabled: Signal
    ) -> None:
        """Events are pending until the host clears them; those it enabled raise the line."""
        for k, (name, _) in enumerate(EVENTS):
            with m.If(self._written("INTERRUPT_STATUS", k)):
                m.d.sync += pending[k].eq(0)
            with m.If(events[name]):
                m.d.sync += pending[k].eq(1)
        enable = ADDRESS["INTERRUPT_ENABLE"] // 4
        with m.If(self.registers.write[enable] & self.registers.mask[0]):
            m.d.sync += enabled.eq(self.registers.data)
        m.d.comb += self.irq.eq((pending & enabled).any())

    def _counted(
        self, m: Module, steps: dict[str, Value], busy: Value, begun: Value
    ) -> dict[str, Signal]:
        """The counters by their registers' names; CYCLES starts again with each program after a pause."""
        counts = {name: Signal(REGISTER_BITS, name=name.lower()) for name in (*steps, "CYCLES")}
        for name, step in steps.items():
            m.d.sync += counts[name].eq(counts[name] + step)
        with m.If(busy):
            m.d.sync += counts["CYCLES"].eq(counts["CYCLES"] + 1)
        with m.Elif(begun):
            m.d.sync += counts["CYCLES"].eq(1)
        return counts
