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
        column = Signal(2)
        index = Signal(LENGTH_BITS)
        available = Signal()  # `data` holds the current row
        first = Signal(init=1)  # no weight of this pass has been emitted yet
        channel = Signal(CHANNEL_BITS)
        skip = Signal(WORD_BITS - KERNEL)  # what the last header adds to it
        here = Signal(CHANNEL_BITS)
        pattern = Signal(KERNEL)  # values of the slice still to come
        tiles = TileCounter(self.config)
        m.submodules.tiles = tiles
        group = Signal(CHANNEL_BITS)

        word = Signal(WORD_BITS)
        is_header, empty, can_emit, last_pass = Signal(), Signal(), Signal(), Signal()
        last_word = Signal()
        consume = Signal()
        emit = Signal()
        pass_end = Signal()
        segment_end = Signal()
        m.d.comb += [
            word.eq(self.data.word_select(column, WORD_BITS)),
            here.eq(channel + skip),
            is_header.eq(pattern == 0),
            empty.eq(segment.length == 0),
            can_emit.eq(~self.o.valid | self.o.ready),
            last_word.eq(index == segment.length - 1),
            consume.eq(running & available & ~empty & ((is_header & ~last_word) | can_emit)),
            emit.eq((consume & (~is_header | last_word)) | (running & empty & can_emit)),
            pass_end.eq(emit & (empty | last_word)),
            last_pass.eq(~segment.all_tiles | tiles.last),
            segment_end.eq(pass_end & last_pass),
            tiles.geometry.eq(self.geometry),
            tiles.step.eq(pass_end & segment.close),
        ]

        m.d.comb += [self.row.eq(reading), self.read.eq(~available)]
        with m.If(segment_end):
            m.d.comb += [self.row.eq(start + ((segment.length + 3) >> 2)), self.read.eq(1)]
        with m.Elif(pass_end):
            m.d.comb += [self.row.eq(start), self.read.eq(1)]
        with m.Elif(consume & (column == 3)):
            m.d.comb += [self.row.eq(reading + 1), self.read.eq(1)]
        m.d.comb += self.tail.eq(Mux(running & last_pass, reading, start))
        m.d.sync += [reading.eq(self.row), available.eq(self.row != self.head)]

        with m.If(pass_end):
            m.d.sync += [column.eq(0), index.eq(0), channel.eq(0), skip.eq(0), pattern.eq(0)]
        with m.Elif(consume):
            m.d.sync += [column.eq(column + 1), index.eq(index + 1), channel.eq(here)]
            with m.If(is_header):
                m.d.sync += [skip.eq(word[KERNEL:]), pattern.eq(word[:KERNEL])]
            with m.Else():
                rest = pattern & (pattern - 1)[:KERNEL]
                m.d.sync += [pattern.eq(rest), skip.eq(rest == 0)]
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

        o = data_register(m, self.o.payload, "weight")
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(emit):
            m.d.sync += [
                self.o.valid.eq(1),
                o.value.eq(Mux(is_header, 0, word.as_signed())),
                o.channel.eq(here),
                o.position.eq(lowest_bit(pattern)),
                o.empty.eq(is_header),
                o.opening.eq(segment.open & first),
                o.segment_last.eq(segment_end),
                o.end.eq(segment.end),
                o.block_y.eq(tiles.y),
                o.block_x.eq(tiles.x),
                o.word_last.eq(tiles.word_last),
                o.group.eq(group),
                o.bias.eq(segment.bias),
                o.threshold.eq(segment.threshold),
            ]
        return m


def lowest_bit(pattern: Value) -> Value:
    """Index of the lowest bit that is set (0 where none is)."""
    result: Value = Const(0, POSITION_BITS)
    for k in reversed(range(len(pattern))):
        result = Mux(pattern[k], k, result)
    return result
