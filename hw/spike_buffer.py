"""The spike buffer: four banks of words, each word a tile of a map with all its ticks."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import BANKS, Config
from hw.sram import Sram
from hw.widths import ADDRESS_BITS


def granules(config: Config) -> int:
    """Parts of a word that can be written alone: half rows of a tile."""
    return 2 * config.tile_side


def write_layout(config: Config) -> data.StructLayout:
    """A write, as the tap at the edge of the chip shows it too.

    banks: which take it. enable: which granules. data: for the even and the odd banks.
    """
    return data.StructLayout(
        {
            "banks": BANKS,
            "address": ADDRESS_BITS,
            "enable": granules(config),
            "data": data.ArrayLayout(config.word_bits, 2),
        }
    )


class SpikeBuffer(wiring.Component):
    """read, address: of each bank, a word to read; words: its content in the next cycle.

    Nothing is forwarded: a word that is written is seen by reads from the next cycle on.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "read": In(BANKS),
                "address": In(data.ArrayLayout(12, BANKS)),
                "words": Out(data.ArrayLayout(config.word_bits, BANKS)),
                "write": In(write_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        granule = self.config.word_bits // granules(self.config)
        for b in range(BANKS):
            width, depth = self.config.word_bits, self.config.buffer_depth
            bank = Sram(macro="uticket_spike_bank", width=width, depth=depth)
            m.submodules[f"bank_{b}"] = bank
            read, write = bank.read_port(), bank.write_port(granularity=granule)
            m.d.comb += [
                read.en.eq(self.read[b]),
                read.addr.eq(self.address[b]),
                self.words[b].eq(read.data),
                write.addr.eq(self.write.address),
                write.data.eq(self.write.data[b % 2]),
            ]
            with m.If(self.write.banks[b]):
                m.d.comb += write.en.eq(self.write.enable)
        return m
