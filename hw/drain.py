"""The way out of a PE: sums of a finished tile -> averages -> spikes -> a word of the output map."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw import average
from hw.average import Average
from hw.config import Config
from hw.control import tile_layout
from hw.geometry import geometry_layout
from hw.lif import Lif
from hw.pool import OutputWord
from hw.program import LAYER
from hw.unreset import data_register
from hw.widths import BLOCK_BITS, CHANNEL_BITS

SUMMED = 1 + average.LATENCY
"""Cycles from a position to what its neuron gets."""


def output_layout(config: Config) -> data.StructLayout:
    """A finished word of the output map, or the raw accumulators of a classifier's neuron."""
    return data.StructLayout(
        {
            "word": config.word_bits,
            "sums": data.ArrayLayout(signed(config.accumulator_bits), config.ticks),
            "filter": CHANNEL_BITS,
            "word_y": BLOCK_BITS,
            "word_x": BLOCK_BITS,
        }
    )


def neuron_layout(config: Config) -> data.StructLayout:
    """A neuron on its way. valid: the tile has it; last: it stands where the sweep ends."""
    bits = config.tile_side.bit_length() - 1
    return data.StructLayout({"valid": 1, "last": 1, "y": bits, "x": bits})


class Drain(wiring.Component):
    """A position a cycle comes in; `Drain.latency` cycles later its spikes are in the word.

    draining, valid, last, y, x: the sweep drains, visits this position, and it is the last (sweep.py).
    sums: of the position of the cycle before. leaving: the tile, held until `left`. index: of the PE.
    output: a word that is complete, or sums; a word that the map does not have is dropped.
    left: a pulse: the tile is gathered, and its word, if it completes one, is taken or dropped.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        bits = config.tile_side.bit_length() - 1
        super().__init__(
            {
                "index": In(range(max(config.n_pe, 2))),
                "layer": In(LAYER),
                "geometry": In(geometry_layout(config)),
                "leaving": In(tile_layout(config)),
                "draining": In(1),
                "valid": In(1),
                "last": In(1),
                "y": In(bits),
                "x": In(bits),
                "sums": In(data.ArrayLayout(signed(config.accumulator_bits), config.lanes)),
                "output": Out(stream.Signature(output_layout(config))),
                "left": Out(1),
            }
        )

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles from a position to its spikes."""
        return SUMMED + Lif.latency(config)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer, leaving = self.layer, self.leaving
        m.submodules.average = averaged = Average(self.config)
        m.submodules.lif = lif = Lif(self.config)
        layout = neuron_layout(self.config)
        stages = range(self.latency(self.config) + 1)
        passing = [Signal(layout, name=f"passing_{k}") for k in stages]
        m.d.comb += [
            passing[0].valid.eq(
                self.draining & self.valid & (self.y < leaving.height) & (self.x < leaving.width)
            ),
            passing[0].last.eq(self.draining & self.last),
            passing[0].y.eq(self.y),
            passing[0].x.eq(self.x),
            averaged.enable.eq(layer.average),
            averaged.valid.eq(passing[1].valid),
            averaged.first.eq((passing[1].y == 0) & (passing[1].x == 0)),
            averaged.i.eq(self.sums),
            lif.valid.eq(passing[SUMMED].valid),
            lif.sums.eq(averaged.o),
            lif.threshold.eq(leaving.threshold),
        ]
        for before, after in pairwise(passing):
            m.d.sync += after.eq(before)
        sums = data_register(m, self.output.payload.sums, "sums_out")
        with m.If(passing[SUMMED].valid):
            m.d.sync += sums.eq(averaged.o)
        self._gather(m, passing[-1], lif.spikes)
        return m

    def _gather(self, m: Module, out: data.View, spikes: Signal) -> None:
        """Spikes into the word, and the word, when it is complete, out."""
        layer, leaving, geometry = self.layer, self.leaving, self.geometry
        m.submodules.output_word = word = OutputWord(self.config)
        output, taken = self.output.payload, Signal()
        stored, dropped = (
            Signal(),
            Signal(),
        )  # dropped: of a missing filter, or outside after pooling
        m.d.comb += [
            word.valid.eq(out.valid & (out.last | ~layer.average)),
            word.y.eq(Mux(layer.average, 0, out.y)),
            word.x.eq(Mux(layer.average, 0, out.x)),
            word.spikes.eq(spikes),
            word.pool.eq(layer.pool),
            word.row.eq((leaving.block_y & geometry.sub_mask) << geometry.pooled_shift),
            word.column.eq((leaving.block_x & geometry.sub_mask) << geometry.pooled_shift),
            word.clear.eq(taken | dropped),
            output.word.eq(word.word),
            output.filter.eq(leaving.group * self.config.n_pe + self.index),
            output.word_y.eq(leaving.block_y >> geometry.sub_shift),
            output.word_x.eq(leaving.block_x >> geometry.sub_shift),
            stored.eq(
                leaving.word_last
                & (output.filter < layer.filters)
                & (output.word_y <= geometry.words)
                & (output.word_x <= geometry.words)
            ),
            dropped.eq(out.last & leaving.word_last & ~stored),
            taken.eq(self.output.valid & self.output.ready),
            self.left.eq(taken | (out.last & ~stored)),
        ]
        with m.If(out.last):
            m.d.sync += self.output.valid.eq(stored)
        with m.If(taken):
            m.d.sync += self.output.valid.eq(0)
