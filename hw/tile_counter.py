"""The tiles of a map, one after the other."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.geometry import geometry_layout
from hw.widths import BLOCK_BITS


class TileCounter(wiring.Component):
    """The tiles of a map in the order in which output words complete.

    Word after word, each word's tiles row by row. `step` moves on; after the last tile comes the
    first again. A new geometry counts from the next cycle on.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "geometry": In(geometry_layout(config)),
                "step": In(1),
                "y": Out(BLOCK_BITS),
                "x": Out(BLOCK_BITS),
                "word_last": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        blocks = down = self.geometry.blocks
        if self.config.machine == "event":
            down = self.geometry.blocks_down
        mask = Signal(BLOCK_BITS)
        more_x = Signal()
        more_y = Signal()  # as `more_x`: tiles of the word to come in this row, in this column
        end_x = Signal()
        end_y = Signal()  # as `end_x`: of the map
        # the word's first tile
        word_row = Signal(BLOCK_BITS)
        word_column = Signal(BLOCK_BITS)
        next_y = Signal(BLOCK_BITS)
        next_x = Signal(BLOCK_BITS)
        m.d.comb += [
            mask.eq(self.geometry.sub_mask),
            word_row.eq(self.y & ~mask),
            word_column.eq(self.x & ~mask),
            self.word_last.eq(~more_x & ~more_y),
            self.last.eq(end_x & end_y),
            next_y.eq(self.y),
            next_x.eq(self.x + 1),
        ]
        with m.If(~more_x & more_y):
            m.d.comb += [next_x.eq(word_column), next_y.eq(self.y + 1)]
        with m.Elif(~more_x & ~end_x):
            m.d.comb += next_y.eq(word_row)
        with m.Elif(~more_x):
            m.d.comb += [next_x.eq(0), next_y.eq(Mux(end_y, 0, self.y + 1))]

        # What is said of a tile comes out of registers: it decides much in the cycle of a `step`.
        for y, x, enable in ((self.y, self.x, ~self.step), (next_y, next_x, self.step)):
            with m.If(enable):
                m.d.sync += [
                    self.y.eq(y),
                    self.x.eq(x),
                    end_y.eq(y == down),
                    end_x.eq(x == blocks),
                    more_y.eq(((y & mask) != mask) & (y != down)),
                    more_x.eq(((x & mask) != mask) & (x != blocks)),
                ]
        return m
