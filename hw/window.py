"""The read port of the spike buffer: from a weight's channel and kernel position to a shifted window.

Three stages: the requests are registered, the banks are addressed, the window is put together.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import BANKS, Config
from hw.fetch import REQUEST
from hw.geometry import BLOCK_BITS, Place, is_single, is_small, tiles_per_bank
from hw.program import LAYER, SOURCE

LATENCY = 2
"""Cycles from a request in its slot to its window on the bus."""

RESOLVED = data.StructLayout(
    {
        "source": SOURCE,
        "channel": 11,  # of the source
        "dy": signed(3),  # shift of the window against the tile, -1 to 2
        "dx": signed(3),
        "block_y": BLOCK_BITS,
        "block_x": BLOCK_BITS,
    }
)
SHIFT = data.StructLayout({"dy": signed(3), "dx": signed(3), "strided": 1})


class Resolve(wiring.Component):
    """Which map a request reads, and how far its window is shifted. Combinational."""

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
        before = second | layer.padded  # a shortcut's 1x1 kernel is the centre: no shift
        m.d.comb += [
            self.o.source.eq(Mux(second, layer.shortcut, layer.input)),
            self.o.channel.eq(i.channel - Mux(second, layer.channels, 0)),
            self.o.dy.eq(row - before),
            self.o.dx.eq(column - before),
            self.o.block_y.eq(i.block_y),
            self.o.block_x.eq(i.block_x),
        ]
        return m


class TileAddress(wiring.Component):
    """Addresses of the tile under a window and of its neighbours, one in each bank. Combinational.

    centre: bank of the tile itself; single: there is no other. rows, columns: which of the window lie in the
    map.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(RESOLVED),
                "half": In(1),
                "address": Out(data.ArrayLayout(12, BANKS)),
                "centre": Out(2),
                "single": Out(1),
                "quarter": Out(2),
                "rows": Out(config.tile_side),
                "columns": Out(config.tile_side),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        side, source = self.config.tile_side, self.i.source
        log_side = side.bit_length() - 1
        split = self.half & ~source.strided  # the block is a quarter of a tile
        single = is_single(self.config, source.side)
        halves = []  # for y and x: the half tile index in even and odd banks
        for axis, block, shift, inside in (
            ("y", self.i.block_y, self.i.dy, self.rows),
            ("x", self.i.block_x, self.i.dx, self.columns),
        ):
            tile, neighbour = Signal(BLOCK_BITS, name=f"tile_{axis}"), Signal(BLOCK_BITS + 1)
            before = shift < 0
            limit = Signal(signed(9), name=f"limit_{axis}")  # window positions below it are inside
            m.d.comb += [
                tile.eq(Mux(split, block >> 1, block)),
                neighbour.eq(Mux(before, tile - 1, tile + 1)),
                limit.eq(source.side - (tile << log_side) - shift),
            ]
            for k in range(side):
                outside = before & (tile == 0) if k == 0 else Const(0)
                m.d.comb += inside[k].eq((limit > k) & ~outside)
            here, there = tile >> 1, neighbour[1:BLOCK_BITS]
            halves.append((Mux(tile[0], there, here), Mux(tile[0], here, there), tile[0]))
            m.d.comb += self.quarter["xy".index(axis)].eq(block[0])
        per_bank = tiles_per_bank(self.config, source.side)
        across = Signal(len(per_bank))
        m.submodules.place = place = Place(self.config)
        m.d.comb += [
            across.eq(per_bank),
            self.single.eq(single),
            place.base.eq(source.base),
            place.side.eq(source.side),
            place.channel.eq(self.i.channel),
            self.centre.eq(Mux(single, self.i.channel[:2], Cat(halves[1][2], halves[0][2]))),
        ]
        for b in range(BANKS):
            offset = halves[0][b >> 1] * across + halves[1][b & 1]
            m.d.comb += self.address[b].eq(place.address + Mux(single, 0, offset))
        return m


def shift_rows(near: list[Value], far: list[Value], amount: Value) -> list[Value]:
    """Rows (or columns) of a window: `near` moved by -1 to 2, what is missing taken from `far`."""
    n = len(near)

    def pick(k: int) -> Value:
        return near[k] if 0 <= k < n else far[k % n]

    return [
        Mux(
            amount == -1,
            pick(k - 1),
            Mux(amount == 0, near[k], Mux(amount == 1, pick(k + 1), pick(k + 2))),
        )
        for k in range(n)
    ]


def split_rows(word: Value, side: int) -> list[Value]:
    """A square of bits row by row."""
    width = len(word) // side
    return [word[k * width : (k + 1) * width] for k in range(side)]


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
            request = Signal(REQUEST, name=f"request_{b}")
            with m.If(self.valid[b]):
                m.d.sync += request.eq(self.requests[b])
            m.submodules[f"resolve_{b}"] = resolve = Resolve()
            m.submodules[f"place_{b}"] = place = Place(config)
            m.submodules[f"assemble_{b}"] = small = AssembleSmall(config)
            resolved = resolve.o
            was_own = Signal(name=f"was_own_{b}")
            tile_request = tile_request | Mux(valid[b], resolved.as_value(), 0)
            m.d.comb += [
                resolve.layer.eq(self.layer),
                resolve.i.eq(request),
                place.base.eq(resolved.source.base),
                place.side.eq(resolved.source.side),
                place.channel.eq(resolved.channel),
                own[b].eq(valid[b] & is_small(config, resolved.source.side)),
                self.address[b].eq(Mux(own[b], place.address, tile.address[b])),
                small.word.eq(self.words[b]),
                self.windows[b].eq(Mux(was_own, small.window, assemble.window)),
            ]
            m.d.sync += [
                was_own.eq(own[b]),
                small.quarter.eq(place.quarter),
                small.side.eq(resolved.source.side),
                small.shift.dy.eq(resolved.dy),
                small.shift.dx.eq(resolved.dx),
                small.shift.strided.eq(resolved.source.strided),
            ]
        of_tile = Mux(tile.single, 1 << tile.centre, (1 << BANKS) - 1)
        m.d.comb += [
            tile.i.eq(tile_request),
            assemble.words.eq(self.words),
            self.read.eq(own | Mux((valid & ~own).any(), of_tile, 0)),
        ]
        m.d.sync += [
            assemble.centre.eq(tile.centre),
            assemble.quarter.eq(tile.quarter),
            assemble.split.eq(self.layer.half),
            assemble.rows.eq(tile.rows),
            assemble.columns.eq(tile.columns),
            assemble.shift.dy.eq(tile.i.dy),
            assemble.shift.dx.eq(tile.i.dx),
            assemble.shift.strided.eq(tile.i.source.strided),
        ]
        return m


class AssembleTile(wiring.Component):
    """A window of a map of one or more tiles: up to four words, shifted. Combinational.

    split: tiles are half as wide; then the window is a quarter, or every other row and column.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "words": In(data.ArrayLayout(config.word_bits, BANKS)),
                "centre": In(2),
                "shift": In(SHIFT),
                "split": In(1),
                "quarter": In(2),
                "rows": In(config.tile_side),
                "columns": In(config.tile_side),
                "window": Out(config.word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        side, ticks = self.config.tile_side, self.config.ticks
        words = [self.words[b] for b in range(BANKS)]
        # bank 0 of these is the tile, 1 its neighbour in x, 2 in y, 3 in both
        paired = [Mux(self.centre[0], words[b ^ 1], words[b]) for b in range(BANKS)]
        around = [Signal(self.config.word_bits, name=f"around_{b}") for b in range(BANKS)]
        for b in range(BANKS):
            m.d.comb += around[b].eq(Mux(self.centre[1], paired[b ^ 2], paired[b]))
        keep = Cat(self.columns[x].replicate(ticks) for x in range(side))
        moved = []  # rows of the tile and of its neighbour in y, moved in x
        for k, (near, far) in enumerate(((around[0], around[1]), (around[2], around[3]))):
            rows = []
            for r in range(side):
                near_row, far_row = (split_rows(w, side)[r] for w in (near, far))
                row = Signal(side * ticks, name=f"moved_{k}_{r}")
                columns = shift_rows(
                    split_rows(near_row, side), split_rows(far_row, side), self.shift.dx
                )
                m.d.comb += row.eq(Cat(columns) & keep)
                rows.append(row)
            moved.append(rows)
        rows = shift_rows(moved[0], moved[1], self.shift.dy)
        kept = [Signal(side * ticks, name=f"row_{r}") for r in range(side)]
        for r in range(side):
            m.d.comb += kept[r].eq(Mux(self.rows[r], rows[r], 0))
        every_other = [Cat(split_rows(row, side)[0::2]) for row in kept[0::2]]
        half, middle = side // 2, side * ticks // 2
        quarter = []
        for r in range(half):
            row = Mux(self.quarter[1], kept[half + r], kept[r])
            quarter.append(Mux(self.quarter[0], row[middle:], row[:middle]))
        part = Mux(
            self.shift.strided, corner(every_other, side * ticks), corner(quarter, side * ticks)
        )
        m.d.comb += self.window.eq(Mux(self.shift.strided | self.split, part, Cat(kept)))
        return m


class AssembleSmall(wiring.Component):
    """A window of a small map: one quarter of a word, shifted, zeros around it. Combinational."""

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "word": In(config.word_bits),
                "quarter": In(2),
                "side": In(7),
                "shift": In(SHIFT),
                "window": Out(config.word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        side, ticks = self.config.small_side, self.config.ticks
        block = Signal(side * side * ticks)
        m.d.comb += block.eq(self.word.word_select(self.quarter, len(block)))
        inside = Cat((self.side > x).replicate(ticks) for x in range(side))
        zero_cell, zero_row = Const(0, ticks), Const(0, side * ticks)
        rows = []
        for r, row in enumerate(split_rows(block, side)):
            kept = Signal(side * ticks, name=f"row_{r}")
            m.d.comb += kept.eq(Mux(self.side > r, row & inside, 0))
            columns = shift_rows(split_rows(kept, side), [zero_cell] * side, self.shift.dx)
            moved = Signal(side * ticks, name=f"moved_{r}")
            m.d.comb += moved.eq(Cat(columns))
            rows.append(moved)
        rows = shift_rows(rows, [zero_row] * side, self.shift.dy)
        every_other = [Cat(split_rows(row, side)[0::2]) for row in rows[0::2]]
        width = self.config.tile_side * ticks
        m.d.comb += self.window.eq(
            Mux(self.shift.strided, corner(every_other, width), corner(rows, width))
        )
        return m


def corner(rows: list[Value], width: int) -> Value:
    """Rows put into the top left corner of a square of rows of `width` bits."""
    return Cat(Cat(row, Const(0, width - len(row))) for row in rows)
