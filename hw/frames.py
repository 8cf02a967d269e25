"""The results' way out of the chip: frames stay whole, whatever is reset behind them."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.loader import beat_layout


class Frames(wiring.Component):
    """A register in the stream of results, which a reset of the array does not touch.

    reset: the array is reset at the end of this cycle. A beat that is offered stays; if it or those before
    it began a frame that will not go on, one more beat of zeros, with `last`, ends that frame.
    stale: the beat that is offered comes from before a reset, or ends such a frame.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "reset": In(1),
                "i": In(stream.Signature(beat_layout())),
                "o": Out(stream.Signature(beat_layout())),
                "stale": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        in_frame = Signal()  # a frame was begun
        broken = Signal()  # it will not go on
        free = Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(free & ~broken & ~self.reset),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.eq(self.i.payload),
                self.stale.eq(0),
                in_frame.eq(~self.i.payload.last),
            ]
        with m.If(self.reset):
            m.d.sync += [self.stale.eq(1), broken.eq(in_frame)]
        with m.If(broken & free):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.data.eq(0),
                self.o.payload.last.eq(1),
                self.stale.eq(1),
                in_frame.eq(0),
                broken.eq(0),
            ]
        return m
