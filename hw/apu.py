"""The activation processing unit: decodes the input map's CSR activations into the spike buffer.

A channel is, in beats of 64 bits: its row pointers, side + 1 of 16 bits, four a beat; then its
activations in row order, four a beat: four columns of 8 bits, then four tick nibbles (two
activations a byte). The last beat of either kind is padded with zeros.
"""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import MAX_SIDE, STREAM_BITS, Config
from hw.program import INPUT_HEADER
from hw.widths import CHANNEL_BITS, SIDE_BITS
from hw.writer import row_layout

ACTIVATIONS = 4  # in a beat
POINTER_BITS = 16
COUNT_BITS = (MAX_SIDE**2).bit_length()  # of the activations of a channel


class Apu(wiring.Component):
    """start: a pulse with `header`; then `i` is read until `done`, a pulse when all of it is written.

    row_valid, row: to the spike buffer, two tiles' parts of a row a cycle, where `row_ready`; silent rows are
    written too, since the buffer holds an older map. spikes: of the input so far, over all its parts and ticks.
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
                "row_ready": In(1),
                "spikes": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        header = Signal(INPUT_HEADER)
        # beat: of the pointers
        channel = Signal(CHANNEL_BITS)
        row = Signal(SIDE_BITS)
        beat = Signal(5)
        pointers = Memory(shape=STREAM_BITS, depth=MAX_SIDE // 4 + 1, init=[])
        m.submodules.pointers = pointers
        write, read = pointers.write_port(), pointers.read_port(domain="comb")
        # activations: so far, of the channel
        taken = Signal(COUNT_BITS)
        total = Signal(COUNT_BITS)
        end = Signal(COUNT_BITS)  # of the row, where it has activations
        after = Signal(SIDE_BITS)
        later = Signal(SIDE_BITS)
        m.d.comb += [
            after.eq(row + 1),
            later.eq(row + 2),
            read.addr.eq(later >> 2),
            write.addr.eq(beat),
            write.data.eq(self.i.payload),
        ]
        placing = Signal(active_layout(self.config))  # activations of a beat that belong to the row
        placed = Signal()  # they are put into their columns
        taking, empty, covered, next_taken = self._take(
            m, placing, placed, (channel, row), taken, end
        )
        free, gathered = self._place(m, header, placing, placed)
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [header.eq(self.header), channel.eq(self.header.first), beat.eq(0)]
                    m.d.sync += [self.spikes.eq(Mux(header.more, self.spikes, 0)), gathered.eq(0)]
                    m.next = "POINTERS"
            with m.State("POINTERS"):
                m.d.comb += [self.i.ready.eq(1), write.en.eq(self.i.valid)]
                with m.If(self.i.valid):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat == 0):
                        m.d.sync += end.eq(self.i.payload.word_select(1, POINTER_BITS))
                    with m.If(beat == header.side >> 2):
                        count = self.i.payload.word_select(header.side[:2], POINTER_BITS)
                        m.d.sync += [total.eq(count), taken.eq(0), row.eq(0)]
                        m.next = "ROWS"
            with m.State("ROWS"):
                used_up = (next_taken[:2] == 0) | (next_taken == total)
                m.d.comb += [
                    taking.eq((empty | self.i.valid) & placed),
                    self.i.ready.eq(placed & ~empty & used_up),
                ]
                with m.If(taking & covered):
                    m.d.sync += [row.eq(after), beat.eq(0)]
                    m.d.sync += end.eq(read.data.word_select(later[:2], POINTER_BITS))
                    with m.If(after == header.side):
                        m.d.sync += channel.eq(channel + 1)
                        with m.If(channel + 1 == header.channels):
                            m.next = "FINISH"
                        with m.Else():
                            m.next = "POINTERS"
            with m.State("FINISH"):
                with m.If(free & ~placing.row_end):
                    m.next = "DONE"  # where `spikes` holds the last ones, too
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m

    def _take(
        self,
        m: Module,
        placing: data.View,
        placed: Signal,
        where: tuple[Signal, Signal],
        taken: Signal,
        end: Signal,
    ) -> tuple[Signal, Signal, Signal, Signal]:
        """A beat of activations, as far as it belongs to the row, into `placing`. where: channel and row.

        Whether it is taken, whether the row has none left, whether it ends with this beat, and how many
        are taken then.
        """
        channel, row = where
        taking = Signal()  # something goes to the next stage
        empty = Signal()
        covered = Signal()
        # of activations, with this one
        beats = Signal(COUNT_BITS - 2)
        next_taken = Signal(COUNT_BITS)
        in_row = Signal(ACTIVATIONS)
        all_four = (1 << ACTIVATIONS) - 1
        spare = -end  # less than four: activations of the row's last beat that are the next row's
        m.d.comb += [
            beats.eq((taken >> 2) + 1),
            empty.eq(taken == end),
            covered.eq(end <= beats << 2),  # the row ends with this beat
            next_taken.eq(Mux(covered, end, beats << 2)),
            in_row.eq((all_four << taken[:2]) & (all_four >> Mux(covered, spare[:2], 0))),
        ]
        with m.If(placed):
            m.d.sync += [placing.spikes.eq(0), placing.row_end.eq(0)]
        with m.If(taking):
            m.d.sync += [
                placing.row_end.eq(covered),
                placing.channel.eq(channel),
                placing.row.eq(row),
                taken.eq(next_taken),
            ]
            for k in range(ACTIVATIONS):
                nibble = self.i.payload[32 + 4 * k : 32 + 4 * k + self.config.ticks]
                m.d.sync += [
                    placing.spikes[k].eq(Mux(in_row[k] & ~empty, nibble, 0)),
                    placing.columns[k].eq(self.i.payload[8 * k : 8 * k + 6]),
                ]
        return taking, empty, covered, next_taken

    def _place(
        self, m: Module, header: data.View, placing: data.View, placed: Signal
    ) -> tuple[Signal, Signal]:
        """Activations into their columns, while the row before is written.

        Whether a row can be written next, and what is gathered of this one.
        """
        config = self.config
        ticks = config.ticks
        gathered_now = Signal(MAX_SIDE * ticks)
        gathered = Signal(MAX_SIDE * ticks, reset_less=True)
        writing = Signal(MAX_SIDE * ticks, reset_less=True)
        written = Signal(3)
        pairs = Signal(3)
        write = Signal()
        write_end = Signal()
        free = Signal()
        spikes = Signal(range(ACTIVATIONS * ticks + 1))
        pair_bits = 2 * config.tile_side * ticks
        log_pair = config.tile_side.bit_length()
        m.d.comb += [
            pairs.eq((header.side - 1) >> log_pair),  # less one
            write.eq(self.row_valid & self.row_ready),
            write_end.eq(write & (written == pairs)),
            free.eq(~self.row_valid | write_end),
            placed.eq(~placing.row_end | free),
            gathered_now.eq(gathered | spread(m, placing)),
            self.row.base.eq(header.base),
            self.row.side.eq(header.side),
            self.row.pair.eq(written),
            self.row.spikes.eq(writing[:pair_bits]),
        ]
        m.d.sync += spikes.eq(0)
        with m.If(write):
            m.d.sync += [written.eq(written + 1), writing.eq(writing >> pair_bits)]
        with m.If(write_end):
            m.d.sync += self.row_valid.eq(0)
        with m.If(placed):
            m.d.sync += gathered.eq(gathered_now)
            m.d.sync += spikes.eq(sum(placing.spikes.as_value()))
        with m.If(placing.row_end & free):
            m.d.sync += [self.row_valid.eq(1), written.eq(0), writing.eq(gathered_now)]
            m.d.sync += [self.row.channel.eq(placing.channel), self.row.row.eq(placing.row)]
            m.d.sync += gathered.eq(0)
        m.d.sync += self.spikes.eq(self.spikes + spikes)
        return free, gathered


def active_layout(config: Config) -> data.StructLayout:
    """A beat's activations, those of other rows without spikes; row_end: the row has no more."""
    return data.StructLayout(
        {
            "columns": data.ArrayLayout((MAX_SIDE - 1).bit_length(), ACTIVATIONS),
            "spikes": data.ArrayLayout(config.ticks, ACTIVATIONS),
            "row_end": 1,
            "channel": CHANNEL_BITS,
            "row": (MAX_SIDE - 1).bit_length(),
        }
    )


def spread(m: Module, active: data.View) -> Signal:
    """A row with a beat's spikes in their columns, eight columns at a time."""
    ticks = len(active.spikes[0])
    row = Signal(MAX_SIDE * ticks, name="spread")
    eights = []
    for k in range(ACTIVATIONS):
        eight = Signal(8 * ticks, name=f"eight_{k}")
        m.d.comb += eight.eq(active.spikes[k] << (active.columns[k][:3] * ticks))
        eights.append(eight)
    for part in range(MAX_SIDE // 8):
        here = [Mux(active.columns[k][3:] == part, eight, 0) for k, eight in enumerate(eights)]
        m.d.comb += row.word_select(part, 8 * ticks).eq(here[0] | here[1] | here[2] | here[3])
    return row
