"""The slice reader: from a list entry and a tile to the slice that all nine taps of a channel see of it.

A slice starts as many positions before its tile as the layer has padding, and is two wider. A kernel larger than 3x3 is
read as blocks of 3x3, each a channel of its own, whose slice starts three positions further on. Tiles lie in four
banks by the parity of their place, so a slice with neighbours on both sides takes a second pass along that axis. A source
of stride 2 is read as four channels, its phases: rows and columns 2 j + f of the map are channel f, of stride 1. So a kernel
of up to 6x6 and stride 2 is four of up to 3x3.

A packed beat holds four channels of at most half a tile's side, each with its border of zeros: the quarters of a
word of a small map; the four phases of one channel; or, of a shortcut of stride 2, phase 0 of four.
"""

from __future__ import annotations

from amaranth import Array, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import BANKS, Config
from hw.event.planes import slice_bits
from hw.event.program import LIST_ENTRY
from hw.event.slice_axis import SliceAxis, axis_layout
from hw.event.slice_words import MODE, Assemble
from hw.geometry import Place, is_single, is_small, sides, tiles_per_bank
from hw.program import SOURCE, layer_layout
from hw.widths import ADDRESS_BITS, BLOCK_BITS, CHANNEL_BITS

PADS = (1, 2, 3, 0)
"""Positions of padding of a layer that has any, by its `blocks`: kernels of 3x3, 5x5, 7x7."""


class SliceReader(wiring.Component):
    """One pass of a slice, in two cycles: `read` and `address` to the banks, then `slice` from `words`.

    input_base, shortcut_base: of the layer's sources, in the ticks that are read.
    entry, tile_y, tile_x: which slice. second: which pass, y in bit 1, x in bit 0; twice: along which axes
    there are two. slice: this pass's part, of the entry of the cycle before, zeros elsewhere.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "layer": In(layer_layout(config)),
                "input_base": In(ADDRESS_BITS),
                "shortcut_base": In(ADDRESS_BITS),
                "entry": In(LIST_ENTRY),
                "tile_y": In(BLOCK_BITS),
                "tile_x": In(BLOCK_BITS),
                "second": In(2),
                "twice": Out(2),
                "read": Out(BANKS),
                "address": Out(data.ArrayLayout(ADDRESS_BITS, BANKS)),
                "words": In(data.ArrayLayout(config.word_bits, BANKS)),
                "slice": Out(slice_bits(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer, entry = self.config, self.layer, self.entry
        source = Signal(SOURCE)
        phase = Signal(2)
        packed, small, single, strided = (
            Signal(name=name) for name in ("packed", "small", "single", "strided")
        )
        # of this source
        blocks = Signal(2)
        pad = Signal(2)
        m.d.comb += [
            source.eq(Mux(entry.shortcut, layer.shortcut, layer.input)),
            packed.eq(layer.fast),
            small.eq(is_small(config, source.side)),
            single.eq(is_single(config, source.side)),
            strided.eq(source.strided & ~packed),
            phase.eq(entry.index[:2]),
            blocks.eq(Mux(entry.shortcut | packed | strided, 0, layer.blocks)),
            pad.eq(Mux(layer.padded & ~packed, Mux(entry.shortcut, 1, Array(PADS)[blocks]), 0)),
        ]
        four_banks = packed & source.strided & entry.shortcut  # phase 0 of a channel in each
        four_channels = packed & (~source.strided | entry.shortcut)  # else four phases of one
        channel, block = self._channel(m, four_channels, strided, blocks)
        m.submodules.place = place = Place(config)
        per_bank = tiles_per_bank(config, source.side)
        across = Signal(len(per_bank))
        m.d.comb += [
            across.eq(per_bank),
            place.base.eq(Mux(entry.shortcut, self.shortcut_base, self.input_base)),
            place.side.eq(source.side),
            place.channel.eq(channel),
        ]
        axes = []
        extension = layer.extension
        short = Mux(entry.shortcut, extension.shortcut_short, extension.input_short)
        height, width = sides(layer, source.side, short)
        along = (("x", self.tile_x, width), ("y", self.tile_y, height))
        for number, (name, tile, side) in enumerate(along):
            axis = SliceAxis(config)
            m.submodules[f"axis_{name}"] = axis
            m.d.comb += [
                axis.tile.eq(tile),
                axis.side.eq(side),
                axis.single.eq(single),
                axis.base.eq(channel[number] & ~small),  # of a small map every bank has a copy
                axis.shift.eq(3 * block[number] - pad),
                axis.strided.eq(strided),
                axis.phase.eq(phase[number]),
                axis.padded.eq(layer.padded),
                axis.wide.eq(layer.blocks != 0),
                axis.halo.eq(~entry.shortcut),
                axis.second.eq(self.second[number]),
                self.twice[number].eq(axis.twice),
            ]
            axes.append(axis)
        x, y = axes
        for b in range(BANKS):
            along_y, along_x = (
                axis.odd if b >> k & 1 else axis.even for axis, k in ((y, 1), (x, 0))
            )
            offset = along_y * across + along_x
            m.d.comb += self.address[b].eq(place.address + Mux(single, 0, offset))
        centre = Const(1, BANKS) << (channel[:2] & Mux(small, 0, 3))
        m.d.comb += self.read.eq(Mux(single & ~four_banks, centre, (1 << BANKS) - 1))

        mode = Signal(MODE)
        m.d.comb += [
            mode.strided.eq(strided),
            mode.phase.eq(phase),
            mode.packed.eq(packed),
            mode.small.eq(~source.strided),
            mode.four_banks.eq(four_banks),
            mode.expand.eq(small & ~(packed & ~source.strided)),
            mode.quarter.eq(channel[:2]),
        ]
        self._assemble(m, mode, x, y)
        return m

    def _channel(
        self, m: Module, four_channels: Value, strided: Signal, blocks: Signal
    ) -> tuple[Signal, list[Signal]]:
        """The channel that the entry names, the first of a beat's four, and the block of the kernel, x and y."""
        index = self.entry.index
        channel = Signal(CHANNEL_BITS)
        block = [Signal(3, name=f"block_{n}") for n in "xy"]
        with m.If(four_channels):
            m.d.comb += channel.eq(index << 2)
        with m.Elif(strided):
            m.d.comb += channel.eq(index >> 2)
        with m.Else():
            m.d.comb += channel.eq(index)
            for log in range(1, 4):  # the channel, then the block's row and column
                with m.If(blocks == log):
                    m.d.comb += [
                        channel.eq(index >> 2 * log),
                        block[0].eq(index[:log]),
                        block[1].eq(index[log : 2 * log]),
                    ]
        return channel, block

    def _assemble(self, m: Module, mode: data.View, x: SliceAxis, y: SliceAxis) -> None:
        """The slice, in the cycle after its words were asked for."""
        m.submodules.assemble = assemble = Assemble(self.config)
        m.d.comb += [assemble.words.eq(self.words), self.slice.eq(assemble.slice)]
        held = Signal(MODE, reset_less=True)
        layout = axis_layout(self.config)
        m.d.sync += held.eq(mode)
        m.d.comb += assemble.mode.eq(held)
        for name, axis in (("x", x), ("y", y)):
            rows = Signal(layout, name=f"rows_{name}", reset_less=True)
            turn = Signal.like(axis.turn, name=f"turn_{name}", reset_less=True)
            m.d.sync += [rows.eq(axis.rows), turn.eq(axis.turn)]
            m.d.comb += [
                getattr(assemble, name).eq(rows),
                getattr(assemble, f"turn_{name}").eq(turn),
            ]
