"""The window reader's second stage: where the words lie that a window is made of."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import BANKS, Config
from hw.geometry import Place, is_single, tiles_per_bank
from hw.resolve import RESOLVED
from hw.widths import ADDRESS_BITS, BLOCK_BITS, SIDE_BITS


def axis_layout(config: Config) -> data.StructLayout:
    """Of each row (or column) of a tile: whether the window takes it from an odd bank, and from the map at all."""
    return data.StructLayout({"odd": config.tile_side, "inside": config.tile_side})


class TileAddress(wiring.Component):
    """Addresses of the tile under a window and of its neighbours, one in each bank. Combinational.

    single: there is only the tile, in bank `centre`. y, x: which rows and columns come from where. quarter: of the
    tile, where blocks are half as wide.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(RESOLVED),
                "half": In(1),
                "address": Out(data.ArrayLayout(ADDRESS_BITS, BANKS)),
                "single": Out(1),
                "centre": Out(2),
                "y": Out(axis_layout(config)),
                "x": Out(axis_layout(config)),
                "quarter": Out(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        side, source = self.config.tile_side, self.i.source
        log_side = side.bit_length() - 1
        split = self.half & ~source.strided  # the block is a quarter of a tile
        single = is_single(self.config, source.side)
        halves = []  # for y and x: the half tile index in even and odd banks
        for name, block, move, axis in (
            ("y", self.i.block_y, self.i.move.y, self.y),
            ("x", self.i.block_x, self.i.move.x, self.x),
        ):
            tile = Signal(BLOCK_BITS, name=f"tile_{name}")
            neighbour = Signal(BLOCK_BITS + 1)
            rest = Signal(
                signed(SIDE_BITS + 2), name=f"rest_{name}"
            )  # positions of the map from the tile on
            before, number = move == 0, "xy".index(name)
            far = {side - 1: before, 0: move >= 2, 1: move == 3}  # rows of the neighbour
            m.d.comb += [
                tile.eq(Mux(split, block >> 1, block)),
                neighbour.eq(Mux(before, tile - 1, tile + 1)),
                rest.eq(source.side - (tile << log_side)),
                self.centre[number].eq(Mux(single, self.i.channel[number], tile[0])),
                self.quarter[number].eq(block[0] & split),
            ]
            for k in range(side):
                there = tile != 0 if k == side - 1 else rest > side + k
                m.d.comb += [
                    axis.odd[k].eq(self.centre[number] ^ far.get(k, 0)),
                    axis.inside[k].eq(Mux(far.get(k, 0), there, rest > k)),
                ]
            here, there = tile >> 1, neighbour[1:BLOCK_BITS]
            halves.append((Mux(tile[0], there, here), Mux(tile[0], here, there)))
        per_bank = tiles_per_bank(self.config, source.side)
        across = Signal(len(per_bank))
        m.submodules.place = place = Place(self.config)
        m.d.comb += [
            across.eq(per_bank),
            self.single.eq(single),
            place.base.eq(source.base),
            place.side.eq(source.side),
            place.channel.eq(self.i.channel),
        ]
        for b in range(BANKS):
            offset = halves[0][b >> 1] * across + halves[1][b & 1]
            m.d.comb += self.address[b].eq(place.address + Mux(single, 0, offset))
        return m
