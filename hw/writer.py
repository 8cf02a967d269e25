"""The write port of the spike buffer: rows of the input from the APU, words of output from the PEs."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import MAX_SIDE, Config
from hw.geometry import Place
from hw.spike_buffer import granules, write_layout
from hw.widths import ADDRESS_BITS, BLOCK_BITS, CHANNEL_BITS, SIDE_BITS


def row_layout(config: Config) -> data.StructLayout:
    """Two tiles' parts of one row of an input map."""
    return data.StructLayout(
        {
            "base": ADDRESS_BITS,
            "side": SIDE_BITS,
            "channel": CHANNEL_BITS,
            "row": (MAX_SIDE - 1).bit_length(),
            "pair": BLOCK_BITS - 1,  # of tiles, from the left
            "spikes": data.ArrayLayout(config.tile_side * config.ticks, 2),
        }
    )


QUARTER = {"part": 1, "down": 1, "right": 1}


def word_layout(config: Config) -> data.StructLayout:
    """A word of an output map, rows and columns in place even where the map is small.

    Of the event machine, part: one quarter of it alone is written, `down` and `right` or not.
    """
    return data.StructLayout(
        {
            "base": ADDRESS_BITS,
            "side": SIDE_BITS,
            "channel": CHANNEL_BITS,
            "word_y": BLOCK_BITS,
            "word_x": BLOCK_BITS,
            "word": config.word_bits,
            **(QUARTER if config.machine == "event" else {}),
        }
    )


AT = data.StructLayout(
    {
        "base": ADDRESS_BITS,
        "side": SIDE_BITS,
        "channel": CHANNEL_BITS,
        "tile_y": BLOCK_BITS,
        "tile_x": BLOCK_BITS,
    }
)
"""The map that is written, and the tile in it."""


class Writer(wiring.Component):
    """One of the two is taken in a cycle; the write is out in the next.

    A PE's word always is: PEs write in their slots. A row of the input waits for it (`row_ready`), on the event machine,
    where the next image's comes while a layer runs.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "row_valid": In(1),
                "row": In(row_layout(config)),
                "row_ready": Out(1),
                "word_valid": In(1),
                "word": In(word_layout(config)),
                "write": Out(write_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        side = config.tile_side
        log_side = side.bit_length() - 1
        m.submodules.place = place = Place(config)
        valid = Signal()
        is_row = Signal()
        at = Signal(AT, reset_less=True)
        line = Signal(log_side, reset_less=True)  # which of its tile the row is
        spikes = Signal.like(self.row.spikes, reset_less=True)
        word = Signal(config.word_bits, reset_less=True)
        quarter = Signal(data.StructLayout(QUARTER), reset_less=True)
        row = Signal()  # and not a word
        alone = config.machine == "sweep"  # its input comes while no layer runs
        m.d.comb += self.row_ready.eq(1 if alone else ~self.word_valid)
        m.d.comb += row.eq(self.row_valid & self.row_ready)
        m.d.sync += [valid.eq(self.row_valid | self.word_valid), is_row.eq(row)]
        with m.If(row):
            m.d.sync += [
                at.base.eq(self.row.base),
                at.side.eq(self.row.side),
                at.channel.eq(self.row.channel),
                at.tile_y.eq(self.row.row >> log_side),
                at.tile_x.eq(self.row.pair << 1),
                line.eq(self.row.row),
                spikes.eq(self.row.spikes),
            ]
        with m.Elif(self.word_valid):
            m.d.sync += [
                at.base.eq(self.word.base),
                at.side.eq(self.word.side),
                at.channel.eq(self.word.channel),
                at.tile_y.eq(self.word.word_y),
                at.tile_x.eq(self.word.word_x),
                word.eq(self.word.word),
            ]
            if config.machine == "event":
                m.d.sync += [quarter[name].eq(self.word[name]) for name in QUARTER]
        write = self.write
        m.d.comb += [
            place.base.eq(at.base),
            place.side.eq(at.side),
            place.channel.eq(at.channel),
            place.tile_y.eq(at.tile_y),
            place.tile_x.eq(at.tile_x),
            write.address.eq(place.address),
        ]
        with m.If(valid):
            m.d.comb += write.banks.eq(place.banks)
            with m.If(is_row & (at.side > side)):  # the pair's odd tile is in the next bank
                m.d.comb += write.banks.eq(place.banks | (place.banks << 1))
        self._fill(m, place, is_row, at.side, line, spikes, word, quarter)
        return m

    def _fill(
        self,
        m: Module,
        place: Place,
        is_row: Signal,
        map_side: Value,
        line: Signal,
        spikes: data.View,
        word: Signal,
        quarter: data.View,
    ) -> None:
        """The data of the write, and which granules of its banks it fills: a row of the input, or a word."""
        config, write = self.config, self.write
        side, half, ticks = config.tile_side, config.small_side, config.ticks
        small_words = []  # the top left quarter, as it is packed
        for r in range(half):
            small_words.append(word[r * side * ticks : (r * side + half) * ticks])
        packed = Cat(small_words)
        all_granules = Const((1 << granules(config)) - 1, granules(config))
        with m.If(is_row & place.small):
            first = spikes[0][: half * ticks]
            m.d.comb += write.enable.eq(1 << (place.quarter * half + line[:2]))
            m.d.comb += [d.eq(first.replicate(2 * side)) for d in (write.data[0], write.data[1])]
        with m.Elif(is_row):
            m.d.comb += write.enable.eq(0b11 << (line << 1))
            # A map of one tile lies in any bank, the odd ones too; of two tiles, in both.
            second = Mux(map_side > side, spikes[1], spikes[0])
            m.d.comb += write.data[0].eq(spikes[0].replicate(side))
            m.d.comb += write.data[1].eq(second.replicate(side))
        with m.Elif(place.small):
            m.d.comb += write.enable.eq(((1 << half) - 1) << (place.quarter * half))
            m.d.comb += [d.eq(packed.replicate(4)) for d in (write.data[0], write.data[1])]
        with m.Else():
            m.d.comb += write.enable.eq(all_granules)
            if config.machine == "event":
                right, down = quarter.right, quarter.down
                across = Cat(~right, right).replicate(
                    half
                )  # half rows of the upper, or lower, rows
                rows = Cat(across & (~down).replicate(side), across & down.replicate(side))
                with m.If(quarter.part):
                    m.d.comb += write.enable.eq(rows)
            m.d.comb += [d.eq(word) for d in (write.data[0], write.data[1])]
