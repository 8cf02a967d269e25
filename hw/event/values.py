"""The values of a PE: weights in the order of its taps, over and over in each pass of a segment."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import STREAM_BITS, WORD_BITS, Config
from hw.event.program import FILTER_HEADER, ring_rows
from hw.event.ring import WordRing

FILTER = data.StructLayout(
    {name: FILTER_HEADER[name].shape for name in ("value_rows", "bias", "threshold")}
)
"""What a filter header says behind the FIFO."""


class Values(wiring.Component):
    """filters: of each segment. rows: of values. filter: of the segment at work, where `have` it.

    word: the next tap's weight. take: it is taken. end: a pass ends, and with segment_end the segment.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "filters": In(stream.Signature(FILTER)),
                "rows": In(stream.Signature(STREAM_BITS)),
                "filter": Out(FILTER),
                "have": Out(1),
                "word": Out(WORD_BITS),
                "take": In(1),
                "end": In(1),
                "segment_end": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.ring = ring = WordRing(
            macro="uticket_value_ring", width=STREAM_BITS, rows=ring_rows(self.config)
        )
        depth = self.config.segment_depth
        m.submodules.queue = queue = SyncFIFOBuffered(width=FILTER.size, depth=depth)
        connect(m, flipped(self.rows), ring.i)
        begin = Signal(ring.pointer)
        end = Signal(ring.pointer)
        switch = Signal()
        m.d.comb += [
            self.filters.ready.eq(queue.w_rdy),
            queue.w_en.eq(self.filters.valid),
            queue.w_data.eq(self.filters.payload),
            self.word.eq(ring.word),
            switch.eq(self.end & self.segment_end),
            end.eq(begin + self.filter.value_rows),
            ring.advance.eq(self.take),
            ring.jump.eq(self.end),
            ring.to.eq(Mux(self.segment_end, end, begin)),
            ring.tail.eq(begin),
            queue.r_en.eq(~self.have | switch),
        ]
        with m.If(switch):
            m.d.sync += [begin.eq(end), self.have.eq(0)]
        with m.If(queue.r_en & queue.r_rdy):
            m.d.sync += [self.filter.eq(queue.r_data), self.have.eq(1)]
        return m
