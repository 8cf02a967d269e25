"""A ring of rows, read as 16-bit words in order: slice headers, values, or a list."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import WORD_BITS
from hw.sram import Sram


class WordRing(wiring.Component):
    """Rows are appended; words are read from any row on.

    i: rows, not ready while the ring is full. tail: the first row still needed.
    word: the current word, where `available`: its row was written. advance: the next word is the current
    one from the next cycle on. jump, to: the first word of row `to` is. row: of the current word.
    Pointers count modulo twice the rows, so that full and empty differ.
    """

    def __init__(self, *, macro: str, width: int, rows: int) -> None:
        self.macro, self.width, self.rows = macro, width, rows
        self.pointer = (rows - 1).bit_length() + 1
        super().__init__(
            {
                "i": In(stream.Signature(width)),
                "tail": In(self.pointer),
                "advance": In(1),
                "jump": In(1),
                "to": In(self.pointer),
                "word": Out(WORD_BITS),
                "available": Out(1),
                "row": Out(self.pointer),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = self.width // WORD_BITS
        m.submodules.ring = ring = Sram(macro=self.macro, width=self.width, depth=self.rows)
        write, read = ring.write_port(), ring.read_port()
        head = Signal(self.pointer)
        level = Signal(self.pointer)
        column = Signal(range(words))
        row_ends = Signal()
        moves = Signal()
        following = Signal(self.pointer)  # the row of the next cycle
        # What moves on comes late in a cycle: each outcome is compared before, and then chosen.
        m.d.comb += [
            level.eq(head - self.tail),
            self.i.ready.eq(level != self.rows),
            write.addr.eq(head),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid & self.i.ready),
            row_ends.eq(column == words - 1),
            moves.eq(self.advance & row_ends),
            following.eq(Mux(self.jump, self.to, Mux(moves, self.row + 1, self.row))),
            read.addr.eq(following),
            read.en.eq(~self.available | Mux(self.jump, self.to != self.row, moves)),
            self.word.eq(read.data.word_select(column, WORD_BITS)),
        ]
        with m.If(write.en):
            m.d.sync += head.eq(head + 1)
        with m.If(self.jump):
            m.d.sync += column.eq(0)
        with m.Elif(self.advance):
            m.d.sync += column.eq(column + 1)
        there = Mux(moves, (self.row + 1)[: self.pointer] != head, self.row != head)
        m.d.sync += [
            self.row.eq(following),
            self.available.eq(Mux(self.jump, self.to != head, there)),
        ]
        return m
