"""The way out of a PE: a finished tile's sums, some neurons a cycle, to spikes and a word of the output map."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.average import LATENCY, Average
from hw.config import Config
from hw.lif import Lif
from hw.pool import OutputWord
from hw.program import NEURON
from hw.sram import Sram

SUMMED = 1 + LATENCY
"""Cycles from a position to what its neuron gets."""


def kept_bits(config: Config) -> int:
    """Of a neuron between rounds of ticks: its potential, and whether it fired in the last of them."""
    return config.accumulator_bits + 1


class Drain(wiring.Component):
    """`lifs` neurons a cycle, side by side in a row of the tile.

    start: a tile is drained from the next cycle on. height, width, threshold, row, column: of it, held until
    `done`, as `neuron` of its layer;
    carried: potentials go on from the drain before; kept: those of this one wait for the next; last_tick: spikes behind it are dropped; row, column: where it starts in its word. running: `y`, `x` and those right of it, `lanes`, are
    read from the banks in the next cycle, and `sums` are theirs then. last: with the last of them.
    done: the tile's spikes are in `word` in the next cycle. results: sums of the last neuron.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        side_bits = config.tile_side.bit_length()
        sums = data.ArrayLayout(signed(config.accumulator_bits), config.ticks)
        super().__init__(
            {
                "start": In(1),
                "height": In(side_bits),
                "width": In(side_bits),
                "running": Out(1),
                "last": Out(1),
                "y": Out(side_bits - 1),
                "x": Out(side_bits - 1),
                "lanes": Out(config.lifs),
                "sums": In(data.ArrayLayout(sums, config.lifs)),
                "threshold": In(signed(config.accumulator_bits)),
                "neuron": In(NEURON),
                "carried": In(1),
                "kept": In(1),
                "last_tick": In(2),
                "average": In(1),
                "pool": In(1),
                "row": In(side_bits - 1),
                "column": In(side_bits - 1),
                "clear": In(1),
                "done": Out(1),
                "word": Out(config.word_bits),
                "results": Out(sums),
            }
        )

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles from a position to its spikes."""
        return SUMMED + Lif.latency(config)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, lifs = self.config, self.config.lifs
        row_end = Signal()
        m.d.comb += [
            row_end.eq(self.x + lifs >= self.width),
            self.last.eq(self.running & row_end & (self.y == self.height - 1)),
        ]
        for k in range(lifs):
            m.d.comb += self.lanes[k].eq(self.running & (self.x + k < self.width))
        with m.If(self.running):
            m.d.sync += self.x.eq(self.x + lifs)
            with m.If(row_end):
                m.d.sync += [self.x.eq(0), self.y.eq(self.y + 1)]
        with m.If(self.last):
            m.d.sync += self.running.eq(0)
        with m.If(self.start):
            m.d.sync += [self.running.eq(1), self.x.eq(0), self.y.eq(0)]

        neurons = data.StructLayout({"lanes": lifs, "last": 1, "y": len(self.y), "x": len(self.x)})
        passing = [Signal(neurons, name=f"passing_{k}") for k in range(self.latency(config) + 1)]
        m.d.comb += [
            passing[0].lanes.eq(self.lanes),
            passing[0].last.eq(self.last),
            passing[0].y.eq(self.y),
            passing[0].x.eq(self.x),
        ]
        for before, after in pairwise(passing):
            m.d.sync += after.eq(before)
        read, given, out = passing[1], passing[SUMMED], passing[-1]
        seen = Signal(config.ticks)
        m.d.comb += seen.eq((1 << (self.last_tick + 1)) - 1)

        m.submodules.word = word = OutputWord(config, neurons=lifs)
        m.submodules.lif = lif = Lif(config)
        sums = self._sums(m, read)
        before = self._potentials(m, lif, passing)
        m.d.sync += lif.prepare.eq(self.start)
        m.d.comb += [
            self.results.eq(sums[0]),
            lif.threshold.eq(self.threshold),
            lif.neuron.eq(self.neuron),
            lif.carried.eq(self.carried),
        ]
        for k in range(lifs):
            m.d.comb += [
                lif.valid[k].eq(given.lanes[k]),
                lif.sums[k].eq(sums[k]),
                lif.before[k].eq(before[k][1:].as_signed()),
                lif.fired_before[k].eq(before[k][0]),
                word.spikes.word_select(k, config.ticks).eq(lif.spikes[k] & seen),
            ]
            single = 1 if k == 0 else 0  # of an averaged map there is one neuron
            m.d.comb += word.valid[k].eq(Mux(self.average, out.last & single, out.lanes[k]))
        m.d.comb += [
            word.y.eq(Mux(self.average, 0, out.y)),
            word.x.eq(Mux(self.average, 0, out.x)),
            word.pool.eq(self.pool),
            word.row.eq(self.row),
            word.column.eq(self.column),
            word.clear.eq(self.clear),
            self.word.eq(word.word),
            self.done.eq(out.last),
        ]
        return m

    def _sums(self, m: Module, read: data.View) -> list[Value]:
        """What each lane's neurons get: its sums; the first's, all lanes' of a whole map added up, where they are averaged."""
        config = self.config
        m.submodules.average = average = Average(config, config.lifs)
        m.d.comb += [
            average.valid.eq(read.lanes),
            average.enable.eq(self.average),
            average.first.eq((read.y == 0) & (read.x == 0)),
            average.i.eq(self.sums),
        ]
        result: list[Value] = [average.o]
        for k in range(1, config.lifs):
            held = Signal.like(self.sums[k], name=f"sums_{k}", reset_less=True)
            with m.If(read.lanes[k]):
                m.d.sync += held.eq(self.sums[k])
            result.append(held)
        return result

    def _potentials(self, m: Module, lif: Lif, passing: list[data.View]) -> list[Value]:
        """What each lane's neurons kept of the ticks before: read a cycle ahead of their unit, written behind it.

        A potential, and below it whether the neuron fired in the last of these ticks.
        """
        bits, count = kept_bits(self.config), self.config.lifs
        log, last = count.bit_length() - 1, self.config.ticks - 1
        m.submodules.potentials = memory = Sram(
            macro="uticket_potentials", width=count * bits, depth=self.config.positions // count
        )
        read, write = memory.read_port(), memory.write_port()
        ahead, out = passing[SUMMED - 1], passing[-1]
        m.d.comb += [
            read.addr.eq(Cat(ahead.x[log:], ahead.y)),
            read.en.eq(self.carried & ahead.lanes[0]),
            write.addr.eq(Cat(out.x[log:], out.y)),
            write.data.eq(
                Cat(Cat(lif.spikes[k][last], lif.potentials[k][last]) for k in range(count))
            ),
            write.en.eq(self.kept & out.lanes[0]),  # a lane's only where the first one's is
        ]
        return [read.data.word_select(k, bits) for k in range(count)]
