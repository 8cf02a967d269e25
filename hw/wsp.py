"""The WSP decoder of a PE: scratchpad words in, weights with their channel and kernel position out."""

from __future__ import annotations

from amaranth import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import STREAM_BITS, WORD_BITS, Config
from hw.geometry import BLOCK_BITS, geometry_layout
from hw.program import FILTER_HEADER
from hw.scratchpad import pointer_bits
from hw.unreset import data_register

KERNEL = 9  # positions of a 3x3 kernel


def weight_layout(config: Config) -> data.StructLayout:
    """A decoded weight, with the tile it is for and what the sweep must do around it."""
    return data.StructLayout(
        {
            "value": signed(config.weight_bits),
            "channel": 11,
            "position": 4,  # in the kernel, 0 = top left
            "empty": 1,  # no weight at all: the filter (or its part) is empty
            "opening": 1,  # first of a tile: start from the bias, and drain the tile before
            "segment_last": 1,  # last before the barrier
            "end": 1,  # last of the layer
            "block_y": BLOCK_BITS,
            "block_x": BLOCK_BITS,
            "word_last": 1,  # the tile completes a word of the output map
            "group": 11,
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
        index = Signal(11)
        available = Signal()  # `data` holds the current row
        first = Signal(init=1)  # no weight of this pass has been emitted yet
        channel, skip = Signal(11), Signal(7)  # skip: what the last header adds to it
        here = Signal(11)
        pattern = Signal(KERNEL)  # values of the slice still to come
        tiles = TileCounter(self.config)
        m.submodules.tiles = tiles
        group = Signal(11)

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
    result: Value = Const(0, 4)
    for k in reversed(range(len(pattern))):
        result = Mux(pattern[k], k, result)
    return result


class TileCounter(wiring.Component):
    """The tiles of a map in the order in which output words complete.

    Word after word, each word's tiles row by row. `step` moves on; after the last tile comes the
    first again. A new geometry counts from the next cycle on.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(
            {
                "geometry": In(geometry_layout(config)),
                "step": In(1),
                "y": Out(BLOCK_BITS),
                "x": Out(BLOCK_BITS),
                "word_last": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        blocks = self.geometry.blocks
        mask = Signal(BLOCK_BITS)
        more_x, more_y = Signal(), Signal()  # tiles of the word to come in this row, in this column
        end_x, end_y = Signal(), Signal()  # of the map
        word_row, word_column = Signal(BLOCK_BITS), Signal(BLOCK_BITS)  # the word's first tile
        next_y, next_x = Signal(BLOCK_BITS), Signal(BLOCK_BITS)
        m.d.comb += [
            mask.eq(self.geometry.sub_mask),
            word_row.eq(self.y & ~mask),
            word_column.eq(self.x & ~mask),
            self.word_last.eq(~more_x & ~more_y),
            self.last.eq(end_x & end_y),
            next_y.eq(self.y),
            next_x.eq(self.x + 1),
        ]
        with m.If(~more_x & more_y):
            m.d.comb += [next_x.eq(word_column), next_y.eq(self.y + 1)]
        with m.Elif(~more_x & ~end_x):
            m.d.comb += next_y.eq(word_row)
        with m.Elif(~more_x):
            m.d.comb += [next_x.eq(0), next_y.eq(Mux(end_y, 0, self.y + 1))]

        # What is said of a tile comes out of registers: it decides much in the cycle of a `step`.
        for y, x, enable in ((self.y, self.x, ~self.step), (next_y, next_x, self.step)):
            with m.If(enable):
                m.d.sync += [
                    self.y.eq(y),
                    self.x.eq(x),
                    end_y.eq(y == blocks),
                    end_x.eq(x == blocks),
                    more_y.eq(((y & mask) != mask) & (y != blocks)),
                    more_x.eq(((x & mask) != mask) & (x != blocks)),
                ]
        return m
