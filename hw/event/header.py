"""The header unit of a PE: which places of the list its filter needs next, ahead of the caster."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import WORD_BITS, Config
from hw.event.program import POSITION_BITS, SLICE_HEADER, SUBS
from hw.widths import KERNEL

ROW_BITS = 8


class HeaderUnit(wiring.Component):
    """Decodes a slice header a cycle, up to the next beat's last one, pass after pass over a segment's.

    rows: how many rows of headers each segment has. word, available, row, advance, jump, to, tail: of their ring.
    active: the segment may be read. pass_end: the caster ends a pass; with segment_end the segment.
    known: it is known whether a place is needed: `position`, where `positioned`, or none any more.
    complete: all taps of that place are in `taps`; a beat without a last header ends with the pass. take: the caster hands the slice out.
    All three are registers, since the caster asks in the cycle in which it hands out: that there are no more headers is known a
    cycle after it is seen, as a header is.
    """

    def __init__(self, config: Config, pointer: int) -> None:
        self.pointer = pointer
        super().__init__(
            {
                "rows": In(stream.Signature(ROW_BITS)),
                "word": In(WORD_BITS),
                "available": In(1),
                "row": In(pointer),
                "advance": Out(1),
                "jump": Out(1),
                "to": Out(pointer),
                "tail": Out(pointer),
                "active": In(1),
                "pass_end": In(1),
                "segment_end": In(1),
                "known": Out(1),
                "positioned": Out(1),
                "position": Out(POSITION_BITS),
                "complete": Out(1),
                "taps": Out(SUBS * KERNEL),
                "take": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        have = Signal()  # the segment's number of rows is known
        rows = Signal(ROW_BITS)
        start = Signal(self.pointer)
        end = Signal(self.pointer)
        cursor = Signal(POSITION_BITS)
        here = Signal(POSITION_BITS)
        ended = Signal()
        opens = Signal()
        ends_segment = Signal()
        last = Signal()  # the beat's last header was read
        over = Signal()  # and the pass's
        header = Signal(SLICE_HEADER)
        gap = header.as_value()[KERNEL:]
        m.d.comb += [
            header.eq(self.word),
            end.eq(start + rows),
            ended.eq(have & ((self.row == end) | (self.available & (self.word == 0)))),
            opens.eq(~self.positioned | self.take),
            here.eq(cursor + header.skip),
            self.known.eq(self.positioned | over),
            self.complete.eq(last | over),
            self.advance.eq(
                self.active & have & self.available & ~ended & ~self.pass_end & (~last | self.take)
            ),
            ends_segment.eq(self.pass_end & self.segment_end),
            self.rows.ready.eq(~have | ends_segment),
            self.jump.eq(self.pass_end),
            self.to.eq(Mux(self.segment_end, end, start)),
            self.tail.eq(start),
        ]
        m.d.sync += over.eq(self.active & ended & ~self.pass_end)
        with m.If(self.take):
            m.d.sync += [self.positioned.eq(0), last.eq(0)]
        with m.If(self.advance):
            with m.If(header.wsp == 0):
                m.d.sync += cursor.eq(cursor + gap)
            with m.Else():
                taps = header.wsp << (header.sub * KERNEL)
                m.d.sync += [
                    self.positioned.eq(1),
                    last.eq(header.last),
                    self.taps.eq(Mux(opens, taps, self.taps | taps)),
                ]
                with m.If(opens):
                    m.d.sync += [self.position.eq(here), cursor.eq(here + 1)]
        with m.If(self.pass_end):
            m.d.sync += [self.positioned.eq(0), last.eq(0), cursor.eq(0)]
        with m.If(ends_segment):
            m.d.sync += [start.eq(end), have.eq(0)]
        with m.If(self.rows.ready & self.rows.valid):
            m.d.sync += [rows.eq(self.rows.payload), have.eq(1)]
        return m
