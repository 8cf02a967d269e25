"""The weight scratchpad of a PE: a ring of 64-bit rows, four 16-bit words each; one write, one read port."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import STREAM_BITS, Config
from hw.sram import Sram


def pointer_bits(config: Config) -> int:
    """Bits of a row pointer: one more than an address, so that full and empty differ."""
    return (config.scratchpad_rows - 1).bit_length() + 1


class Scratchpad(wiring.Component):
    """A ring: loading runs ahead of reading until `tail` rows are freed.

    i: rows to append; not ready while the ring is full.
    head: row after the last one written. tail: first row still needed.
    read: a row is read, `row`, which stays, and is not freed, until the next read. data: its content from
    the next cycle on; rows from `head` on are not there yet.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        pointer = pointer_bits(config)
        super().__init__(
            {
                "i": In(stream.Signature(STREAM_BITS)),
                "head": Out(pointer),
                "tail": In(pointer),
                "read": In(1),
                "row": In(pointer),
                "data": Out(STREAM_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = self.config.scratchpad_rows
        m.submodules.ring = ring = Sram(macro="uticket_scratchpad", width=STREAM_BITS, depth=rows)
        write, read = ring.write_port(), ring.read_port()
        level = Signal(len(self.head))
        m.d.comb += [
            level.eq(self.head - self.tail),
            self.i.ready.eq(level != rows),
            write.addr.eq(self.head),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid & self.i.ready),
            read.en.eq(self.read),
            read.addr.eq(self.row),
            self.data.eq(read.data),
        ]
        with m.If(write.en):
            m.d.sync += self.head.eq(self.head + 1)
        return m
