"""The tile that leaves a PE: drained while the next one waits for its first slice, then handed over."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import Config
from hw.control import tile_layout
from hw.event.drain import Drain
from hw.geometry import geometry_layout
from hw.program import layer_layout
from hw.widths import ADDRESS_BITS
from hw.word_out import WordOut, output_layout


class Leaving(wiring.Component):
    """index: of the PE. close: the tile is complete, and leaves from the next cycle on; only while not `busy`.

    With `tile`: base, of the map that its spikes go to; carried: potentials go on from the tile's last round; last_round: they
    go on to none.
    running, last: it is read from the accumulators, and this is its last cycle. y, x, lanes, sums: see Drain.
    busy: it is not yet gathered, or its word, if it completed one, is not yet taken. output: see WordOut.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        bits = config.tile_side.bit_length() - 1
        sums = data.ArrayLayout(signed(config.accumulator_bits), config.ticks)
        super().__init__(
            {
                "index": In(range(max(config.n_pe, 2))),
                "layer": In(layer_layout(config)),
                "geometry": In(geometry_layout(config)),
                "tile": In(tile_layout(config)),
                "base": In(ADDRESS_BITS),
                "carried": In(1),
                "last_round": In(1),
                "close": In(1),
                "running": Out(1),
                "last": Out(1),
                "y": Out(bits),
                "x": Out(bits),
                "lanes": Out(config.lifs),
                "sums": In(data.ArrayLayout(sums, config.lifs)),
                "busy": Out(1),
                "output": Out(stream.Signature(output_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer, config = self.layer, self.config
        m.submodules.drain = drain = Drain(self.config)
        m.submodules.word_out = out = WordOut(self.config)
        connect(m, out.output, flipped(self.output))
        tile = Signal.like(self.tile, name="leaving", reset_less=True)
        base = Signal(ADDRESS_BITS, reset_less=True)
        carried = Signal(reset_less=True)
        last_round = Signal(reset_less=True)
        m.d.comb += [
            drain.start.eq(self.close),
            drain.height.eq(tile.height),
            drain.width.eq(tile.width),
            drain.threshold.eq(tile.threshold),
            drain.neuron.eq(layer.neuron),
            drain.carried.eq(carried),
            drain.kept.eq(~last_round),
            drain.last_tick.eq(Mux(last_round, layer.last_tick, config.ticks - 1)),
            out.base.eq(base),
            out.part.eq(layer.more_rounds != 0),
            drain.average.eq(layer.average),
            drain.pool.eq(layer.pool),
            drain.row.eq(out.row),
            drain.column.eq(out.column),
            drain.clear.eq(out.clear),
            drain.sums.eq(self.sums),
            self.running.eq(drain.running),
            self.last.eq(drain.last),
            self.y.eq(drain.y),
            self.x.eq(drain.x),
            self.lanes.eq(drain.lanes),
            out.index.eq(self.index),
            out.layer.eq(layer),
            out.geometry.eq(self.geometry),
            out.leaving.eq(tile),
            out.gathered.eq(drain.done),
            out.word.eq(drain.word),
            out.sums.eq(drain.results),
        ]
        with m.If(out.left):
            m.d.sync += self.busy.eq(0)
        with m.If(self.close):
            m.d.sync += [
                tile.eq(self.tile),
                base.eq(self.base),
                carried.eq(self.carried),
                last_round.eq(self.last_round),
                self.busy.eq(1),
            ]
        return m
