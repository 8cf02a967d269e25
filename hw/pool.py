"""The output of a PE: spikes, OR-pooled or not, gathered into a word of the output map."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config


class OutputWord(wiring.Component):
    """Collects a tile's spikes, and the tiles of a word, by OR.

    valid, y, x, spikes: a neuron of a tile; several of them side by side, from a multiple of `neurons` on.
    pool: 2x2 OR-pooling (max-pool on spikes).
    row, column: where the tile starts in the word. clear: the word was taken.
    """

    def __init__(self, config: Config, neurons: int = 1) -> None:
        self.config, self.neurons = config, neurons
        bits = config.tile_side.bit_length() - 1
        super().__init__(
            {
                "valid": In(neurons),
                "y": In(bits),
                "x": In(bits),
                "spikes": In(neurons * config.ticks),
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
        y = Signal(len(self.y))
        spread = Signal(side * ticks)  # the spikes at their column
        m.d.comb += [
            y.eq(self.row + Mux(self.pool, self.y >> 1, self.y)),
        ]
        placed: list[list[Value]] = [[] for _ in range(side)]  # what each neuron has for a column
        for k in range(self.neurons):
            x = Signal(len(self.x), name=f"x_{k}")
            spikes = self.spikes.word_select(k, ticks)
            if self.neurons > 1:
                spikes = Mux(self.valid[k], spikes, 0)
            here = self.x + k if k else self.x
            m.d.comb += x.eq(self.column + Mux(self.pool, here >> 1, here))
            for column in range(side):
                placed[column].append(Mux(x == column, spikes, 0))
        for column, parts in enumerate(placed):
            m.d.comb += spread.word_select(column, ticks).eq(reduce(or_, parts))
        with m.If(self.clear):
            m.d.sync += self.word.eq(0)
        with m.Elif(self.valid.any()):
            for r in range(side):
                with m.If(y == r):
                    part = self.word.word_select(r, side * ticks)
                    m.d.sync += part.eq(part | spread)
        return m
