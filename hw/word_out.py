"""The last step out of a PE: a word of the output map is handed over when its last tile is gathered."""

from __future__ import annotations

from amaranth import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.control import tile_layout
from hw.geometry import geometry_layout
from hw.program import layer_layout
from hw.widths import ADDRESS_BITS, BLOCK_BITS, CHANNEL_BITS

PART = {"base": ADDRESS_BITS, "part": 1, "down": 1, "right": 1}
"""Of a word of the event machine: where its map begins; whether one quarter of it alone is written, and which."""


def output_layout(config: Config) -> data.StructLayout:
    """A finished word of the output map, or the raw accumulators of a classifier's neuron."""
    return data.StructLayout(
        {
            "word": config.word_bits,
            "sums": data.ArrayLayout(signed(config.accumulator_bits), config.ticks),
            "filter": CHANNEL_BITS,
            "word_y": BLOCK_BITS,
            "word_x": BLOCK_BITS,
            **(PART if config.machine == "event" else {}),
        }
    )


class WordOut(wiring.Component):
    """index: of the PE. leaving: the tile that is gathered, held until `left`.

    gathered: a pulse, all of its spikes are in `word` from the next cycle on; sums: its last neuron's.
    row, column: where the tile starts in its word. output: a word that is complete, or sums; a word that
    the map does not have is dropped. clear: the word is taken or dropped.
    Of the event machine: base: of the map; part: each tile is handed over for itself.
    left: a pulse: the tile is gathered, and its word, if it completes one, is taken or dropped.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        bits = config.tile_side.bit_length() - 1
        more = {"base": In(ADDRESS_BITS), "part": In(1)}
        super().__init__(
            {
                **(more if config.machine == "event" else {}),
                "index": In(range(max(config.n_pe, 2))),
                "layer": In(layer_layout(config)),
                "geometry": In(geometry_layout(config)),
                "leaving": In(tile_layout(config)),
                "gathered": In(1),
                "word": In(config.word_bits),
                "sums": In(data.ArrayLayout(signed(config.accumulator_bits), config.ticks)),
                "row": Out(bits),
                "column": Out(bits),
                "clear": Out(1),
                "output": Out(stream.Signature(output_layout(config))),
                "left": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        leaving, geometry, output = self.leaving, self.geometry, self.output.payload
        taken = Signal()
        stored = Signal()
        down = geometry.words_down if self.config.machine == "event" else geometry.words
        dropped = Signal()  # of a missing filter, or outside after pooling
        m.d.comb += [
            self.row.eq((leaving.block_y & geometry.sub_mask) << geometry.pooled_shift),
            self.column.eq((leaving.block_x & geometry.sub_mask) << geometry.pooled_shift),
            output.word.eq(self.word),
            output.sums.eq(self.sums),
            output.filter.eq(leaving.group * self.config.n_pe + self.index),
            output.word_y.eq(leaving.block_y >> geometry.sub_shift),
            output.word_x.eq(leaving.block_x >> geometry.sub_shift),
            stored.eq(
                leaving.word_last
                & (output.filter < self.layer.filters)
                & (output.word_y <= down)
                & (output.word_x <= geometry.words)
            ),
            dropped.eq(self.gathered & leaving.word_last & ~stored),
            taken.eq(self.output.valid & self.output.ready),
            self.clear.eq(taken | dropped),
            self.left.eq(taken | (self.gathered & ~stored)),
        ]
        if self.config.machine == "event":
            m.d.comb += [
                output.base.eq(self.base),
                output.part.eq(self.part & (geometry.sub_shift != 0)),
                output.down.eq(leaving.block_y[0]),
                output.right.eq(leaving.block_x[0]),
            ]
        with m.If(self.gathered):
            m.d.sync += self.output.valid.eq(stored)
        with m.If(taken):
            m.d.sync += self.output.valid.eq(0)
        return m
