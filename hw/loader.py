"""The loader: reads the program stream and hands each part to whom it is for."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import MAX_SIDE, STREAM_BITS, STREAM_WORDS, Config
from hw.program import FILTER_HEADER, INPUT_HEADER, LAYER, MAGIC, PROGRAM_HEADER, VERSION


class Error(enum.IntEnum):
    """Why the top stopped; it takes a new program after reset."""

    NONE = 0
    """Nothing is wrong."""
    HEADER = 1
    """The program is of another version, or for another array."""
    LAST_EARLY = 2
    """`last` came before the end of the program."""
    LAST_LATE = 3
    """No `last` on the program's last beat."""
    DESCRIPTOR = 4
    """A map, a filter or raw results that the array cannot hold."""
    SEGMENT = 5
    """PEs have different parts of the layer, or one stays for all tiles and closes none."""


def beat_layout() -> data.StructLayout:
    """A beat of a stream at the edge of the chip, AXI4-Stream's TDATA and TLAST."""
    return data.StructLayout({"data": STREAM_BITS, "last": 1})


def another_program(program: data.View, config: Config, version: int = VERSION) -> Value:
    """Whether a program header is of another version, or for another array."""
    return (
        (program.magic != MAGIC)
        | (program.version != version)
        | (program.n_pe != config.n_pe)
        | (program.ticks != config.ticks)
        | (program.tile_side != config.tile_side)
        | (program.layers == 0)
    )


def bad_descriptor(layer: data.View) -> Value:
    """Whether a layer has a map, filters or raw results that the array cannot hold."""
    bad = (layer.filters == 0) | (layer.shortcut.side > MAX_SIDE)
    bad = bad | (layer.raw & (layer.side != 1))
    for side in (layer.side, layer.input.side, layer.output_side):
        bad = bad | (side == 0) | (side > MAX_SIDE)
    return bad


@dataclass(frozen=True)
class Beat:
    """The beat that the program stream shows, and its handshake."""

    data: Value
    valid: Signal
    ready: Signal
    accepted: Signal


class ProgramReader(wiring.Component):
    """What the loaders of both machines share: states of a program's start and of layer descriptors.

    Of the loader's ports they use first, layers, input_start, input_header, activations, input_done, begin, layer, error.
    """

    def _fail(self, m: Module, error: Error) -> None:
        m.d.sync += self.error.eq(error)

    def _input_states(
        self,
        m: Module,
        beat: Beat,
        program: data.View,
        wrong: Value,
        layers_left: Signal,
        *,
        then: Callable[[], None] | None = None,
        stored: Callable[[], None] | None = None,
    ) -> None:
        """The program's header, `wrong` if it is for another array, and the input map.

        then: what follows the header, and stored: what follows the input; by default the input, and the first layer.
        """

        def start() -> None:
            m.d.comb += self.first.eq(1)
            m.next = "INPUT"

        def begin() -> None:
            m.d.comb += self.begin.eq(1)
            m.next = "LAYER"

        with m.State("PROGRAM"):
            m.d.comb += beat.ready.eq(1)
            with m.If(beat.accepted):
                m.d.sync += [layers_left.eq(program.layers), self.layers.eq(program.layers)]
                (then or start)()
                with m.If(wrong):
                    self._fail(m, Error.HEADER)
        with m.State("INPUT"):
            m.d.comb += [beat.ready.eq(1), self.input_start.eq(beat.accepted)]
            with m.If(beat.accepted):
                m.next = "ACTIVATIONS"
                bad = (self.input_header.side == 0) | (self.input_header.side > MAX_SIDE)
                with m.If(bad | (self.input_header.channels == 0)):
                    self._fail(m, Error.DESCRIPTOR)
        with m.State("ACTIVATIONS"):
            m.d.comb += [
                self.activations.valid.eq(beat.valid),
                beat.ready.eq(self.activations.ready),
            ]
            with m.If(self.input_done):
                (stored or begin)()

    def _layer_states(
        self,
        m: Module,
        beat: Beat,
        low: Signal,
        descriptor: data.View,
        bad: Value,
        *,
        then: str,
        extended: Value | None = None,
    ) -> None:
        """The two beats of a layer's descriptor, `bad` if the array cannot hold it; then the state `then`.

        extended: a third beat follows; None: never.
        """
        with m.State("LAYER"):
            m.d.comb += beat.ready.eq(1)
            with m.If(beat.accepted):
                m.d.sync += low.eq(beat.data)
                m.next = "LAYER_HIGH"
        with m.State("LAYER_HIGH"):
            m.d.comb += beat.ready.eq(~self.layer.valid)
            with m.If(beat.accepted):
                m.d.sync += [self.layer.payload.eq(descriptor), self.layer.valid.eq(1)]
                m.next = then
                if extended is not None:
                    with m.If(extended):
                        m.d.sync += self.layer.valid.eq(0)
                        m.next = "LAYER_MORE"
                with m.If(bad):
                    self._fail(m, Error.DESCRIPTOR)
        if extended is not None:
            with m.State("LAYER_MORE"):
                m.d.comb += beat.ready.eq(1)
                with m.If(beat.accepted):
                    m.d.sync += [
                        self.layer.payload.extension.eq(beat.data),
                        self.layer.valid.eq(1),
                    ]
                    m.next = then


class Loader(ProgramReader):
    """A beat a cycle, unless its receiver is full. Loading runs ahead of the running layer.

    input_start, input_header: to the APU, which then reads `activations` until `input_done`. begin: a pulse: so it has.
    layer: the next layer's descriptor. header, weights, pe: filter headers and WSP words, and which
    PE they are for (one ready and one valid each a PE). first: the program's first beat is taken.
    finished: from the sequencer, a pulse: the program's layers are done.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout())),
                "first": Out(1),
                "input_start": Out(1),
                "input_header": Out(INPUT_HEADER),
                "activations": Out(stream.Signature(STREAM_BITS)),
                "input_done": In(1),
                "begin": Out(1),
                "layer": Out(stream.Signature(LAYER)),
                "layers": Out(8),
                "header": Out(FILTER_HEADER),
                "header_valid": Out(config.n_pe),
                "header_ready": In(config.n_pe),
                "weights": Out(STREAM_BITS),
                "weights_valid": Out(config.n_pe),
                "weights_ready": In(config.n_pe),
                "finished": In(1),
                "error": Out(Error),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        beat = self.i.payload.data
        valid, ready = Signal(name="valid"), Signal(name="ready")  # nothing is taken after an error
        accepted = Signal()
        final = Signal()  # this beat ends the program
        pe = Signal(range(max(config.n_pe, 2)))
        rows_left = Signal(10)
        layers_left = Signal(8)
        low = Signal(STREAM_BITS)  # first half of a layer descriptor
        descriptor = Signal(LAYER)
        program = Signal(PROGRAM_HEADER)
        header = Signal(FILTER_HEADER)
        rows = Signal(10)
        layer_end, segment_end = Signal(name="layer_end"), Signal(name="segment_end")
        part = Signal(4)  # of the layer, in the header that the stream shows
        ending = Signal()  # the segment being loaded is the layer's last
        m.d.comb += [
            valid.eq(self.i.valid & (self.error == Error.NONE)),
            self.i.ready.eq(ready & (self.error == Error.NONE)),
            accepted.eq(valid & ready),
            program.eq(beat),
            header.eq(beat),
            descriptor.eq(Cat(low, beat)),
            self.input_header.eq(beat),
            self.activations.payload.eq(beat),
            self.header.eq(header),
            self.weights.eq(beat),
            rows.eq((header.length + (STREAM_WORDS - 1)) >> 2),
            final.eq(layer_end & (layers_left == 1)),
            part.eq(Cat(header.open, header.close, header.all_tiles, header.end)),
            segment_end.eq(ending),
        ]
        shown = Beat(beat, valid, ready, accepted)
        with m.If(self.layer.ready):
            m.d.sync += self.layer.valid.eq(0)

        def next_part() -> None:
            """After a PE's part of a segment: the next PE's, segment's or layer's, or the end."""
            m.d.comb += layer_end.eq(segment_end & (pe == config.n_pe - 1))
            m.d.sync += pe.eq(pe + 1)
            m.next = "FILTER"
            with m.If(pe == config.n_pe - 1):
                m.d.sync += pe.eq(0)
            with m.If(layer_end):
                m.d.sync += layers_left.eq(layers_left - 1)
                m.next = "LAYER"
            with m.If(final):
                m.next = "RUNNING"

        with m.FSM():
            wrong = another_program(program, config)
            self._input_states(m, shown, program, wrong, layers_left)
            bad = bad_descriptor(descriptor)
            self._layer_states(m, shown, low, descriptor, bad, then="FILTER")
            with m.State("FILTER"):
                m.d.comb += ready.eq(self.header_ready.bit_select(pe, 1))
                m.d.comb += self.header_valid.bit_select(pe, 1).eq(valid)
                m.d.comb += segment_end.eq(header.end)
                with m.If(accepted):
                    m.d.sync += [rows_left.eq(rows), ending.eq(header.end)]
                    with m.If(rows == 0):
                        next_part()
                    with m.Else():
                        m.next = "WORDS"
                    self._check(m, header, part, pe)
            with m.State("WORDS"):
                m.d.comb += ready.eq(self.weights_ready.bit_select(pe, 1))
                m.d.comb += self.weights_valid.bit_select(pe, 1).eq(valid)
                with m.If(accepted):
                    m.d.sync += rows_left.eq(rows_left - 1)
                    with m.If(rows_left == 1):
                        next_part()
            with m.State("RUNNING"):
                with m.If(self.finished):
                    m.next = "PROGRAM"
        with m.If(accepted & (self.i.payload.last != final)):
            m.d.sync += self.error.eq(Mux(final, Error.LAST_LATE, Error.LAST_EARLY))
        return m

    def _check(self, m: Module, header: data.View, part: Signal, pe: Signal) -> None:
        """A filter header: it fits, and all PEs of a segment have the same part of the layer as the first."""
        segment_part = Signal(4)
        with m.If(pe == 0):
            m.d.sync += segment_part.eq(part)
        with m.If(((pe != 0) & (part != segment_part)) | (header.all_tiles & ~header.close)):
            self._fail(m, Error.SEGMENT)
        with m.If(header.length > self.config.scratchpad_depth):
            self._fail(m, Error.DESCRIPTOR)
