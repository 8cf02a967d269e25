"""A serial line, 8N1: bytes in and out as streams."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out


class Receiver(wiring.Component):
    """rx: the line. o: its bytes; one that is not taken before the next comes is lost.

    divisor: clock cycles a bit, at least 4.
    """

    def __init__(self, divisor: int) -> None:
        if divisor < 4:
            raise ValueError(f"divisor = {divisor}, allowed: 4 and more")
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rx = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, rx, init=1)
        timer = Signal(range(self.divisor + self.divisor // 2))
        left = Signal(range(10))  # bits to come, the stop bit included; 0: idle
        shift = Signal(8)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        broken = Signal()  # a stop bit was 0: no byte until the line has rested
        with m.If(rx):
            m.d.sync += broken.eq(0)
        with m.If(left == 0):
            with m.If(~rx & ~broken):  # the first sample is in the middle of the first bit
                m.d.sync += [left.eq(9), timer.eq(self.divisor + self.divisor // 2 - 1)]
        with m.Elif(timer == 0):
            m.d.sync += [left.eq(left - 1), timer.eq(self.divisor - 1)]
            with m.If(left != 1):
                m.d.sync += shift.eq(Cat(shift[1:], rx))
            with m.Elif(rx):
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(shift)]
            with m.Else():
                m.d.sync += broken.eq(1)
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
        return m


class Transmitter(wiring.Component):
    """tx: the line. i: bytes to send. divisor: clock cycles a bit."""

    def __init__(self, divisor: int) -> None:
        if divisor < 4:
            raise ValueError(f"divisor = {divisor}, allowed: 4 and more")
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer, left = Signal(range(self.divisor)), Signal(range(11))
        shift = Signal(10, init=0x3FF)
        m.d.comb += [self.tx.eq(shift[0]), self.i.ready.eq(left == 0)]
        with m.If(left == 0):
            with m.If(self.i.valid):
                m.d.sync += shift.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1)))
                m.d.sync += [left.eq(10), timer.eq(self.divisor - 1)]
        with m.Elif(timer == 0):
            m.d.sync += [left.eq(left - 1), timer.eq(self.divisor - 1)]
            m.d.sync += shift.eq(Cat(shift[1:], Const(1, 1)))
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
        return m
