"""The activation processing unit: decodes the input map's CSR activations into the spike buffer.

A channel is, in beats of 64 bits: its row pointers, side + 1 of 16 bits, four a beat; then its
activations in row order, four a beat: four columns of 8 bits, then four tick nibbles (two
activations a byte). The last beat of either kind is padded with zeros.
"""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import MAX_SIDE, STREAM_BITS, Config
from hw.program import INPUT_HEADER
from hw.writer import row_layout

ACTIVATIONS = 4  # in a beat
POINTER_BITS = 16


class Apu(wiring.Component):
    """start: a pulse with `header`; then `i` is read until `done`, a pulse when all is written.

    row_valid, row: to the spike buffer, two tiles' parts of a row a cycle; silent rows are written
    too, since the buffer holds an older map. spikes: of the input, over all ticks.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "header": In(INPUT_HEADER),
                "i": In(stream.Signature(STREAM_BITS)),
                "done": Out(1),
                "row_valid": Out(1),
                "row": Out(row_layout(config)),
                "spikes": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        ticks = config.ticks
        header = Signal(INPUT_HEADER)
        channel, row, beat = Signal(11), Signal(7), Signal(5)  # beat: of the pointers
        pointers = Memory(shape=STREAM_BITS, depth=MAX_SIDE // 4 + 1, init=[])
        m.submodules.pointers = pointers
        write, read = pointers.write_port(), pointers.read_port(domain="comb")
        taken, total, end = Signal(13), Signal(13), Signal(13)
        after = Signal(7)
        m.d.comb += [
            after.eq(row + 1),
            read.addr.eq(after >> 2),
            end.eq(read.data.word_select(after[:2], POINTER_BITS)),
            write.addr.eq(beat),
            write.data.eq(self.i.payload),
        ]

        # --- a beat of activations, as far as it belongs to the row ---
        in_row = Signal(ACTIVATIONS)
        base = Signal(13)  # index of the beat's first activation
        m.d.comb += base.eq(taken & ~(ACTIVATIONS - 1))
        spread = 0
        count = 0
        for k in range(ACTIVATIONS):
            column = self.i.payload[8 * k : 8 * k + 6]
            nibble = self.i.payload[32 + 4 * k : 32 + 4 * k + ticks]
            spikes = Signal(ticks, name=f"spikes_{k}")
            m.d.comb += [
                in_row[k].eq((base + k >= taken) & (base + k < end)),
                spikes.eq(Mux(in_row[k], nibble, 0)),
            ]
            spread = spread | (spikes << (column * ticks))
            count = count + sum(spikes[t] for t in range(ticks))
        empty, covered, next_taken = Signal(), Signal(), Signal(13)
        m.d.comb += [
            empty.eq(taken == end),
            covered.eq(end <= base + ACTIVATIONS),  # the row ends with this beat
            next_taken.eq(Mux(covered, end, base + ACTIVATIONS)),
        ]

        # --- the row before is written while this one is decoded ---
        gathered = Signal(MAX_SIDE * ticks)
        gathered_now = Signal(MAX_SIDE * ticks)
        writing = Signal(MAX_SIDE * ticks)
        written, pairs = Signal(3), Signal(3)
        write_end, row_end, free = Signal(), Signal(), Signal()
        pair_bits = 2 * config.tile_side * ticks
        log_pair = config.tile_side.bit_length()
        m.d.comb += [
            pairs.eq((header.side - 1) >> log_pair),  # less one
            write_end.eq(self.row_valid & (written == pairs)),
            free.eq(~self.row_valid | write_end),
            gathered_now.eq(gathered | Mux(empty, 0, spread)),
            self.row.base.eq(header.base),
            self.row.side.eq(header.side),
            self.row.pair.eq(written),
            self.row.spikes.eq(writing[:pair_bits]),
        ]
        with m.If(self.row_valid):
            m.d.sync += [written.eq(written + 1), writing.eq(writing >> pair_bits)]
        with m.If(write_end):
            m.d.sync += self.row_valid.eq(0)
        with m.If(row_end):
            m.d.sync += [self.row_valid.eq(1), written.eq(0), writing.eq(gathered_now)]
            m.d.sync += [self.row.channel.eq(channel), self.row.row.eq(row), gathered.eq(0)]

        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [header.eq(self.header), channel.eq(0), beat.eq(0)]
                    m.d.sync += self.spikes.eq(0)
                    m.next = "POINTERS"
            with m.State("POINTERS"):
                m.d.comb += [self.i.ready.eq(1), write.en.eq(self.i.valid)]
                with m.If(self.i.valid):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat == header.side >> 2):
                        last = self.i.payload.word_select(header.side[:2], POINTER_BITS)
                        m.d.sync += [total.eq(last), taken.eq(0), row.eq(0)]
                        m.next = "ROWS"
            with m.State("ROWS"):
                useful = Signal()  # this cycle's beat is there, or none is needed
                m.d.comb += [
                    useful.eq((empty | self.i.valid) & (~covered | free)),
                    row_end.eq(useful & covered),
                    self.i.ready.eq(
                        useful & ~empty & ((next_taken[:2] == 0) | (next_taken == total))
                    ),
                ]
                with m.If(useful & ~empty):
                    m.d.sync += [taken.eq(next_taken), self.spikes.eq(self.spikes + count)]
                    with m.If(~covered):
                        m.d.sync += gathered.eq(gathered_now)
                with m.If(row_end):
                    m.d.sync += row.eq(after)
                    with m.If(after == header.side):
                        m.d.sync += [channel.eq(channel + 1), beat.eq(0)]
                        with m.If(channel + 1 == header.channels):
                            m.next = "FINISH"
                        with m.Else():
                            m.next = "POINTERS"
            with m.State("FINISH"):
                with m.If(free):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
        return m
