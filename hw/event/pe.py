"""A processing element of the event machine: one filter at a time, its taps visiting the spikes of slices."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import STREAM_BITS, Config
from hw.control import tile_layout
from hw.counters import EVENT_CYCLES, Counters
from hw.drain import output_layout
from hw.event.bank import Bank
from hw.event.drain import Drain
from hw.event.fifo import END, SliceFifo
from hw.event.header import HeaderUnit
from hw.event.planes import place, shape, slice_bits
from hw.event.program import FILTER_HEADER, POSITION_BITS, ring_rows
from hw.event.ring import WordRing
from hw.event.taps import TapLookup, TapMasks
from hw.geometry import geometry_layout
from hw.program import LAYER
from hw.tile_counter import TileCounter


def cast_layout(config: Config) -> data.StructLayout:
    """What the caster hands to all PEs: a slice and its place in the list, or the end of a pass."""
    return data.StructLayout(
        {
            "spikes": slice_bits(config),
            "shortcut": 1,
            "position": POSITION_BITS,
            "what": END,
        }
    )


class PE(wiring.Component):
    """One of the array's PEs. index: its number, constant.

    header, headers, values: filter headers, rows of slice headers and of values of this PE.
    cast: what the caster offers; accepts: this PE can take it, needing it or not; fire: all can, it is taken.
    active: the caster's segment may be decoded. loading: the caster waits for the program.
    output: a word for the spike buffer, or results. done: the layer's output is out. The rest as of hw.pe.PE.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "index": In(range(max(config.n_pe, 2))),
                "header": In(stream.Signature(FILTER_HEADER)),
                "headers": In(stream.Signature(STREAM_BITS)),
                "values": In(stream.Signature(STREAM_BITS)),
                "layer": In(LAYER),
                "geometry": In(geometry_layout(config)),
                "layer_start": In(1),
                "layer_active": In(1),
                "cast": In(cast_layout(config)),
                "accepts": Out(1),
                "fire": In(1),
                "active": In(1),
                "loading": In(1),
                "output": Out(stream.Signature(output_layout(config))),
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
        rows = ring_rows(config)
        m.submodules.header_ring = header_ring = WordRing(
            macro="uticket_header_ring", width=STREAM_BITS, rows=rows
        )
        m.submodules.value_ring = value_ring = WordRing(
            macro="uticket_value_ring", width=STREAM_BITS, rows=rows
        )
        m.submodules.header_unit = unit = HeaderUnit(config, header_ring.pointer)
        m.submodules.fifo = fifo = SliceFifo(config)
        m.submodules.counters = counters = Counters(config, config.banks * config.ticks)
        connect(m, flipped(self.headers), header_ring.i)
        connect(m, flipped(self.values), value_ring.i)

        # Filter headers are needed twice, by the header unit and, behind the FIFO, by the neurons.
        back_layout = data.StructLayout(
            {name: FILTER_HEADER[name].shape for name in ("value_rows", "bias", "threshold")}
        )
        depth = config.queue_depth
        m.submodules.front_queue = front = SyncFIFOBuffered(width=8, depth=depth)
        m.submodules.back_queue = back = SyncFIFOBuffered(width=back_layout.size, depth=depth)
        waiting = Signal(back_layout)
        header = self.header.payload
        m.d.comb += [
            self.header.ready.eq(front.w_rdy & back.w_rdy),
            front.w_en.eq(self.header.valid & self.header.ready),
            back.w_en.eq(self.header.valid & self.header.ready),
            front.w_data.eq(header.header_rows),
            back.w_data.eq(Cat(header.value_rows, header.bias, header.threshold)),
            waiting.eq(back.r_data),
            unit.rows.payload.eq(front.r_data),
            unit.rows.valid.eq(front.r_rdy),
            front.r_en.eq(unit.rows.ready),
        ]

        # --- front: what the caster offers, as far as the filter has weights for it ---
        cast, what = self.cast, self.cast.what
        needed, take = Signal(), Signal()
        m.d.comb += [
            needed.eq(unit.positioned & (unit.position == cast.position)),
            take.eq(self.fire & needed & ~what.is_end),
            self.accepts.eq(
                Mux(
                    what.is_end,
                    fifo.end_room,
                    unit.known & (~needed | (unit.complete & fifo.room)),
                )
            ),
            unit.word.eq(header_ring.word),
            unit.available.eq(header_ring.available),
            unit.row.eq(header_ring.row),
            unit.active.eq(self.active),
            unit.take.eq(take),
            unit.pass_end.eq(self.fire & what.is_end),
            unit.segment_end.eq(what.segment_end),
            header_ring.advance.eq(unit.advance),
            header_ring.jump.eq(unit.jump),
            header_ring.to.eq(unit.to),
            header_ring.tail.eq(unit.tail),
            fifo.push.eq(take | unit.pass_end),
            fifo.what.eq(what),
            fifo.entry.spikes.eq(cast.spikes),
            fifo.entry.shortcut.eq(cast.shortcut),
            fifo.entry.taps.eq(unit.taps),
        ]

        # --- which tap works, and which tile ---
        segment, have_segment = Signal(back_layout), Signal()
        tiles = TileCounter(config)
        m.submodules.tiles = ResetInserter(self.layer_start)(tiles)
        m.submodules.masks = masks = TapMasks(config)
        m.submodules.lookup = lookup = TapLookup(config)
        m.submodules.drain = drain = Drain(config)
        tile, leaving = Signal(tile_layout(config)), Signal(tile_layout(config), reset_less=True)
        leaving_busy = Signal()  # until `leaving` is gathered, and written if complete
        working, last_tap, first_cycle = Signal(), Signal(), Signal()
        pausing = Signal()  # a pass that does not close its tile ends
        mask = Signal.like(masks.masks, name="mask")
        start = Signal.like(masks.start, name="start", reset_less=True)
        rest = Signal.like(masks.rest, name="rest")
        weight = Signal(signed(config.weight_bits), reset_less=True)
        bias = Signal(signed(config.accumulator_bits), reset_less=True)
        shortcut = Signal()
        free, more, load_tap, load_end = Signal(), Signal(), Signal(), Signal()
        ready_end = Signal()
        group = Signal(11)
        ending = Signal()  # the layer's last pass is over

        def extent(block: Signal) -> Signal:
            """Positions of a tile along one side: fewer at the edge of the map."""
            left = layer.side - (block << geometry.block_shift)
            return Mux(left < geometry.block_side, left, geometry.block_side)

        following = fifo.next_what
        tap_done = working & (lookup.rest.as_value() == 0)
        m.d.comb += [
            tiles.geometry.eq(geometry),
            tiles.step.eq(load_end & following.close),
            tile.block_y.eq(tiles.y),
            tile.block_x.eq(tiles.x),
            tile.height.eq(extent(tiles.y)),
            tile.width.eq(extent(tiles.x)),
            tile.word_last.eq(tiles.word_last),
            tile.group.eq(group),
            tile.threshold.eq(segment.threshold),
            free.eq(Mux(working, tap_done, ~drain.running | drain.last)),
            more.eq(working & ~last_tap),
            ready_end.eq(~(following.close & leaving_busy) & have_segment),
            load_tap.eq(free & (more | (fifo.next_valid & ~following.is_end))),
            load_end.eq(free & ~more & fifo.next_valid & following.is_end & ready_end),
            fifo.more.eq(more),
            fifo.begin.eq((load_tap & ~more) | load_end),
            fifo.pop.eq(tap_done & last_tap),
            masks.taps.eq(Mux(more, rest, fifo.source.taps)),
            masks.spikes.eq(fifo.source.spikes),
            masks.height.eq(tile.height),
            masks.width.eq(tile.width),
            lookup.masks.eq(mask),
            lookup.spikes.eq(fifo.work.spikes),
            lookup.start.eq(start),
            drain.start.eq(load_end & following.close),
        ]
        m.d.sync += [first_cycle.eq(load_tap), pausing.eq(load_end & ~following.close)]
        with m.If(working):
            m.d.sync += mask.eq(lookup.rest)
        with m.If(free):
            m.d.sync += working.eq(0)
        with m.If(load_tap):
            m.d.sync += [
                working.eq(1),
                mask.eq(masks.masks),
                start.eq(masks.start),
                rest.eq(masks.rest),
                last_tap.eq(masks.rest == 0),
                weight.eq(value_ring.word),
                bias.eq(segment.bias),
                shortcut.eq(fifo.source.shortcut & layer.identity),
            ]
        with m.If(load_end):
            m.d.sync += bias.eq(segment.bias)
        with m.If(load_end & following.close):
            m.d.sync += [leaving.eq(tile), leaving_busy.eq(1)]

        # --- values: from the segment's first row on in every pass ---
        begin, end = Signal(value_ring.pointer), Signal(value_ring.pointer)
        switch = load_end & following.segment_end
        m.d.comb += [
            end.eq(begin + segment.value_rows),
            value_ring.advance.eq(load_tap),
            value_ring.jump.eq(load_end),
            value_ring.to.eq(Mux(following.segment_end, end, begin)),
            value_ring.tail.eq(begin),
            back.r_en.eq(~have_segment | switch),
        ]
        with m.If(switch):
            m.d.sync += [begin.eq(end), have_segment.eq(0)]
            m.d.sync += group.eq(group + (following.close & tiles.last))
        with m.If(back.r_en & back.r_rdy):
            m.d.sync += [segment.eq(waiting), have_segment.eq(1)]
        with m.If(self.layer_start):
            m.d.sync += group.eq(0)

        # --- accumulate: a position a bank, or read what is drained ---
        by, bx = shape(config)
        across = config.tile_side // bx
        log_y, log_x = by.bit_length() - 1, bx.bit_length() - 1
        adding = Signal(config.banks)
        draining = Signal(config.banks)
        drained_y = Signal(max(log_y, 1), reset_less=True)
        drained_x = Signal(max(log_x, 1), reset_less=True)
        spikes = Signal.like(lookup.ticks, name="spikes", reset_less=True)
        rows_at = Signal.like(lookup.rows, name="rows_at", reset_less=True)
        added_weight = Signal.like(weight, name="added_weight", reset_less=True)
        first_bias = Signal.like(bias, name="first_bias", reset_less=True)  # of position 0
        other_bias = Signal.like(bias, name="other_bias", reset_less=True)
        added_shortcut = Signal()
        drain_row = Signal.like(lookup.rows[0])
        m.d.comb += drain_row.eq((drain.y >> log_y) * across + (drain.x >> log_x))
        m.d.sync += [
            adding.eq(Mux(working, lookup.valid, 0)),
            spikes.eq(lookup.ticks),
            added_weight.eq(weight),
            added_shortcut.eq(shortcut),
            first_bias.eq(bias),
            other_bias.eq(Mux(layer.average, 0, bias)),
            drained_y.eq(drain.y),
            drained_x.eq(drain.x),
        ]
        banks = []
        for b in range(config.banks):
            m.submodules[f"bank_{b}"] = bank = Bank(config)
            banks.append(bank)
            m.d.sync += rows_at[b].eq(Mux(drain.running, drain_row, lookup.rows[b]))
            mine = Const(0)
            for k in range(config.lifs):
                here_y = (drain.y[:log_y] == b // bx) if log_y else Const(1)
                here_x = ((drain.x + k)[:log_x] == b % bx) if log_x else Const(1)
                mine = mine | (drain.lanes[k] & here_y & here_x)
            m.d.sync += draining[b].eq(mine)
            own = other_bias
            if place(config, 0, 0)[0] == b:
                own = Mux(rows_at[b] == place(config, 0, 0)[1], first_bias, other_bias)
            m.d.comb += [
                bank.add.eq(adding[b]),
                bank.drain.eq(draining[b]),
                bank.row.eq(rows_at[b]),
                bank.spikes.eq(spikes[b]),
                bank.weight.eq(added_weight),
                bank.bias.eq(own),
            ]
        for k in range(config.lifs):
            with m.Switch(drained_y[:log_y] if log_y else Const(0, 1)):
                for y in range(by):
                    with m.Case(y):
                        if config.lifs == bx or bx == 1:
                            m.d.comb += drain.sums[k].eq(banks[y * bx + k].sums)
                        else:
                            m.d.comb += drain.sums[k].eq(
                                Mux(
                                    drained_x[0],
                                    banks[y * bx + 1].sums.as_value(),
                                    banks[y * bx].sums.as_value(),
                                )
                            )

        # --- output ---
        output = self.output.payload
        dropped = Signal()  # a word of a missing filter, or one that pooling leaves outside
        stored = (
            leaving.word_last
            & (output.filter < layer.filters)
            & (output.word_y <= geometry.words)
            & (output.word_x <= geometry.words)
        )
        m.d.comb += [
            drain.height.eq(leaving.height),
            drain.width.eq(leaving.width),
            drain.threshold.eq(leaving.threshold),
            drain.average.eq(layer.average),
            drain.pool.eq(layer.pool),
            drain.row.eq((leaving.block_y & geometry.sub_mask) << geometry.pooled_shift),
            drain.column.eq((leaving.block_x & geometry.sub_mask) << geometry.pooled_shift),
            drain.clear.eq((self.output.valid & self.output.ready) | dropped),
            output.word.eq(drain.word),
            output.sums.eq(drain.results),
            output.filter.eq(leaving.group * config.n_pe + self.index),
            output.word_y.eq(leaving.block_y >> geometry.sub_shift),
            output.word_x.eq(leaving.block_x >> geometry.sub_shift),
            dropped.eq(drain.done & leaving.word_last & ~stored),
        ]
        with m.If(drain.done):
            m.d.sync += [self.output.valid.eq(stored), leaving_busy.eq(stored)]
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += [self.output.valid.eq(0), leaving_busy.eq(0)]

        with m.If(load_end & following.layer_end):
            m.d.sync += ending.eq(1)
        with m.FSM(init="DONE"):
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                with m.If(self.layer_start):
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(ending & ~leaving_busy):
                    m.d.sync += ending.eq(0)
                    m.next = "DONE"

        # --- accounts ---
        account = Signal(len(EVENT_CYCLES))
        work, idle, load, conflict, neuron, writing, identity = (
            1 << k for k in range(len(EVENT_CYCLES))
        )
        with m.If(working):
            full = first_cycle | lookup.valid.all()
            m.d.comb += account.eq(Mux(shortcut, identity, Mux(full, work, conflict)))
        with m.Elif(drain.running | pausing):
            m.d.comb += account.eq(neuron)
        with m.Elif(self.done):
            m.d.comb += account.eq(Mux(self.layer_active, writing, load))
        with m.Elif(ending | (fifo.next_valid & following.is_end)):
            m.d.comb += account.eq(writing)
        with m.Else():
            m.d.comb += account.eq(Mux(self.loading, load, idle))
        added = sum(
            spikes[b][t] & adding[b] for b in range(config.banks) for t in range(config.ticks)
        )
        visited = sum(adding[b] for b in range(config.banks))
        m.d.comb += [
            counters.steps.eq(Mux(added_shortcut, 0, visited)),
            counters.accumulates.eq(Mux(added_shortcut, 0, added)),
            counters.shortcut_accumulates.eq(Mux(added_shortcut, added, 0)),
            counters.cycle.eq(account),
            counters.counting.eq(self.counting),
            counters.capture.eq(self.capture),
            counters.shift.eq(self.shift),
            counters.chain_in.eq(self.chain_in),
            self.chain_out.eq(counters.chain_out),
        ]
        return m
