"""The WSP decoder of a PE: scratchpad words in, weights with their channel and kernel position out."""

from __future__ import annotations

from amaranth import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import STREAM_BITS, WORD_BITS, Config
from hw.geometry import geometry_layout
from hw.program import FILTER_HEADER
from hw.scratchpad import pointer_bits
from hw.tile_counter import TileCounter
from hw.unreset import data_register
from hw.widths import BLOCK_BITS, CHANNEL_BITS, KERNEL, LENGTH_BITS, POSITION_BITS


def weight_layout(config: Config) -> data.StructLayout:
    """A decoded weight, with the tile it is for and what the sweep must do around it."""
    return data.StructLayout(
        {
            "value": signed(config.weight_bits),
            "channel": CHANNEL_BITS,
            "position": POSITION_BITS,  # in the kernel, 0 = top left
            "empty": 1,  # no weight at all: the filter (or its part) is empty
            "opening": 1,  # first of a tile: start from the bias, and drain the tile before
            "segment_last": 1,  # last before the barrier
            "end": 1,  # last of the layer
            "block_y": BLOCK_BITS,
            "block_x": BLOCK_BITS,
            "word_last": 1,  # the tile completes a word of the output map
            "group": CHANNEL_BITS,
            "bias": signed(config.accumulator_bits),
            "threshold": signed(config.accumulator_bits),
        }
    )


class _Place:
    """Which word of a segment is next, and what it is of: registers, all 0 at its start."""

    def __init__(self) -> None:
        self.column = Signal(2)  # in its row
        self.index = Signal(LENGTH_BITS)
        self.channel = Signal(CHANNEL_BITS)
        self.skip = Signal(WORD_BITS - KERNEL)  # what the last header adds to it
        self.pattern = Signal(KERNEL)  # values of the slice still to come

    def step(self, m: Module, word: Signal, here: Signal, is_header: Signal) -> None:
        """Behind a word, a header or a value of channel `here`."""
        m.d.sync += [
            self.column.eq(self.column + 1),
            self.index.eq(self.index + 1),
            self.channel.eq(here),
        ]
        with m.If(is_header):
            m.d.sync += [self.skip.eq(word[KERNEL:]), self.pattern.eq(word[:KERNEL])]
        with m.Else():
            rest = self.pattern & (self.pattern - 1)[:KERNEL]
            m.d.sync += [self.pattern.eq(rest), self.skip.eq(rest == 0)]


class WspDecoder(wiring.Component):
    """Walks the segments of a PE, tile after tile; a word a cycle.

    header: the segments to come. layer_start: a pulse; after the last segment of a layer the
    decoder waits for the next. read, row, data, head, tail: the scratchpad's (scratchpad.py). Where a
    segment ends with a header, which no compiler should write, an empty weight stands for it.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        pointer = pointer_bits(config)
        super().__init__(
            {
                "header": In(stream.Signature(FILTER_HEADER)),
                "layer_start": In(1),
                "geometry": In(geometry_layout(config)),
                "read": Out(1),
                "row": Out(pointer),
                "data": In(STREAM_BITS),
                "head": In(pointer),
                "tail": Out(pointer),
                "o": Out(stream.Signature(weight_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        segment = Signal(FILTER_HEADER, reset_less=True)
        running = Signal()
        waiting = Signal(init=1)  # for the next layer
        pointer = len(self.row)
        reading = Signal(pointer)  # the row that `data` shows
        start = Signal(pointer)  # first row of the segment
        place = _Place()
        available = Signal()  # `data` holds the current row
        first = Signal(init=1)  # no weight of this pass has been emitted yet
        here = Signal(CHANNEL_BITS)
        m.submodules.tiles = tiles = TileCounter(self.config)
        group = Signal(CHANNEL_BITS)
        word = Signal(WORD_BITS)
        is_header = Signal()
        empty = Signal()
        can_emit = Signal()
        last_pass, last_word = Signal(name="last_pass"), Signal(name="last_word")
        consume, emit = Signal(name="consume"), Signal(name="emit")
        pass_end = Signal()
        segment_end = Signal()
        m.d.comb += [
            word.eq(self.data.word_select(place.column, WORD_BITS)),
            here.eq(place.channel + place.skip),
            is_header.eq(place.pattern == 0),
            empty.eq(segment.length == 0),
            can_emit.eq(~self.o.valid | self.o.ready),
            last_word.eq(place.index == segment.length - 1),
            consume.eq(running & available & ~empty & ((is_header & ~last_word) | can_emit)),
            emit.eq((consume & (~is_header | last_word)) | (running & empty & can_emit)),
            pass_end.eq(emit & (empty | last_word)),
            last_pass.eq(~segment.all_tiles | tiles.last),
            segment_end.eq(pass_end & last_pass),
            tiles.geometry.eq(self.geometry),
            tiles.step.eq(pass_end & segment.close),
        ]

        first_after = start + ((segment.length + 3) >> 2)
        rows = [
            (segment_end, first_after),
            (pass_end, start),
            (consume & (place.column == 3), reading + 1),
        ]
        self._show(m, rows, reading, available)
        m.d.comb += self.tail.eq(Mux(running & last_pass, reading, start))

        with m.If(pass_end):
            m.d.sync += [register.eq(0) for register in vars(place).values()]
        with m.Elif(consume):
            place.step(m, word, here, is_header)
        with m.If(emit):
            m.d.sync += first.eq(pass_end)
        with m.If(segment_end):
            m.d.sync += [running.eq(0), start.eq(self.row), waiting.eq(segment.end)]
            m.d.sync += group.eq(group + (segment.close & tiles.last))

        m.d.comb += self.header.ready.eq(~running & ~waiting)
        with m.If(self.header.ready & self.header.valid):
            m.d.sync += [segment.eq(self.header.payload), running.eq(1)]
        with m.If(self.layer_start):
            m.d.sync += [waiting.eq(0), group.eq(0)]

        weight = {
            "value": Mux(is_header, 0, word.as_signed()),
            "channel": here,
            "position": lowest_bit(place.pattern),
            "empty": is_header,
            "opening": segment.open & first,
            "segment_last": segment_end,
            "end": segment.end,
            "block_y": tiles.y,
            "block_x": tiles.x,
            "word_last": tiles.word_last,
            "group": group,
            "bias": segment.bias,
            "threshold": segment.threshold,
        }
        self._offer(m, emit, weight)
        return m

    def _show(
        self, m: Module, rows: list[tuple[Value, Value]], reading: Signal, available: Signal
    ) -> None:
        """Which row `data` shows next. rows: when and which, by rank; else the row of now, if it was not there."""
        m.d.comb += [self.row.eq(reading), self.read.eq(~available)]
        for k, (when, row) in enumerate(rows):
            with m.Elif(when) if k else m.If(when):
                m.d.comb += [self.row.eq(row), self.read.eq(1)]
        m.d.sync += [reading.eq(self.row), available.eq(self.row != self.head)]

    def _offer(self, m: Module, emit: Signal, weight: dict[str, Value]) -> None:
        """The output's register, of the fields of `weight_layout`."""
        o = data_register(m, self.o.payload, "weight")
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(emit):
            m.d.sync += self.o.valid.eq(1)
            m.d.sync += [o[name].eq(value) for name, value in weight.items()]


def lowest_bit(pattern: Value) -> Value:
    """Index of the lowest bit that is set (0 where none is)."""
    result: Value = Const(0, POSITION_BITS)
    for k in reversed(range(len(pattern))):
        result = Mux(pattern[k], k, result)
    return result
