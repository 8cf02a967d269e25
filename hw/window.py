"""The read port of the spike buffer: from a weight's channel and kernel position to a shifted window.

Three stages: requests are resolved, the banks are addressed, the window is put together.

A window starts -1 to 2 positions from its tile. The four banks, of even and odd tiles in y and x, are a square of
two tiles a side that wraps around: each row of a tile is read in one of two banks, each column too, and the
rows and columns are then rotated into place.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import BANKS, Config
from hw.fetch import REQUEST
from hw.geometry import (
    BLOCK_BITS,
    Place,
    is_single,
    is_small,
    single_address,
    tiles_per_bank,
)
from hw.program import LAYER, SOURCE

LATENCY = 2
"""Cycles from a request in its slot to its window on the bus."""

MOVE = data.StructLayout({"y": 2, "x": 2})
"""Where a window starts, seen from its tile: 0 to 3 is one position before it to two after."""

RESOLVED = data.StructLayout(
    {
        "source": SOURCE,
        "channel": 11,  # of the source
        "move": MOVE,
        "block_y": BLOCK_BITS,
        "block_x": BLOCK_BITS,
    }
)


def axis_layout(config: Config) -> data.StructLayout:
    """Of each row (or column) of a tile: whether the window takes it from an odd bank, and from the map at all."""
    return data.StructLayout({"odd": config.tile_side, "inside": config.tile_side})


class Resolve(wiring.Component):
    """Which map a request reads, and where its window starts. Combinational."""

    def __init__(self) -> None:
        super().__init__({"layer": In(LAYER), "i": In(REQUEST), "o": Out(RESOLVED)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, layer = self.i, self.layer
        second = i.channel >= layer.channels
        row, column = Signal(2), Signal(2)
        with m.Switch(i.position):
            for position in range(9):
                with m.Case(position):
                    m.d.comb += [row.eq(position // 3), column.eq(position % 3)]
        inset = ~(second | layer.padded)  # a shortcut's 1x1 kernel is the centre: no shift
        m.d.comb += [
            self.o.source.eq(Mux(second, layer.shortcut, layer.input)),
            self.o.channel.eq(i.channel - Mux(second, layer.channels, 0)),
            self.o.move.y.eq(row + inset),
            self.o.move.x.eq(column + inset),
            self.o.block_y.eq(i.block_y),
            self.o.block_x.eq(i.block_x),
        ]
        return m


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
                "address": Out(data.ArrayLayout(12, BANKS)),
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
            tile, neighbour = Signal(BLOCK_BITS, name=f"tile_{name}"), Signal(BLOCK_BITS + 1)
            rest = Signal(signed(9), name=f"rest_{name}")  # positions of the map from the tile on
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


def moved(m: Module, name: str, around: Value, step: int, move: Value) -> Signal:
    """Rows (or columns, of `step` bits each) of a window. around: its tile's, one before, two after."""
    length = len(around) - 3 * step
    by_two, window = Signal(length + step, name=f"{name}_by_two"), Signal(length, name=name)
    m.d.comb += [
        by_two.eq(Mux(move[1], around[2 * step :], around[: length + step])),
        window.eq(Mux(move[0], by_two[step:], by_two[:length])),
    ]
    return window


def split_rows(word: Value, side: int) -> list[Value]:
    """A square of bits row by row."""
    width = len(word) // side
    return [word[k * width : (k + 1) * width] for k in range(side)]


def corner(rows: list[Value], width: int) -> Value:
    """Rows put into the top left corner of a square of rows of `width` bits."""
    return Cat(Cat(row, Const(0, width - len(row))) for row in rows)


class WindowReader(wiring.Component):
    """Four ports, one a bank: port b serves the PEs i with i mod 4 = b.

    Small maps have a copy in every bank, so that each port reads its own; for larger maps at most
    one port is valid in a cycle and its window is made of one word of every bank, or of one where the map
    is a single tile. Banks that are not needed are not read.
    windows: LATENCY cycles after the request.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "layer": In(LAYER),
                "valid": In(BANKS),
                "requests": In(data.ArrayLayout(REQUEST, BANKS)),
                "read": Out(BANKS),
                "address": Out(data.ArrayLayout(12, BANKS)),
                "words": In(data.ArrayLayout(config.word_bits, BANKS)),
                "windows": Out(data.ArrayLayout(config.word_bits, BANKS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.tile_address = tile = TileAddress(config)
        m.submodules.assemble = assemble = AssembleTile(config)
        valid = Signal(BANKS)
        m.d.sync += valid.eq(self.valid)
        m.d.comb += tile.half.eq(self.layer.half)
        tile_request: Value = Const(0, RESOLVED.size)
        own = Signal(BANKS)  # ports that read a small map, in their own bank
        for b in range(BANKS):
            resolved = Signal(RESOLVED, name=f"resolved_{b}", reset_less=True)
            m.submodules[f"resolve_{b}"] = resolve = Resolve()
            with m.If(self.valid[b]):
                m.d.sync += resolved.eq(resolve.o)
            m.submodules[f"assemble_{b}"] = small = AssembleSmall(config)
            tile_request = tile_request | Mux(valid[b] & ~own[b], resolved.as_value(), 0)
            m.d.comb += [
                resolve.layer.eq(self.layer),
                resolve.i.eq(self.requests[b]),
                own[b].eq(valid[b] & is_small(config, resolved.source.side)),
                self.address[b].eq(
                    Mux(
                        own[b],
                        single_address(resolved.source.base, resolved.channel),
                        tile.address[b],
                    )
                ),
                small.word.eq(self.words[b]),
                self.windows[b].eq(small.window | assemble.window),
            ]
            m.d.sync += [
                small.quarter.eq(resolved.channel[:2]),
                small.side.eq(Mux(own[b], resolved.source.side, 0)),
                small.move.eq(resolved.move),
                small.strided.eq(resolved.source.strided),
            ]
        of_tile = Mux(tile.single, 1 << tile.centre, (1 << BANKS) - 1)
        m.d.comb += [
            tile.i.eq(tile_request),
            assemble.words.eq(self.words),
            self.read.eq(own | Mux((valid & ~own).any(), of_tile, 0)),
        ]
        m.d.sync += [
            assemble.y.eq(tile.y),
            assemble.x.eq(tile.x),
            assemble.move.eq(tile.i.move),
            assemble.half.eq(self.layer.half),
            assemble.strided.eq(tile.i.source.strided),
            assemble.quarter.eq(tile.quarter),
        ]
        return m


class AssembleTile(wiring.Component):
    """A window of a map of one or more tiles: up to four words. Combinational.

    y, x: see TileAddress. half: blocks are half as wide; then the window is a quarter, or every other row and column.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "words": In(data.ArrayLayout(config.word_bits, BANKS)),
                "y": In(axis_layout(config)),
                "x": In(axis_layout(config)),
                "move": In(MOVE),
                "half": In(1),
                "strided": In(1),
                "quarter": In(2),
                "window": Out(config.word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        side, ticks = self.config.tile_side, self.config.ticks
        width = side * ticks
        banks = [split_rows(self.words[b], side) for b in range(BANKS)]
        odd, inside = Signal(width), Signal(width)
        m.d.comb += [
            odd.eq(Cat(self.x.odd[k].replicate(ticks) for k in range(side))),
            inside.eq(Cat(self.x.inside[k].replicate(ticks) for k in range(side))),
        ]
        taken = Signal(self.config.word_bits)
        for r, row in enumerate(split_rows(taken, side)):
            kept = inside & self.y.inside[r].replicate(width)
            of_even, of_odd = (
                ((banks[b + 1][r] & odd) | (banks[b][r] & ~odd)) & kept for b in (0, 2)
            )
            m.d.comb += row.eq(Mux(self.y.odd[r], of_odd, of_even))
        around = Cat(taken[-width:], taken, taken[: 2 * width])
        in_place = moved(m, "in_place", around, width, self.move.y)
        rows = []
        for r, row in enumerate(split_rows(in_place, side)):
            around = Cat(row[-ticks:], row, row[: 2 * ticks])
            rows.append(moved(m, f"row_{r}", around, ticks, self.move.x))
        half, middle = side // 2, width // 2
        for r, row in enumerate(rows):
            shown = self.window.word_select(r, width)
            if r >= half:
                m.d.comb += shown.eq(Mux(self.half, 0, row))
                continue
            part = Signal(width, name=f"part_{r}")
            every_other = Cat(split_rows(rows[2 * r], side)[0::2])
            quarter = Mux(self.quarter[0], part[middle:], part[:middle])
            m.d.comb += [
                part.eq(Mux(self.quarter[1], rows[half + r], row)),
                shown[:middle].eq(Mux(self.strided, every_other, quarter)),
                shown[middle:].eq(Mux(self.half, 0, row[middle:])),
            ]
        return m


class AssembleSmall(wiring.Component):
    """A window of a small map: one quarter of a word, zeros around it. Combinational. side: 0 for no window."""

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "word": In(config.word_bits),
                "quarter": In(2),
                "side": In(7),
                "move": In(MOVE),
                "strided": In(1),
                "window": Out(config.word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        side, ticks = self.config.small_side, self.config.ticks
        block = Signal(side * side * ticks)
        m.d.comb += block.eq(self.word.word_select(self.quarter, len(block)))
        inside = Signal(side * ticks)
        m.d.comb += inside.eq(Cat((self.side > x).replicate(ticks) for x in range(side)))
        width = side * ticks
        kept = Signal(side * width)
        for r, row in enumerate(split_rows(block, side)):
            shown = self.side > r
            m.d.comb += kept.word_select(r, width).eq(row & inside & shown.replicate(width))
        around = Cat(Const(0, width), kept, Const(0, 2 * width))
        in_place = moved(m, "in_place", around, width, self.move.y)
        rows = []
        for r, row in enumerate(split_rows(in_place, side)):
            around = Cat(Const(0, ticks), row, Const(0, 2 * ticks))
            rows.append(moved(m, f"row_{r}", around, ticks, self.move.x))
        every_other = [Cat(split_rows(row, side)[0::2]) for row in rows[0::2]]
        tile_width = self.config.tile_side * ticks
        m.d.comb += self.window.eq(
            Mux(self.strided, corner(every_other, tile_width), corner(rows, tile_width))
        )
        return m
