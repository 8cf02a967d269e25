"""How a layer's maps are cut into tiles and stored in the spike buffer."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import BANKS, MAX_SIDE, Config
from hw.program import layer_layout
from hw.widths import ADDRESS_BITS, BLOCK_BITS, CHANNEL_BITS, SIDE_BITS, WORD_COORDINATE_BITS


def geometry_layout(config: Config) -> data.StructLayout:
    """What the PEs need to know of a layer's tiles, derived once from its descriptor."""
    side_bits = config.tile_side.bit_length()
    return data.StructLayout(
        {
            "block_side": side_bits,  # side of a tile in this layer: tile_side, or half of it
            "block_shift": 2,  # log2(block_side)
            "sweep_side": side_bits,  # of an opening or flushing sweep: min(block_side, side)
            "blocks": BLOCK_BITS,  # tiles along a side of the map, less one
            "sub_mask": 2,  # tiles along a side of an output word, less one
            "sub_shift": 2,  # log2 of the tiles along a side of an output word
            "pooled_shift": 2,  # log2 of a tile's side after pooling
            "words": WORD_COORDINATE_BITS,  # words along a side of the output map, less one
            **(SIDES if config.machine == "event" else {}),
        }
    )


SIDES = {
    "height": SIDE_BITS,  # of the map of neurons
    "width": SIDE_BITS,
    "blocks_down": BLOCK_BITS,  # as `blocks`, which are those across
    "words_down": WORD_COORDINATE_BITS,
}
"""Of machine `event`, whose maps need be no squares."""


class Geometry(wiring.Component):
    """Derives the geometry from a layer descriptor; combinational, the descriptor is a register."""

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__({"layer": In(layer_layout(config)), "o": Out(geometry_layout(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer, tile = self.layer, self.config.tile_side
        log_tile = tile.bit_length() - 1
        half = layer.half if self.config.machine == "sweep" else Const(0, 1)
        block_side = Mux(half, tile // 2, tile)
        # log2 of a tile after pooling, of a word
        pooled_shift = Signal(2)
        stored_shift = Signal(2)
        sub_shift = Signal(2)
        m.d.comb += [
            pooled_shift.eq(log_tile - half - layer.pool),
            stored_shift.eq(log_tile - is_small(self.config, layer.output_side)),
            self.o.pooled_shift.eq(pooled_shift),
            sub_shift.eq(Mux(stored_shift > pooled_shift, stored_shift - pooled_shift, 0)),
            self.o.sub_shift.eq(sub_shift),
            self.o.sub_mask.eq((1 << sub_shift) - 1),
            self.o.block_side.eq(block_side),
            self.o.block_shift.eq(log_tile - half),
            self.o.sweep_side.eq(Mux(layer.side < block_side, layer.side, block_side)),
        ]
        if self.config.machine == "sweep":
            m.d.comb += self.o.blocks.eq((layer.side - 1) >> (log_tile - half)[:2])
            m.d.comb += self.o.words.eq((layer.output_side - 1) >> stored_shift)
            return m
        short = layer.extension
        height, width = sides(layer, layer.side, short.short)
        down, across = sides(layer, layer.output_side, short.output_short)
        m.d.comb += [
            self.o.height.eq(height),
            self.o.width.eq(width),
            self.o.blocks_down.eq((height - 1) >> log_tile),
            self.o.blocks.eq((width - 1) >> log_tile),
            self.o.words_down.eq((down - 1) >> stored_shift),
            self.o.words.eq((across - 1) >> stored_shift),
        ]
        return m


def sides(layer: data.View, long: Value, short: Value) -> tuple[Value, Value]:
    """Height and width of a map of the event machine. short: 0 for a square."""
    other = Mux(short == 0, long, short)
    return Mux(layer.tall, long, other), Mux(layer.tall, other, long)


def extent(side: Value, geometry: data.View, block: Value) -> Value:
    """Positions of a tile along one side: fewer at the edge of the map. block: which one."""
    rest = side - (block << geometry.block_shift)
    return Mux(rest < geometry.block_side, rest, geometry.block_side)


def is_small(config: Config, side: Value) -> Value:
    """Whether maps of this side are packed four channels a word, a copy in every bank."""
    return side <= config.small_side


def is_single(config: Config, side: Value) -> Value:
    """Whether maps of this side are one word a channel or less."""
    return side <= config.tile_side


def single_address(base: Value, channel: Value) -> Value:
    """Where in its bank, or in all of them, a word of such a map is: four channels have one address."""
    return base + channel[2:]


def tiles_per_bank(config: Config, side: Value) -> Value:
    """Tiles along a side that one bank holds of a map of several tiles: half of them, rounded up."""
    pair = 2 * config.tile_side
    return ((side + (pair - 1)) >> (pair.bit_length() - 1))[: (MAX_SIDE // pair).bit_length()]


def square(value: Value, most: int) -> Value:
    """The square of a value from 0 to `most`, by table."""
    result = Const(0, (most**2).bit_length())
    for n in range(1, most + 1):
        result = Mux(value == n, n * n, result)
    return result


class Place(wiring.Component):
    """Where a word of a map is stored: combinational.

    base, side: the map's region. channel, tile_y, tile_x: the word.
    banks: one-hot, or all for a small map. address: in the bank. quarter: of the word, small maps.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "base": In(ADDRESS_BITS),
                "side": In(SIDE_BITS),
                "channel": In(CHANNEL_BITS),
                "tile_y": In(BLOCK_BITS),
                "tile_x": In(BLOCK_BITS),
                "banks": Out(BANKS),
                "address": Out(ADDRESS_BITS),
                "quarter": Out(2),
                "small": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        per_bank = tiles_per_bank(config, self.side)
        across = Signal(len(per_bank))
        bank = Signal(2)
        m.d.comb += [
            across.eq(per_bank),
            self.small.eq(is_small(config, self.side)),
            self.quarter.eq(self.channel[:2]),
        ]
        with m.If(is_single(config, self.side)):
            m.d.comb += [
                bank.eq(self.channel[:2]),
                self.address.eq(single_address(self.base, self.channel)),
            ]
        with m.Else():
            m.d.comb += [
                bank.eq(Cat(self.tile_x[0], self.tile_y[0])),
                self.address.eq(
                    self.base
                    + self.channel * square(across, MAX_SIDE // (2 * config.tile_side))
                    + self.tile_y[1:] * across
                    + self.tile_x[1:]
                ),
            ]
        m.d.comb += self.banks.eq(Mux(self.small, (1 << BANKS) - 1, Const(1, BANKS) << bank))
        return m
