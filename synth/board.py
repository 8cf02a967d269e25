"""The array on an FPGA board: a serial line to the host, a PLL, and lights.

The host sends, for each program, the number of its beats (8 bytes) and the beats (`stream_bits` each), all low byte
first. It may have CREDIT beats under way, and as many more for each CREDIT_BYTE that comes back. Results come as
RESULT_BYTE (LAST_BYTE for the last one), then 8 bytes. ERROR_BYTE + e says that the array stopped with
loader.Error e; it takes a new program after the board's reset.
"""

from __future__ import annotations

from amaranth import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    Instance,
    Module,
    Mux,
    ResetSignal,
    Signal,
)
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out, connect

from hw.config import STREAM_BITS, Config
from hw.loader import Error, beat_layout
from hw.machines import machine
from synth.boards import CLOCKS
from synth.uart import Receiver, Transmitter

CREDIT = 32
CREDIT_BYTE, RESULT_BYTE, LAST_BYTE, ERROR_BYTE = 1, 2, 3, 8
BYTES = STREAM_BITS // 8


class Link(wiring.Component):
    """Bytes to and from the host; program, results, error: the top's. stream_bits: of a beat of the program."""

    def __init__(self, stream_bits: int = STREAM_BITS) -> None:
        self.stream_bits = stream_bits
        beat = data.StructLayout({"data": stream_bits, "last": 1})
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "program": Out(stream.Signature(beat)),
                "results": In(stream.Signature(beat_layout())),
                "error": In(Error),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.stream_bits
        m.submodules.queue = queue = SyncFIFOBuffered(width=bits + 1, depth=2 * CREDIT)
        word, place = Signal(bits), Signal(range(bits // 8))
        left = Signal(32)  # beats of the program to come; 0: its length comes next
        whole = Signal(bits)
        complete = Signal()
        m.d.comb += [
            self.i.ready.eq(1),  # the host keeps to its credit
            whole.eq(Cat(word[8:], self.i.payload)),
            complete.eq(self.i.valid & (place == Mux(left == 0, BYTES, bits // 8) - 1)),
            queue.w_data.eq(Cat(whole, left == 1)),
            queue.w_en.eq(complete & (left != 0)),
            self.program.payload.eq(queue.r_data),
            self.program.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.program.ready),
        ]
        with m.If(self.i.valid):
            m.d.sync += [word.eq(whole), place.eq(place + 1)]
        with m.If(complete):
            m.d.sync += [place.eq(0), left.eq(left - 1)]
            with m.If(left == 0):
                m.d.sync += left.eq(whole[-STREAM_BITS:])

        taken, credits = Signal(range(CREDIT)), Signal(8)
        grant, give = Signal(), Signal()
        m.d.comb += grant.eq(queue.r_en & queue.r_rdy & (taken == CREDIT - 1))
        with m.If(queue.r_en & queue.r_rdy):
            m.d.sync += taken.eq(taken + 1)
        m.d.sync += credits.eq(credits + grant - give)

        out, bytes_left = Signal(STREAM_BITS), Signal(range(BYTES + 1))
        told = Signal()  # of the error
        m.d.comb += self.o.valid.eq(1)
        with m.If(bytes_left != 0):
            m.d.comb += self.o.payload.eq(out[:8])
            with m.If(self.o.ready):
                m.d.sync += [out.eq(out >> 8), bytes_left.eq(bytes_left - 1)]
        with m.Elif(credits != 0):
            m.d.comb += [self.o.payload.eq(CREDIT_BYTE), give.eq(self.o.ready)]
        with m.Elif((self.error != Error.NONE) & ~told):
            m.d.comb += self.o.payload.eq(ERROR_BYTE + self.error)
            m.d.sync += told.eq(self.o.ready)
        with m.Elif(self.results.valid):
            last = self.results.payload.last
            m.d.comb += self.o.payload.eq(Cat(last, Const(RESULT_BYTE >> 1, 7)))
            m.d.comb += self.results.ready.eq(self.o.ready)
            with m.If(self.o.ready):
                m.d.sync += [out.eq(self.results.payload.data), bytes_left.eq(BYTES)]
        with m.Else():
            m.d.comb += self.o.valid.eq(0)
        return m


class Core(wiring.Component):
    """The array behind a serial line of clock / divisor baud.

    leds: a beat came since the last result that ended a program; the error.
    """

    def __init__(self, config: Config, divisor: int) -> None:
        self.config, self.divisor = config, divisor
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "leds": Out(4)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.receiver = receiver = Receiver(self.divisor)
        m.submodules.transmitter = transmitter = Transmitter(self.divisor)
        chosen = machine(self.config)
        m.submodules.link = link = Link(chosen.stream_bits)
        m.submodules.top = top = chosen.top(self.config)
        connect(m, receiver.o, link.i)
        connect(m, link.o, transmitter.i)
        connect(m, link.program, top.program)
        connect(m, top.results, link.results)
        running = Signal()
        with m.If(top.program.valid & top.program.ready):
            m.d.sync += running.eq(1)
        with m.If(top.results.valid & top.results.ready & top.results.payload.last):
            m.d.sync += running.eq(0)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            link.error.eq(top.error),
            self.leds.eq(Cat(running, top.error)),
        ]
        return m


ECP5_IN, ECP5_INSIDE = CLOCKS["ecp5"]
XILINX_IN, XILINX_INSIDE = CLOCKS["xilinx"]
PLLS = {
    "ecp5": lambda clk, out, feedback, locked, divider: Instance(
        "EHXPLLL",
        p_CLKI_DIV=1,
        p_CLKFB_DIV=ECP5_INSIDE // divider // ECP5_IN,
        p_CLKOP_DIV=divider,
        p_CLKOP_CPHASE=divider // 2 - 1,
        p_CLKOP_ENABLE="ENABLED",
        p_FEEDBK_PATH="CLKOP",
        a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8",
        i_RST=Const(0, 1),
        i_STDBY=Const(0, 1),
        i_PHASESEL0=Const(0, 1),
        i_PHASESEL1=Const(0, 1),
        i_PHASEDIR=Const(1, 1),
        i_PHASESTEP=Const(1, 1),
        i_PHASELOADREG=Const(1, 1),
        i_PLLWAKESYNC=Const(0, 1),
        i_ENCLKOP=Const(0, 1),
        i_CLKI=clk,
        i_CLKFB=out,
        o_CLKOP=out,
        o_LOCK=locked,
    ),
    "xilinx": lambda clk, out, feedback, locked, divider: Instance(
        "PLLE2_BASE",
        p_CLKIN1_PERIOD=1000 / XILINX_IN,
        p_CLKFBOUT_MULT=XILINX_INSIDE // XILINX_IN,
        p_CLKOUT0_DIVIDE=divider,
        p_DIVCLK_DIVIDE=1,
        i_CLKIN1=clk,
        i_RST=Const(0, 1),
        i_PWRDWN=Const(0, 1),
        i_CLKFBIN=feedback,
        o_CLKFBOUT=feedback,
        o_CLKOUT0=out,
        o_LOCKED=locked,
    ),
}


class Board(wiring.Component):
    """clk: the board's oscillator. button: 1 resets. rx, tx: of its serial converter. leds: Core's.

    vendor, divider: the PLL, see PLLS.
    """

    def __init__(self, config: Config, *, vendor: str, divider: int, divisor: int) -> None:
        self.config, self.vendor = config, vendor
        self.divider, self.divisor = divider, divisor
        super().__init__(
            {
                "clk_in": In(1),
                "button": In(1),
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "leds": Out(4),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        locked, feedback, clock = Signal(), Signal(), Signal()
        m.submodules.pll = PLLS[self.vendor](self.clk_in, clock, feedback, locked, self.divider)
        held = Signal(8, reset_less=True, init=0)
        m.domains.start = start = ClockDomain(reset_less=True, local=True)
        m.d.comb += [
            start.clk.eq(clock),
            ClockSignal().eq(clock),
            ResetSignal().eq(~held.all()),
        ]
        with m.If(~locked | self.button):
            m.d.start += held.eq(0)
        with m.Elif(~held.all()):
            m.d.start += held.eq(held + 1)
        m.submodules.core = core = Core(self.config, self.divisor)
        m.d.comb += [core.rx.eq(self.rx), self.tx.eq(core.tx), self.leds.eq(core.leds)]
        return m
