"""A processing element of the event machine: one filter at a time, its taps visiting the spikes of slices."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import STREAM_BITS, Config
from hw.control import tile_layout
from hw.counters import Counters
from hw.event.accounts import Accounts
from hw.event.accumulators import Accumulators
from hw.event.fifo import END, SliceFifo
from hw.event.header import ROW_BITS, HeaderUnit
from hw.event.issue import Issue
from hw.event.leaving import Leaving
from hw.event.planes import slice_bits
from hw.event.program import FILTER_HEADER, POSITION_BITS, ring_rows
from hw.event.ring import WordRing
from hw.event.rounds import RoundBase, Visits
from hw.event.values import Values
from hw.geometry import extent, geometry_layout
from hw.program import layer_layout
from hw.widths import ADDRESS_BITS
from hw.word_out import output_layout


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
                "layer": In(layer_layout(config)),
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
        if hasattr(platform, "get_pe"):  # hw/export.py's hook, as Amaranth's for memories
            return platform.get_pe(self)
        m = Module()
        config = self.config
        m.submodules.values = values = Values(config)
        m.submodules.fifo = fifo = SliceFifo(config)
        m.submodules.issue = issue = Issue(config)
        m.submodules.accumulators = accumulators = Accumulators(config)
        m.submodules.leaving = leaving = Leaving(config)
        connect(m, flipped(self.values), values.rows)
        connect(m, leaving.output, flipped(self.output))
        connect(m, issue.step, accumulators.step)
        self._front(m, values, fifo)
        tile = self._tile(m, values, issue, fifo.next_what, leaving)
        coming = fifo.next_what
        m.d.comb += [
            issue.coming_valid.eq(fifo.next_valid),
            issue.coming.eq(coming),
            issue.source.eq(fifo.source),
            issue.spikes.eq(fifo.work.spikes),
            fifo.more.eq(issue.more),
            fifo.begin.eq(issue.begin),
            fifo.pop.eq(issue.pop),
            issue.height.eq(tile.height),
            issue.width.eq(tile.width),
            issue.weight.eq(values.word),
            issue.bias.eq(values.filter.bias),
            issue.identity.eq(self.layer.identity),
            issue.free.eq(~leaving.running | leaving.last),
            issue.may_end.eq(values.have & ~(coming.close & leaving.busy)),
            values.take.eq(issue.take),
            values.end.eq(issue.end),
            values.segment_end.eq(coming.segment_end),
            accumulators.average.eq(self.layer.average),
            accumulators.draining.eq(leaving.running),
            accumulators.y.eq(leaving.y),
            accumulators.x.eq(leaving.x),
            accumulators.lanes.eq(leaving.lanes),
            leaving.index.eq(self.index),
            leaving.layer.eq(self.layer),
            leaving.geometry.eq(self.geometry),
            leaving.tile.eq(tile),
            leaving.close.eq(issue.end & coming.close),
            leaving.sums.eq(accumulators.sums),
        ]
        ending = self._layer_end(m, issue.end & coming.layer_end, leaving.busy)
        m.submodules.accounts = accounts = Accounts(config)
        m.d.comb += [
            accounts.working.eq(issue.working),
            accounts.first.eq(issue.first),
            accounts.valid.eq(issue.step.valid),
            accounts.shortcut.eq(issue.step.shortcut),
            accounts.adding.eq(accumulators.adding),
            accounts.spikes.eq(accumulators.spikes),
            accounts.draining.eq(leaving.running),
            accounts.pauses.eq(issue.end & ~coming.close),
            accounts.ending.eq(ending | (fifo.next_valid & coming.is_end)),
        ]
        self._count(m, accounts)
        return m

    def _front(self, m: Module, values: Values, fifo: SliceFifo) -> None:
        """What the caster offers into the FIFO, as far as the filter has weights for it."""
        config, cast = self.config, self.cast
        m.submodules.header_ring = ring = WordRing(
            macro="uticket_header_ring", width=STREAM_BITS, rows=ring_rows(config)
        )
        m.submodules.header_unit = unit = HeaderUnit(config, ring.pointer)
        m.submodules.filters = queue = SyncFIFOBuffered(width=ROW_BITS, depth=config.segment_depth)
        connect(m, flipped(self.headers), ring.i)
        # A filter header is needed twice: here, and by the neurons behind the FIFO.
        header, filters = self.header, values.filters
        taken = Signal()
        needed = Signal()
        m.d.comb += [
            header.ready.eq(queue.w_rdy & filters.ready),
            taken.eq(header.valid & header.ready),
            queue.w_en.eq(taken),
            queue.w_data.eq(header.payload.header_rows),
            filters.valid.eq(taken),
            unit.rows.payload.eq(queue.r_data),
            unit.rows.valid.eq(queue.r_rdy),
            queue.r_en.eq(unit.rows.ready),
            unit.word.eq(ring.word),
            unit.available.eq(ring.available),
            unit.row.eq(ring.row),
            ring.advance.eq(unit.advance),
            ring.jump.eq(unit.jump),
            ring.to.eq(unit.to),
            ring.tail.eq(unit.tail),
        ]
        m.d.comb += [
            filters.payload[name].eq(header.payload[name])
            for name in ("value_rows", "bias", "threshold")
        ]
        m.d.comb += [
            needed.eq(unit.positioned & (unit.position == cast.position)),
            self.accepts.eq(
                Mux(
                    cast.what.is_end,
                    fifo.end_room,
                    unit.known & (~needed | (unit.complete & fifo.room)),
                )
            ),
            unit.active.eq(self.active),
            unit.take.eq(self.fire & needed & ~cast.what.is_end),
            unit.pass_end.eq(self.fire & cast.what.is_end),
            unit.segment_end.eq(cast.what.segment_end),
            fifo.push.eq(unit.take | unit.pass_end),
            fifo.what.eq(cast.what),
            fifo.entry.spikes.eq(cast.spikes),
            fifo.entry.shortcut.eq(cast.shortcut),
            fifo.entry.taps.eq(unit.taps),
        ]

    def _tile(
        self, m: Module, values: Values, issue: Issue, coming: data.View, leaving: Leaving
    ) -> data.View:
        """The tile at work, and its filter's group."""
        tile = Signal(tile_layout(self.config))
        layer = self.layer
        m.submodules.visits = visits = Visits(self.config)
        m.submodules.output_base = base = RoundBase(ADDRESS_BITS)
        whole = layer.more_rounds == 0  # a word is handed over at once; else tile by tile
        m.d.comb += [
            visits.geometry.eq(self.geometry),
            visits.layer_start.eq(self.layer_start),
            visits.more_rounds.eq(layer.more_rounds),
            visits.step.eq(issue.end & coming.close),
            base.layer_start.eq(self.layer_start),
            base.step.eq(visits.step),
            base.last_round.eq(visits.last_round),
            base.base.eq(layer.output_base),
            base.words.eq(layer.extension.output_words),
            tile.block_y.eq(visits.y),
            tile.block_x.eq(visits.x),
            tile.height.eq(extent(self.geometry.height, self.geometry, visits.y)),
            tile.width.eq(extent(self.geometry.width, self.geometry, visits.x)),
            tile.word_last.eq(visits.word_last | ~whole),
            tile.threshold.eq(values.filter.threshold),
            leaving.base.eq(base.at),
            leaving.carried.eq(~(visits.first_round | layer.anew)),
            leaving.last_round.eq(visits.last_round | layer.anew),
        ]
        group = Signal.like(tile.group, name="group")
        m.d.comb += tile.group.eq(group)
        with m.If(issue.end & coming.segment_end & coming.close & visits.last):
            m.d.sync += group.eq(group + 1)
        with m.If(self.layer_start):
            m.d.sync += group.eq(0)
        return tile

    def _layer_end(self, m: Module, last_pass: Value, busy: Signal) -> Signal:
        """From the end of the layer's last pass until its last tile is out; then the PE is `done`."""
        ending = Signal(name="layer_ending")
        with m.If(last_pass):
            m.d.sync += ending.eq(1)
        with m.FSM(init="DONE"):
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                with m.If(self.layer_start):
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(ending & ~busy):
                    m.d.sync += ending.eq(0)
                    m.next = "DONE"
        return ending

    def _count(self, m: Module, accounts: Accounts) -> None:
        """The accounts into the counters, and those into the chain."""
        config = self.config
        m.submodules.counters = counters = Counters(config, config.banks * config.ticks)
        m.d.comb += [
            accounts.done.eq(self.done),
            accounts.layer_active.eq(self.layer_active),
            accounts.loading.eq(self.loading),
            counters.steps.eq(accounts.positions),
            counters.accumulates.eq(accounts.accumulates),
            counters.shortcut_accumulates.eq(accounts.shortcut_accumulates),
            counters.cycle.eq(accounts.cycle),
            counters.counting.eq(self.counting),
            counters.capture.eq(self.capture),
            counters.shift.eq(self.shift),
            counters.chain_in.eq(self.chain_in),
            self.chain_out.eq(counters.chain_out),
        ]
