"""The visits of a layer: tile after tile, and each tile round after round of its ticks."""

from __future__ import annotations

from amaranth import Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.geometry import geometry_layout
from hw.tile_counter import TileCounter
from hw.widths import BLOCK_BITS, ROUND_BITS


class Visits(wiring.Component):
    """A round is as many ticks as a PE has lanes; the potentials of a tile wait for its next one. Or it is an image of a batch.

    layer_start: a pulse, before the first visit. more_rounds: beside the first. step: moves on.
    y, x, word_last: see hw.tile_counter.TileCounter. first_round, last_round: of the tile. last: of all visits.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "layer_start": In(1),
                "geometry": In(geometry_layout(config)),
                "more_rounds": In(ROUND_BITS),
                "step": In(1),
                "y": Out(BLOCK_BITS),
                "x": Out(BLOCK_BITS),
                "word_last": Out(1),
                "first_round": Out(1),
                "last_round": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tiles = TileCounter(self.config)
        m.submodules.tiles = ResetInserter(self.layer_start)(tiles)
        number = Signal(ROUND_BITS)
        m.d.comb += [
            tiles.geometry.eq(self.geometry),
            tiles.step.eq(self.step & self.last_round),
            self.y.eq(tiles.y),
            self.x.eq(tiles.x),
            self.word_last.eq(tiles.word_last),
            self.first_round.eq(number == 0),
            self.last_round.eq(number == self.more_rounds),
            self.last.eq(tiles.last & self.last_round),
        ]
        with m.If(self.step):
            m.d.sync += number.eq(number + 1)
            with m.If(self.last_round):
                m.d.sync += number.eq(0)
        with m.If(self.layer_start):
            m.d.sync += number.eq(0)
        return m


class RoundBase(wiring.Component):
    """Where a round's part of a map begins: the parts lie one behind the other.

    layer_start, step, last_round: as of `Visits`. base: of the map; words: of a part, in each bank. at: of this round.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        super().__init__(
            {
                "layer_start": In(1),
                "step": In(1),
                "last_round": In(1),
                "base": In(bits),
                "words": In(bits),
                "at": Out(bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.step):
            m.d.sync += self.at.eq(Mux(self.last_round, self.base, self.at + self.words))
        with m.If(self.layer_start):
            m.d.sync += self.at.eq(self.base)
        return m
