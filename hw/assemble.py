"""The window reader's third stage: words of the spike buffer made into a window.

What lies outside the map is masked, then rows are rotated into place, then columns.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import BANKS, Config
from hw.resolve import MOVE
from hw.tile_address import axis_layout
from hw.widths import SIDE_BITS


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
        odd = Signal(width)
        inside = Signal(width)
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
                "side": In(SIDE_BITS),
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
