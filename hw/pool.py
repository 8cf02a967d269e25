"""The output of a PE: spikes, OR-pooled or not, gathered into a word of the output map."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config


class OutputWord(wiring.Component):
    """Collects a tile's spikes, and the tiles of a word, by OR.

    valid, y, x, spikes: a neuron of a tile. pool: 2x2 OR-pooling (max-pool on spikes).
    row, column: where the tile starts in the word. clear: the word was taken.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        bits = config.tile_side.bit_length() - 1
        super().__init__(
            {
                "valid": In(1),
                "y": In(bits),
                "x": In(bits),
                "spikes": In(config.ticks),
                "pool": In(1),
                "row": In(bits),
                "column": In(bits),
                "clear": In(1),
                "word": Out(config.word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        side, ticks = self.config.tile_side, self.config.ticks
        y, x = Signal(len(self.y)), Signal(len(self.x))
        spread = Signal(side * ticks)  # the spikes at their column
        m.d.comb += [
            y.eq(self.row + Mux(self.pool, self.y >> 1, self.y)),
            x.eq(self.column + Mux(self.pool, self.x >> 1, self.x)),
        ]
        for column in range(side):
            with m.If(x == column):
                m.d.comb += spread.word_select(column, ticks).eq(self.spikes)
        with m.If(self.clear):
            m.d.sync += self.word.eq(0)
        with m.Elif(self.valid):
            for r in range(side):
                with m.If(y == r):
                    part = self.word.word_select(r, side * ticks)
                    m.d.sync += part.eq(part | spread)
        return m
