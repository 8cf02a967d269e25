"""A processing element: one filter at a time, its weights sweeping the tiles of the map."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw import average
from hw.average import Average
from hw.config import STREAM_BITS, Config
from hw.counters import CYCLES, Counters
from hw.fetch import REQUEST, Fetch
from hw.geometry import geometry_layout
from hw.lane import Lanes
from hw.lif import Lif
from hw.pool import OutputWord
from hw.program import FILTER_HEADER, LAYER
from hw.scratchpad import Scratchpad
from hw.sweep import Sweep
from hw.unreset import data_register
from hw.widths import BLOCK_BITS, CHANNEL_BITS
from hw.wsp import WspDecoder


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


class PE(wiring.Component):
    """One PE of the array.

    index: its number there, a constant.
    weights, header: beats and filter headers of this PE from the program stream.
    layer, geometry: of the running layer. layer_start: a pulse. layer_active: until the layer ends.
    request, window: the read port of the spike buffer. output: its write port, or the results'.
    at_barrier, release: the barrier between segments. done: the layer's output is out.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "index": In(range(max(config.n_pe, 2))),
                "weights": In(stream.Signature(STREAM_BITS)),
                "header": In(stream.Signature(FILTER_HEADER)),
                "layer": In(LAYER),
                "geometry": In(geometry_layout(config)),
                "layer_start": In(1),
                "layer_active": In(1),
                "request": Out(stream.Signature(REQUEST)),
                "window_valid": In(1),
                "window": In(config.word_bits),
                "output": Out(stream.Signature(output_layout(config))),
                "at_barrier": Out(1),
                "release": In(1),
                "done": Out(1),
                "counting": In(1),
                "capture": In(1),
                "shift": In(1),
                "chain_in": In(STREAM_BITS),
                "chain_out": Out(STREAM_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer, geometry = self.config, self.layer, self.geometry
        m.submodules.scratchpad = scratchpad = Scratchpad(config)
        m.submodules.decoder = decoder = WspDecoder(config)
        m.submodules.fetch = fetch = Fetch(config)
        m.submodules.sweep = sweep = Sweep(config)
        m.submodules.lanes = lanes = Lanes(config)
        m.submodules.average = averaged = Average(config)
        m.submodules.lif = lif = Lif(config)
        m.submodules.output_word = word = OutputWord(config)
        m.submodules.counters = counters = Counters(config)

        connect(m, flipped(self.weights), scratchpad.i)
        connect(m, flipped(self.header), decoder.header)
        connect(m, decoder.o, fetch.i)
        connect(m, fetch.request, flipped(self.request))
        m.d.comb += [
            fetch.window_valid.eq(self.window_valid),
            fetch.window.eq(self.window),
            scratchpad.read.eq(decoder.read),
            scratchpad.row.eq(decoder.row),
            scratchpad.tail.eq(decoder.tail),
            decoder.data.eq(scratchpad.data),
            decoder.head.eq(scratchpad.head),
            decoder.geometry.eq(geometry),
            decoder.layer_start.eq(self.layer_start),
        ]

        # --- which weight sweeps, and which tile ---
        following = fetch.o.payload
        current = Signal.like(following, name="current", reset_less=True)
        window = Signal(config.word_bits, reset_less=True)
        tile = Signal(tile_layout(config), reset_less=True)
        leaving = Signal(tile_layout(config), reset_less=True)
        opened = Signal()  # `tile` holds sums that are not yet drained
        draining = Signal()  # this sweep also reads the finished sums of `leaving`
        leaving_busy = Signal()  # until `leaving` is gathered, and written if complete
        flushing, ending = Signal(), Signal()
        height, width = Signal.like(sweep.height), Signal.like(sweep.width)
        take, flush, blocked = Signal(), Signal(), Signal()

        def extent(block: Signal) -> Signal:
            """Positions of a tile along one side: fewer at the edge of the map."""
            rest = layer.side - (block << geometry.block_shift)
            return Mux(rest < geometry.block_side, rest, geometry.block_side)

        next_height, next_width = Signal.like(height), Signal.like(width)
        m.d.comb += [
            next_height.eq(extent(following.block_y)),
            next_width.eq(extent(following.block_x)),
            blocked.eq(following.opening & leaving_busy),
            sweep.start.eq(take | flush),
            sweep.height.eq(height),
            sweep.width.eq(width),
            fetch.o.ready.eq(take),
        ]
        with m.If(take):
            m.d.sync += [current.eq(following), window.eq(fetch.spikes), flushing.eq(0)]
            m.d.sync += [
                height.eq(Mux(following.opening, geometry.sweep_side, next_height)),
                width.eq(Mux(following.opening, geometry.sweep_side, next_width)),
                draining.eq(following.opening & opened),
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
            m.d.sync += [height.eq(geometry.sweep_side), width.eq(geometry.sweep_side)]
            m.d.sync += [leaving.eq(tile), leaving_busy.eq(1), opened.eq(0)]
            m.d.sync += [draining.eq(1), flushing.eq(1)]

        with m.FSM(init="DONE"):
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                with m.If(self.layer_start):
                    m.next = "RUN"
            with m.State("RUN"):
                free = ~sweep.running | (sweep.last & ~current.segment_last)
                m.d.comb += take.eq(fetch.o.valid & free & ~blocked)
                with m.If(sweep.last & current.segment_last):
                    m.next = "BARRIER"
            with m.State("BARRIER"):
                m.d.comb += self.at_barrier.eq(1)
                with m.If(self.release):
                    with m.If(current.end):
                        m.next = "FLUSH"
                    with m.Else():
                        m.d.comb += take.eq(fetch.o.valid & ~blocked)
                        m.next = "RUN"
            with m.State("FLUSH"):
                m.d.comb += ending.eq(1)
                m.d.comb += flush.eq(~leaving_busy)
                with m.If(flush):
                    m.next = "FLUSHING"
            with m.State("FLUSHING"):
                m.d.comb += ending.eq(1)
                with m.If(~leaving_busy & ~sweep.running):
                    m.next = "DONE"

        # --- accumulate ---
        step = lanes.step
        in_tile, active = Signal(), Signal()
        identity = Signal()  # the weight is an identity shortcut's: no work
        biased = Signal()  # of an averaged map, one position has the bias
        spikes = Signal(config.lanes)
        m.d.comb += [
            in_tile.eq(sweep.valid & (sweep.y < tile.height) & (sweep.x < tile.width) & ~flushing),
            active.eq(in_tile & ~current.empty),
            identity.eq(layer.identity & (current.channel >= layer.channels)),
            biased.eq(~layer.average | ((sweep.y == 0) & (sweep.x == 0))),
            spikes.eq(Mux(active, window.word_select(Cat(sweep.x, sweep.y), config.ticks), 0)),
            lanes.valid.eq(sweep.valid),
            step.y.eq(sweep.y),
            step.x.eq(sweep.x),
            step.spikes.eq(spikes),
            step.accumulate.eq(in_tile),
            step.opening.eq(current.opening),
            step.drain.eq(draining),
            step.weight.eq(current.value),
            step.bias.eq(Mux(biased, current.bias, 0)),
        ]

        # --- drain: sums -> spikes -> word of the output map ---
        neuron_layout = data.StructLayout(
            {"valid": 1, "last": 1, "y": len(sweep.y), "x": len(sweep.x)}
        )
        summed = 1 + average.LATENCY  # cycles from a position to what its neuron gets
        passing = [
            Signal(neuron_layout, name=f"passing_{k}")
            for k in range(summed + 1 + Lif.latency(config))
        ]
        m.d.comb += [
            passing[0].valid.eq(
                draining & sweep.valid & (sweep.y < leaving.height) & (sweep.x < leaving.width)
            ),
            passing[0].last.eq(draining & sweep.last_position),
            passing[0].y.eq(sweep.y),
            passing[0].x.eq(sweep.x),
            averaged.enable.eq(layer.average),
            averaged.valid.eq(passing[1].valid),
            averaged.first.eq((passing[1].y == 0) & (passing[1].x == 0)),
            averaged.i.eq(lanes.sums),
            lif.valid.eq(passing[summed].valid),
            lif.sums.eq(averaged.o),
            lif.threshold.eq(leaving.threshold),
        ]
        for before, after in pairwise(passing):
            m.d.sync += after.eq(before)
        out, sums_out = passing[-1], passing[summed]
        dropped = Signal()  # a word of a missing filter, or one that pooling leaves outside
        output = self.output.payload
        sums = data_register(m, output.sums, "sums")
        m.d.comb += [
            word.valid.eq(out.valid & (out.last | ~layer.average)),
            word.y.eq(Mux(layer.average, 0, out.y)),
            word.x.eq(Mux(layer.average, 0, out.x)),
            word.spikes.eq(lif.spikes),
            word.pool.eq(layer.pool),
            word.row.eq((leaving.block_y & geometry.sub_mask) << geometry.pooled_shift),
            word.column.eq((leaving.block_x & geometry.sub_mask) << geometry.pooled_shift),
            word.clear.eq((self.output.valid & self.output.ready) | dropped),
            output.word.eq(word.word),
            output.filter.eq(leaving.group * config.n_pe + self.index),
            output.word_y.eq(leaving.block_y >> geometry.sub_shift),
            output.word_x.eq(leaving.block_x >> geometry.sub_shift),
        ]
        with m.If(sums_out.valid):
            m.d.sync += sums.eq(averaged.o)
        stored = (
            leaving.word_last
            & (output.filter < layer.filters)
            & (output.word_y <= geometry.words)
            & (output.word_x <= geometry.words)
        )
        m.d.comb += dropped.eq(out.last & leaving.word_last & ~stored)
        with m.If(out.last):
            m.d.sync += [self.output.valid.eq(stored), leaving_busy.eq(stored)]
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += [self.output.valid.eq(0), leaving_busy.eq(0)]

        # --- accounts ---
        waiting = Signal(len(CYCLES))
        added = Signal(range(config.lanes + 1))
        work, idle, load, fetching, neuron, writing, shortcut = (1 << k for k in range(len(CYCLES)))
        with m.If(active):
            m.d.comb += waiting.eq(Mux(identity, shortcut, work))
        with m.Elif(sweep.running):
            rests = ~sweep.valid & ~flushing & ~current.empty
            m.d.comb += waiting.eq(Mux(rests, fetching, neuron))
        with m.Elif(self.at_barrier):
            m.d.comb += waiting.eq(idle)
        with m.Elif(self.done):
            m.d.comb += waiting.eq(Mux(self.layer_active, writing, load))
        with m.Elif(ending | (fetch.o.valid & blocked)):
            m.d.comb += waiting.eq(writing)
        with m.Else():
            m.d.comb += waiting.eq(Mux(fetch.busy, fetching, load))
        m.d.comb += [
            added.eq(sum(spikes[t] for t in range(config.lanes))),
            counters.steps.eq(Mux(active & ~identity, config.lanes, 0)),
            counters.accumulates.eq(Mux(identity, 0, added)),
            counters.shortcut_accumulates.eq(Mux(identity, added, 0)),
            counters.cycle.eq(waiting),
            counters.counting.eq(self.counting),
            counters.capture.eq(self.capture),
            counters.shift.eq(self.shift),
            counters.chain_in.eq(self.chain_in),
            self.chain_out.eq(counters.chain_out),
        ]
        return m
