"""The event machine's loader: reads the program stream and hands each part to whom it is for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from hw.config import STREAM_BITS, WORD_BITS, Config
from hw.event.program import (
    FILTER_HEADER,
    LIST_WORDS,
    SEGMENT_HEADER,
    ring_rows,
    stream_lanes,
    version,
)
from hw.loader import Beat, Error, ProgramReader, another_program, bad_descriptor
from hw.program import EXTENDED_LAYER, INPUT_HEADER, PROGRAM_HEADER, layer_layout

ROWS = data.StructLayout({"header_rows": 8, "value_rows": 8})
"""Rows of the program that a PE takes after its filter header."""


def beat_layout(config: Config) -> data.StructLayout:
    """A beat of the program, AXI4-Stream's TDATA and TLAST."""
    return data.StructLayout({"data": config.stream_bits, "last": 1})


class Loader(ProgramReader):
    """A beat a cycle, unless its receiver is full. Loading runs ahead of the running layer.

    input_start, input_header, activations, input_done: the APU's. begin: a pulse: a program's input is there, and its
    header was read. layer: the next layer's descriptor.
    list, segment, loaded: the caster's. lanes: what a beat has for PEs side by side; header, headers, values:
    which PEs take their lane as a filter header, a row of slice headers or of values, `valid` only where all can.
    first: the program's first beat is taken. finished: a pulse: the program's layers are done.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        n = config.n_pe
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(config))),
                "first": Out(1),
                "input_start": Out(1),
                "input_header": Out(INPUT_HEADER),
                "activations": Out(stream.Signature(STREAM_BITS)),
                "input_done": In(1),
                "begin": Out(1),
                "layer": Out(stream.Signature(layer_layout(config))),
                "layers": Out(8),
                "list": Out(stream.Signature(config.stream_bits)),
                "segment": Out(stream.Signature(SEGMENT_HEADER)),
                "loaded": Out(1),
                "lanes": Out(data.ArrayLayout(STREAM_BITS, stream_lanes(config))),
                "header_valid": Out(n),
                "header_ready": In(n),
                "headers_valid": Out(n),
                "headers_ready": In(n),
                "values_valid": Out(n),
                "values_ready": In(n),
                "finished": In(1),
                "error": Out(Error),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        lanes, words = stream_lanes(config), config.stream_bits // WORD_BITS
        teams = -(-config.n_pe // lanes)  # of PEs side by side
        low_beat = Signal(STREAM_BITS)
        valid, ready = Signal(name="valid"), Signal(name="ready")  # nothing is taken after an error
        accepted = Signal()
        final = Signal()  # this beat ends the program
        layers_left = Signal(8)
        low = Signal(STREAM_BITS)
        descriptor = Signal(EXTENDED_LAYER)
        program = Signal(PROGRAM_HEADER)
        segment = Signal(SEGMENT_HEADER)
        held = Signal(SEGMENT_HEADER)
        team = Signal(range(max(teams, 2)))
        row, list_rows = Signal(9, name="row"), Signal(9, name="list_rows")
        segment_done = Signal()
        there = Signal()  # the next program's input, which came within this one
        begins = Signal()
        m.d.sync += begins.eq(0)
        m.d.comb += [
            self.begin.eq(begins),
            low_beat.eq(self.i.payload.data),
            valid.eq(self.i.valid & (self.error == Error.NONE)),
            self.i.ready.eq(ready & (self.error == Error.NONE)),
            accepted.eq(valid & ready),
            program.eq(low_beat),
            segment.eq(low_beat),
            descriptor.eq(Cat(low, low_beat)),
            self.input_header.eq(low_beat),
            self.activations.payload.eq(low_beat),
            self.segment.payload.eq(segment),
            self.list.payload.eq(self.i.payload.data),
            self.lanes.eq(self.i.payload.data),
            list_rows.eq((held.length + (words - 1)) >> (words.bit_length() - 1)),
            self.loaded.eq(segment_done),
            final.eq(segment_done & held.end & (layers_left == 1)),
        ]
        shown = Beat(low_beat, valid, ready, accepted)
        with m.If(self.layer.ready):
            m.d.sync += self.layer.valid.eq(0)
        # of the largest PE, in this beat, and held
        most = Signal(ROWS)
        left = Signal(ROWS)
        here = self._headers(m, most)

        more = Signal()  # the input's part is not its last
        start = partial(self._start, m, there, begins)
        list_or_filter = partial(self._list_or_filter, m)

        def next_team() -> None:  # no partial: signals in a closure have other names in the Verilog
            self._next_team(m, team, held, layers_left, final, there, done=segment_done)

        def stored() -> None:
            """After the input, or a part of the next program's."""
            with m.If(held.input):
                m.d.sync += [held.input.eq(0), there.eq(~more)]
                list_or_filter(held.length)
            with m.Else():
                m.d.comb += self.begin.eq(1)
                m.next = "LAYER"

        with m.If(self.input_start):
            m.d.sync += more.eq(self.input_header.more)
        with m.FSM():
            wrong = another_program(program, config, version(config))
            self._input_states(m, shown, program, wrong, layers_left, then=start, stored=stored)
            bad = bad_descriptor(descriptor)
            self._layer_states(
                m, shown, low, descriptor, bad, then="SEGMENT", extended=descriptor.extended
            )
            self._list_states(m, shown, segment, held, list_rows, row, list_or_filter)
            self._pe_states(m, shown, here, most, left, team, row, next_team)
            with m.State("RUNNING"):
                with m.If(self.finished):
                    m.next = "PROGRAM"
        with m.If(accepted & (self.i.payload.last != final)):
            m.d.sync += self.error.eq(Mux(final, Error.LAST_LATE, Error.LAST_EARLY))
        return m

    def _start(self, m: Module, there: Signal, begins: Signal) -> None:
        """After a program's header: its input, or, where that is there, its layers."""
        m.d.sync += there.eq(0)
        with m.If(there):
            m.d.sync += begins.eq(1)
            m.next = "LAYER"
        with m.Else():
            m.d.comb += self.first.eq(1)
            m.next = "INPUT"

    def _list_or_filter(self, m: Module, length: Value) -> None:
        """After a segment's header: its list, or, where that is empty, the first team's filters."""
        m.next = "LIST"
        with m.If(length == 0):
            m.next = "FILTER"

    def _next_team(
        self,
        m: Module,
        team: Signal,
        held: data.View,
        layers_left: Signal,
        final: Signal,
        there: Signal,
        *,
        done: Signal,
    ) -> None:
        """After a team's rows: the next team's, the next segment's or layer's, or the end. done: the segment is."""
        m.d.sync += team.eq(team + 1)
        m.next = "FILTER"
        with m.If(team == -(-self.config.n_pe // len(self.lanes)) - 1):
            m.d.comb += done.eq(1)
            m.d.sync += team.eq(0)
            m.next = "SEGMENT"
            with m.If(held.end):
                m.d.sync += layers_left.eq(layers_left - 1)
                m.next = "LAYER"
            with m.If(final):
                m.next = "RUNNING"
                with m.If(there):
                    m.next = "PROGRAM"

    def _headers(self, m: Module, most: data.View) -> list[data.View]:
        """Each lane of the beat as a filter header. most: gets the most rows that one of them announces."""
        here = [Signal(FILTER_HEADER, name=f"header_{k}") for k in range(len(self.lanes))]
        for k, header in enumerate(here):
            m.d.comb += header.eq(self.lanes[k])
        for name in ("header_rows", "value_rows"):
            top = here[0][name]
            for header in here[1:]:
                top = Mux(header[name] > top, header[name], top)
            m.d.comb += most[name].eq(top)
        return here

    def _offer(self, m: Module, beat: Beat, kind: str, takes: list, team: Signal) -> None:
        """Offer the lanes to this team's PEs, each as far as it takes it, once all can."""
        lanes = len(self.lanes)
        valids, readies = getattr(self, f"{kind}_valid"), getattr(self, f"{kind}_ready")
        m.d.comb += beat.ready.eq(1)
        for pe in range(self.config.n_pe):
            mine = (team == pe // lanes) & takes[pe % lanes]
            with m.If(mine & ~readies[pe]):
                m.d.comb += beat.ready.eq(0)
            m.d.comb += valids[pe].eq(mine & beat.accepted)

    def _list_states(
        self,
        m: Module,
        beat: Beat,
        segment: data.View,
        held: data.View,
        rows: Signal,
        row: Signal,
        then: Callable[[Value], None],
    ) -> None:
        """A segment's header, kept in `held`, and its list of slices. then: goes on from its length."""
        with m.State("SEGMENT"):
            m.d.comb += [beat.ready.eq(self.segment.ready), self.segment.valid.eq(beat.accepted)]
            with m.If(beat.accepted):
                m.d.sync += [held.eq(segment), row.eq(0)]
                then(segment.length)
                with m.If(segment.input):
                    m.next = "INPUT"
                with m.If((segment.all_tiles | segment.end) & ~segment.close):
                    self._fail(m, Error.SEGMENT)
                with m.If(segment.length > LIST_WORDS):
                    self._fail(m, Error.DESCRIPTOR)
        with m.State("LIST"):
            m.d.comb += [beat.ready.eq(self.list.ready), self.list.valid.eq(beat.accepted)]
            with m.If(beat.accepted):
                m.d.sync += row.eq(row + 1)
                with m.If(row == rows - 1):
                    m.d.sync += row.eq(0)
                    m.next = "FILTER"

    def _pe_states(
        self,
        m: Module,
        beat: Beat,
        here: list[data.View],
        most: data.View,
        left: data.View,
        team: Signal,
        row: Signal,
        next_team: Callable[[], None],
    ) -> None:
        """A team's filter headers, then as many rows of slice headers and of values as its largest PE has."""
        kept = [Signal(ROWS, name=f"rows_{k}") for k in range(len(here))]  # of each lane's PE
        with m.State("FILTER"):
            self._offer(m, beat, "header", [1] * len(here), team)
            with m.If(beat.accepted):
                m.d.sync += left.eq(most)
                for rows, header in zip(kept, here, strict=True):
                    m.d.sync += rows.header_rows.eq(header.header_rows)
                    m.d.sync += rows.value_rows.eq(header.value_rows)
                with m.If(most.header_rows != 0):
                    m.next = "HEADERS"
                with m.Elif(most.value_rows != 0):
                    m.next = "VALUES"
                with m.Else():
                    next_team()
                room = ring_rows(self.config)
                with m.If((most.header_rows > room) | (most.value_rows > room)):
                    self._fail(m, Error.DESCRIPTOR)
        with m.State("HEADERS"):
            self._offer(m, beat, "headers", [rows.header_rows > row for rows in kept], team)
            with m.If(beat.accepted):
                m.d.sync += row.eq(row + 1)
                with m.If(row == left.header_rows - 1):
                    m.d.sync += row.eq(0)
                    with m.If(left.value_rows != 0):
                        m.next = "VALUES"
                    with m.Else():
                        next_team()
        with m.State("VALUES"):
            self._offer(m, beat, "values", [rows.value_rows > row for rows in kept], team)
            with m.If(beat.accepted):
                m.d.sync += row.eq(row + 1)
                with m.If(row == left.value_rows - 1):
                    m.d.sync += row.eq(0)
                    next_team()
