"""The way out of a PE: sums of a finished tile -> averages -> spikes -> a word of the output map."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw import average
from hw.average import Average
from hw.config import Config
from hw.control import tile_layout
from hw.geometry import geometry_layout
from hw.lif import Lif
from hw.pool import OutputWord
from hw.program import LAYER
from hw.unreset import data_register
from hw.word_out import WordOut, output_layout

SUMMED = 1 + average.LATENCY
"""Cycles from a position to what its neuron gets."""


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
        m.submodules.word_out = out = WordOut(self.config)
        connect(m, out.output, flipped(self.output))
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
            averaged.i[0].eq(self.sums),
            lif.valid.eq(passing[SUMMED].valid),
            lif.sums[0].eq(averaged.o),
            lif.threshold.eq(leaving.threshold),
        ]
        for before, after in pairwise(passing):
            m.d.sync += after.eq(before)
        sums = data_register(m, out.sums, "sums_out")
        with m.If(passing[SUMMED].valid):
            m.d.sync += sums.eq(averaged.o)
        self._gather(m, passing[-1], lif.spikes[0], out)
        return m

    def _gather(self, m: Module, neuron: data.View, spikes: Signal, out: WordOut) -> None:
        """Spikes into the word, and the word, when it is complete, out."""
        average = self.layer.average
        m.submodules.output_word = word = OutputWord(self.config)
        m.d.comb += [
            word.valid.eq(neuron.valid & (neuron.last | ~average)),
            word.y.eq(Mux(average, 0, neuron.y)),
            word.x.eq(Mux(average, 0, neuron.x)),
            word.spikes.eq(spikes),
            word.pool.eq(self.layer.pool),
            word.row.eq(out.row),
            word.column.eq(out.column),
            word.clear.eq(out.clear),
            out.index.eq(self.index),
            out.layer.eq(self.layer),
            out.geometry.eq(self.geometry),
            out.leaving.eq(self.leaving),
            out.gathered.eq(neuron.last),
            out.word.eq(word.word),
            self.left.eq(out.left),
        ]
