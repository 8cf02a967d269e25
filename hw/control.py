"""The control of a PE: which weight sweeps which tile, which tile is drained, and the barrier."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.geometry import extent, geometry_layout
from hw.unreset import data_register
from hw.widths import BLOCK_BITS, CHANNEL_BITS, SIDE_BITS
from hw.wsp import weight_layout


def tile_layout(config: Config) -> data.StructLayout:
    """What is remembered of a tile until its spikes are out."""
    side_bits = config.tile_side.bit_length()
    return data.StructLayout(
        {
            "block_y": BLOCK_BITS,
            "block_x": BLOCK_BITS,
            "height": side_bits,
            "width": side_bits,
            "word_last": 1,
            "group": CHANNEL_BITS,
            "threshold": signed(config.accumulator_bits),
        }
    )


class Control(wiring.Component):
    """Takes a weight when the sweep before ends; at a layer's end it sweeps once more, only to drain.

    i, spikes: the next weight and its window. current, window: what sweeps. side: of the layer's map.
    start, height, width: of a sweep; running, last: it goes on, ends with this cycle (sweep.py).
    tile: its sums are in the accumulators. leaving: the tile before, whose sums are drained while `draining`;
    left: a pulse, its word is written or dropped, so that the next tile may open.
    flushing: the sweep drains and adds nothing. ending: the layer's last tile is drained, or waits for that.
    blocked: the next weight waits for `left`. at_barrier, release: between segments. done: nothing is left.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        side_bits = config.tile_side.bit_length()
        super().__init__(
            {
                "i": In(stream.Signature(weight_layout(config))),
                "spikes": In(config.word_bits),
                "side": In(SIDE_BITS),
                "geometry": In(geometry_layout(config)),
                "layer_start": In(1),
                "release": In(1),
                "running": In(1),
                "last": In(1),
                "left": In(1),
                "start": Out(1),
                "height": Out(side_bits),
                "width": Out(side_bits),
                "current": Out(weight_layout(config)),
                "window": Out(config.word_bits),
                "tile": Out(tile_layout(config)),
                "leaving": Out(tile_layout(config)),
                "draining": Out(1),
                "flushing": Out(1),
                "ending": Out(1),
                "blocked": Out(1),
                "at_barrier": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, following = self.geometry, self.i.payload
        current = data_register(m, self.current, "weight")
        window = data_register(m, self.window, "weight_window")
        tile = data_register(m, self.tile, "open_tile")
        leaving = data_register(m, self.leaving, "leaving_tile")
        opened = Signal()  # `tile` holds sums that are not yet drained
        leaving_busy = Signal()  # until `leaving` is gathered, and written if complete
        take = Signal()
        flush = Signal()
        next_height, next_width = Signal.like(self.height), Signal.like(self.width)
        m.d.comb += [
            next_height.eq(extent(self.side, geometry, following.block_y)),
            next_width.eq(extent(self.side, geometry, following.block_x)),
            self.blocked.eq(self.i.valid & following.opening & leaving_busy),
            self.start.eq(take | flush),
            self.i.ready.eq(take),
        ]
        with m.If(self.left):
            m.d.sync += leaving_busy.eq(0)
        with m.If(take):
            m.d.sync += [
                current.eq(following),
                window.eq(self.spikes),
                self.flushing.eq(0),
                self.height.eq(Mux(following.opening, geometry.sweep_side, next_height)),
                self.width.eq(Mux(following.opening, geometry.sweep_side, next_width)),
                self.draining.eq(following.opening & opened),
            ]
        with m.If(take & following.opening):
            m.d.sync += [
                leaving.eq(tile),
                leaving_busy.eq(opened),
                opened.eq(1),
                tile.block_y.eq(following.block_y),
                tile.block_x.eq(following.block_x),
                tile.height.eq(next_height),
                tile.width.eq(next_width),
                tile.word_last.eq(following.word_last),
                tile.group.eq(following.group),
                tile.threshold.eq(following.threshold),
            ]
        with m.If(flush):
            m.d.sync += [self.height.eq(geometry.sweep_side), self.width.eq(geometry.sweep_side)]
            m.d.sync += [leaving.eq(tile), leaving_busy.eq(1), opened.eq(0)]
            m.d.sync += [self.draining.eq(1), self.flushing.eq(1)]
        self._states(m, take, flush, leaving_busy)
        return m

    def _states(self, m: Module, take: Signal, flush: Signal, leaving_busy: Signal) -> None:
        """When a weight is taken, and when a layer's last tile is flushed."""
        ready = self.i.valid & ~self.blocked
        with m.FSM(init="DONE"):
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                with m.If(self.layer_start):
                    m.next = "RUN"
            with m.State("RUN"):
                free = ~self.running | (self.last & ~self.current.segment_last)
                m.d.comb += take.eq(ready & free)
                with m.If(self.last & self.current.segment_last):
                    m.next = "BARRIER"
            with m.State("BARRIER"):
                m.d.comb += self.at_barrier.eq(1)
                with m.If(self.release):
                    with m.If(self.current.end):
                        m.next = "FLUSH"
                    with m.Else():
                        m.d.comb += take.eq(ready)
                        m.next = "RUN"
            with m.State("FLUSH"):
                m.d.comb += self.ending.eq(1)
                m.d.comb += flush.eq(~leaving_busy)
                with m.If(flush):
                    m.next = "FLUSHING"
            with m.State("FLUSHING"):
                m.d.comb += self.ending.eq(1)
                with m.If(~leaving_busy & ~self.running):
                    m.next = "DONE"
