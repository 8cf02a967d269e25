"""The words of a slice's pass put together: rows and cells picked from up to four tiles."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.assemble import split_rows
from hw.config import BANKS, Config
from hw.event.planes import slice_bits
from hw.event.slice_axis import axis_layout, turn_bits

MODE = data.StructLayout(
    {
        "strided": 1,
        "phase": 2,  # of a strided source, x in bit 0, y in bit 1
        "packed": 1,
        "expand": 1,  # the word's quarter is the map
        "quarter": 2,
        "small": 1,  # packed: the word as it is
        "four_banks": 1,  # packed: phase 0 of four channels, a bank each
    }
)


class Assemble(wiring.Component):
    """Puts a pass's words together. Combinational.

    y, x: which rows and columns come from where. turn_y, turn_x: of the slice's first, in its tile.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "mode": In(MODE),
                "y": In(axis_layout(config)),
                "x": In(axis_layout(config)),
                "turn_y": In(turn_bits(config)),
                "turn_x": In(turn_bits(config)),
                "words": In(data.ArrayLayout(config.word_bits, BANKS)),
                "slice": Out(slice_bits(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, mode = self.config, self.mode
        side, ticks, half = config.tile_side, config.ticks, config.small_side
        # Of bank 0, a quarter moved to the top left where it is the map.
        first = Signal(config.word_bits)
        quarter = Signal(half * half * ticks)
        m.d.comb += quarter.eq(self.words[0].word_select(mode.quarter, len(quarter)))
        pad = Const(0, (side - half) * ticks)
        corner = Cat(Cat(row, pad) for row in split_rows(quarter, half))
        m.d.comb += first.eq(Mux(mode.expand, corner, self.words[0]))
        banks = [
            split_rows(word, side) for word in (first, self.words[1], self.words[2], self.words[3])
        ]

        def turned(name: str, tile: list[Value], turn: Value) -> list[Value]:
            """Rows (or cells) of a tile, from number `turn` on."""
            for k in range(len(turn)):
                moved = tile[1 << k :] + tile[: 1 << k]
                stage = [Signal(len(one), name=f"{name}_{k}_{r}") for r, one in enumerate(tile)]
                m.d.comb += [
                    one.eq(Mux(turn[k], there, here))
                    for one, there, here in zip(stage, moved, tile, strict=True)
                ]
                tile = list(stage)
            return tile

        def along(
            name: str,
            parts: tuple[list[Value], list[Value]],
            axis: data.View,
            phase: Value,
            turn: Value,
        ) -> list[Value]:
            """Rows (or cells) of a slice, from those of an even and an odd tile."""
            result = []
            moved = [turned(f"{name}_{p}", tile, turn) for p, tile in zip("eo", parts, strict=True)]
            for r in range(side + 2):
                strides = [(2 * (r - 1) + f) % side for f in (0, 1)]
                picked = []
                for parity, tile, straight in zip("eo", parts, moved, strict=True):
                    one = Signal(len(tile[0]), name=f"{name}_{r}_{parity}")
                    every_other = Mux(phase, tile[strides[1]], tile[strides[0]])
                    m.d.comb += one.eq(Mux(mode.strided, every_other, straight[r % side]))
                    picked.append(one)
                row = Signal(len(parts[0][0]), name=f"{name}_{r}")
                inside = axis.inside[r].replicate(len(row))
                m.d.comb += row.eq(Mux(axis.odd[r], picked[1], picked[0]) & inside)
                result.append(row)
            return result

        rows = [
            along(f"row_{x}", (banks[x], banks[2 + x]), self.y, mode.phase[1], self.turn_y)
            for x in (0, 1)
        ]
        cells = []
        for r, pair in enumerate(zip(*rows, strict=True)):
            even, odd = (split_rows(row, side) for row in pair)
            cells.append(along(f"cell_{r}", (even, odd), self.x, mode.phase[0], self.turn_x))
        packed = Signal(slice_bits(config))
        m.d.comb += [
            packed.eq(Cat(Cat(row) for row in self._packed(cells))),
            self.slice.eq(Mux(mode.packed, packed, Cat(Cat(row) for row in cells))),
        ]
        return m

    def _packed(self, tile: list[list[Value]]) -> list[list[Value]]:
        """Four channels, each with a border of zeros. tile: the map's cells, from (0, 0) on."""
        config = self.config
        side, ticks, half = config.tile_side, config.ticks, config.small_side
        raw = split_rows(self.words[0], 4 * half * half)
        zero = Const(0, ticks)
        result: list[list[Value]] = [[Const(0, ticks)] * (side + 2) for _ in range(side + 2)]
        for sub in range(4):
            down, right = sub >> 1, sub & 1
            for y in range(half):
                for x in range(half):
                    inside = (self.y.inside[y] & self.x.inside[x]).replicate(ticks)
                    small = raw[(sub * half + y) * half + x] & inside
                    phase = tile[2 * y + down][2 * x + right]
                    # phase 0 of a channel in bank `sub`, where a small map is that quarter of the word
                    whole = split_rows(self.words[sub], side * side)[2 * y * side + 2 * x]
                    quarter = zero
                    if 2 * y < half and 2 * x < half:
                        cells = split_rows(self.words[sub], 4 * half * half)
                        quarter = cells[(sub * half + 2 * y) * half + 2 * x]
                    inside = (self.y.inside[2 * y] & self.x.inside[2 * x]).replicate(ticks)
                    own = Mux(self.mode.expand, quarter, whole) & inside
                    where = result[1 + y + down * (half + 1)]
                    where[1 + x + right * (half + 1)] = Mux(
                        self.mode.four_banks, own, Mux(self.mode.small, small, phase)
                    )
        return result
