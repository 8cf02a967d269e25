"""The event machine's loader: reads the program stream and hands each part to whom it is for."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import MAX_SIDE, STREAM_BITS, WORD_BITS, Config
from hw.event.program import (
    FILTER_HEADER,
    LIST_WORDS,
    SEGMENT_HEADER,
    ring_rows,
    stream_lanes,
    version,
)
from hw.loader import Error
from hw.program import INPUT_HEADER, LAYER, MAGIC, PROGRAM_HEADER


def beat_layout(config: Config) -> data.StructLayout:
    """A beat of the program, AXI4-Stream's TDATA and TLAST."""
    return data.StructLayout({"data": config.stream_bits, "last": 1})


class Loader(wiring.Component):
    """A beat a cycle, unless its receiver is full. Loading runs ahead of the running layer.

    input_start, input_header, activations, input_done: the APU's. layer: the next layer's descriptor.
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
                "layer": Out(stream.Signature(LAYER)),
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
        valid, ready = Signal(), Signal()  # nothing is taken after an error
        accepted, final = Signal(), Signal()  # final: this beat ends the program
        layers_left, low, descriptor = Signal(8), Signal(STREAM_BITS), Signal(LAYER)
        program, segment = Signal(PROGRAM_HEADER), Signal(SEGMENT_HEADER)
        held = Signal(SEGMENT_HEADER)
        team, row = Signal(range(max(teams, 2))), Signal(9)
        list_rows = Signal(9)
        segment_done = Signal()
        m.d.comb += [
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
        with m.If(self.layer.ready):
            m.d.sync += self.layer.valid.eq(0)

        def fail(error: Error) -> None:
            m.d.sync += self.error.eq(error)

        # What each lane's PE takes of the rows to come.
        here = [Signal(FILTER_HEADER, name=f"header_{k}") for k in range(lanes)]
        counts = data.StructLayout({"header_rows": 8, "value_rows": 8})
        kept = [Signal(counts, name=f"rows_{k}") for k in range(lanes)]
        most, left = Signal(counts), Signal(counts)  # of the lanes, in this beat, and held
        for k in range(lanes):
            m.d.comb += here[k].eq(self.lanes[k])
        for name in ("header_rows", "value_rows"):
            top = here[0][name]
            for k in range(1, lanes):
                top = Mux(here[k][name] > top, here[k][name], top)
            m.d.comb += most[name].eq(top)

        def to_pes(kind: str, takes: list) -> None:
            """Offer the lanes to this team's PEs, each as far as it takes it, once all can."""
            valids, readies = getattr(self, f"{kind}_valid"), getattr(self, f"{kind}_ready")
            m.d.comb += ready.eq(1)
            for pe in range(config.n_pe):
                mine = (team == pe // lanes) & takes[pe % lanes]
                with m.If(mine & ~readies[pe]):
                    m.d.comb += ready.eq(0)
                m.d.comb += valids[pe].eq(mine & accepted)

        def next_team() -> None:
            """After a team's rows: the next team's, the next segment's or layer's, or the end."""
            m.d.sync += team.eq(team + 1)
            m.next = "FILTER"
            with m.If(team == teams - 1):
                m.d.comb += segment_done.eq(1)
                m.d.sync += team.eq(0)
                m.next = "SEGMENT"
                with m.If(held.end):
                    m.d.sync += layers_left.eq(layers_left - 1)
                    m.next = "LAYER"
                with m.If(final):
                    m.next = "RUNNING"

        with m.FSM():
            with m.State("PROGRAM"):
                m.d.comb += [ready.eq(1), self.first.eq(accepted)]
                with m.If(accepted):
                    m.d.sync += [layers_left.eq(program.layers), self.layers.eq(program.layers)]
                    m.next = "INPUT"
                    wrong = (
                        (program.magic != MAGIC)
                        | (program.version != version(config))
                        | (program.n_pe != config.n_pe)
                        | (program.ticks != config.ticks)
                        | (program.tile_side != config.tile_side)
                        | (program.layers == 0)
                    )
                    with m.If(wrong):
                        fail(Error.HEADER)
            with m.State("INPUT"):
                m.d.comb += [ready.eq(1), self.input_start.eq(accepted)]
                with m.If(accepted):
                    m.next = "ACTIVATIONS"
                    bad = (self.input_header.side == 0) | (self.input_header.side > MAX_SIDE)
                    with m.If(bad | (self.input_header.channels == 0)):
                        fail(Error.DESCRIPTOR)
            with m.State("ACTIVATIONS"):
                m.d.comb += [
                    self.activations.valid.eq(valid),
                    ready.eq(self.activations.ready),
                ]
                with m.If(self.input_done):
                    m.next = "LAYER"
            with m.State("LAYER"):
                m.d.comb += ready.eq(1)
                with m.If(accepted):
                    m.d.sync += low.eq(low_beat)
                    m.next = "LAYER_HIGH"
            with m.State("LAYER_HIGH"):
                m.d.comb += ready.eq(~self.layer.valid)
                with m.If(accepted):
                    m.d.sync += [self.layer.payload.eq(descriptor), self.layer.valid.eq(1)]
                    m.next = "SEGMENT"
                    sides = [descriptor.side, descriptor.input.side, descriptor.output_side]
                    bad = (descriptor.filters == 0) | (descriptor.shortcut.side > MAX_SIDE)
                    bad = bad | (descriptor.raw & (descriptor.side != 1)) | descriptor.half
                    for side in sides:
                        bad = bad | (side == 0) | (side > MAX_SIDE)
                    with m.If(bad):
                        fail(Error.DESCRIPTOR)
            with m.State("SEGMENT"):
                m.d.comb += [ready.eq(self.segment.ready), self.segment.valid.eq(accepted)]
                with m.If(accepted):
                    m.d.sync += [held.eq(segment), row.eq(0)]
                    m.next = "LIST"
                    with m.If(segment.length == 0):
                        m.next = "FILTER"
                    with m.If((segment.all_tiles | segment.end) & ~segment.close):
                        fail(Error.SEGMENT)
                    with m.If(segment.length > LIST_WORDS):
                        fail(Error.DESCRIPTOR)
            with m.State("LIST"):
                m.d.comb += [ready.eq(self.list.ready), self.list.valid.eq(accepted)]
                with m.If(accepted):
                    m.d.sync += row.eq(row + 1)
                    with m.If(row == list_rows - 1):
                        m.d.sync += row.eq(0)
                        m.next = "FILTER"
            with m.State("FILTER"):
                to_pes("header", [1] * lanes)
                with m.If(accepted):
                    m.d.sync += left.eq(most)
                    for k in range(lanes):
                        m.d.sync += kept[k].header_rows.eq(here[k].header_rows)
                        m.d.sync += kept[k].value_rows.eq(here[k].value_rows)
                    with m.If(most.header_rows != 0):
                        m.next = "HEADERS"
                    with m.Elif(most.value_rows != 0):
                        m.next = "VALUES"
                    with m.Else():
                        next_team()
                    rows = ring_rows(config)
                    with m.If((most.header_rows > rows) | (most.value_rows > rows)):
                        fail(Error.DESCRIPTOR)
            with m.State("HEADERS"):
                to_pes("headers", [kept[k].header_rows > row for k in range(lanes)])
                with m.If(accepted):
                    m.d.sync += row.eq(row + 1)
                    with m.If(row == left.header_rows - 1):
                        m.d.sync += row.eq(0)
                        with m.If(left.value_rows != 0):
                            m.next = "VALUES"
                        with m.Else():
                            next_team()
            with m.State("VALUES"):
                to_pes("values", [kept[k].value_rows > row for k in range(lanes)])
                with m.If(accepted):
                    m.d.sync += row.eq(row + 1)
                    with m.If(row == left.value_rows - 1):
                        m.d.sync += row.eq(0)
                        next_team()
            with m.State("RUNNING"):
                with m.If(self.finished):
                    m.next = "PROGRAM"
        with m.If(accepted & (self.i.payload.last != final)):
            m.d.sync += self.error.eq(Mux(final, Error.LAST_LATE, Error.LAST_EARLY))
        return m
