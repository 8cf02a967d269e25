"""A tap of a slice: which positions of the tile it adds to, and the spikes that it adds there."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.event.planes import bank_rows, position, shape, slice_bits, slice_side
from hw.event.program import SUBS
from hw.widths import KERNEL

TAPS = SUBS * KERNEL


def start_layout(config: Config) -> data.StructLayout:
    """Where in its slice a tap's tile starts."""
    bits = (2 + config.small_side + 1).bit_length()
    return data.StructLayout({"down": bits, "right": bits})


class TapMasks(wiring.Component):
    """The first of a slice's taps. Combinational.

    taps: those to come, bit 9 sub + position. spikes: the slice. height, width: positions of the tile.
    masks: for each bank, the rows that the tap adds to. start: see `start_layout`. rest: taps that then remain.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        side_bits = config.tile_side.bit_length()
        super().__init__(
            {
                "taps": In(TAPS),
                "spikes": In(slice_bits(config)),
                "height": In(side_bits),
                "width": In(side_bits),
                "masks": Out(data.ArrayLayout(bank_rows(config), config.banks)),
                "start": Out(start_layout(config)),
                "rest": Out(TAPS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        side, wide, jump = config.tile_side, slice_side(config), config.small_side + 1
        lowest = Signal(TAPS)  # one-hot
        m.d.comb += [
            lowest.eq(self.taps & -self.taps),
            self.rest.eq(self.taps & ~lowest),
        ]

        def chosen(condition: list[int]) -> Value:
            return Cat(lowest[k] for k in condition).any()

        subs = [list(range(KERNEL * s, KERNEL * (s + 1))) for s in range(SUBS)]
        far_down, far_right = chosen(subs[2] + subs[3]), chosen(subs[1] + subs[3])
        rows = [chosen([k for k in range(TAPS) if k % KERNEL // 3 == r]) for r in range(3)]
        columns = [chosen([k for k in range(TAPS) if k % 3 == c]) for c in range(3)]
        by_row = Mux(rows[2], 2, Mux(rows[1], 1, 0))
        by_column = Mux(columns[2], 2, Mux(columns[1], 1, 0))
        m.d.comb += [
            self.start.down.eq(by_row + Mux(far_down, jump, 0)),
            self.start.right.eq(by_column + Mux(far_right, jump, 0)),
        ]

        # Cells right of a row are those of the next: zeros, or columns that no tile is so wide to reach.
        active = Signal(wide * wide)  # positions of the slice with a spike in any tick
        far_y, near_y, far_x, window = (
            Signal(wide * wide, name=n) for n in ("fy", "ny", "fx", "w")
        )
        m.d.comb += [
            active.eq(Cat(cell.any() for cell in split_cells(self.spikes, config.ticks))),
            far_y.eq(Mux(far_down, active >> jump * wide, active)),
            near_y.eq(Mux(rows[2], far_y >> 2 * wide, Mux(rows[1], far_y >> wide, far_y))),
            far_x.eq(Mux(far_right, near_y >> jump, near_y)),
            window.eq(Mux(columns[2], far_x >> 2, Mux(columns[1], far_x >> 1, far_x))),
        ]
        high = Signal(side)
        broad = Signal(side)
        m.d.comb += [
            high.eq((1 << self.height) - 1),
            broad.eq((1 << self.width) - 1),
        ]
        for b in range(config.banks):
            cells = []
            for row in range(bank_rows(config)):
                y, x = position(config, b, row)
                cells.append(window[y * wide + x] & high[y] & broad[x])
            m.d.comb += self.masks[b].eq(Cat(cells))
        return m


class TapLookup(wiring.Component):
    """Each bank's next position of a tap, and its spikes in the slice. Combinational.

    masks: rows to come of each bank. rest: those that then remain. rows: the lowest, where `valid`, which is one-hot in `at`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        masks = data.ArrayLayout(bank_rows(config), config.banks)
        super().__init__(
            {
                "masks": In(masks),
                "spikes": In(slice_bits(config)),
                "start": In(start_layout(config)),
                "rest": Out(masks),
                "valid": Out(config.banks),
                "rows": Out(data.ArrayLayout(row_bits(config), config.banks)),
                "at": Out(masks),
                "ticks": Out(data.ArrayLayout(config.ticks, config.banks)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        (by, bx), wide, ticks = shape(config), slice_side(config), config.ticks
        across = config.tile_side // bx
        log_y, log_x = by.bit_length() - 1, bx.bit_length() - 1
        cells = split_cells(self.spikes, ticks)
        along = []  # row and column of each bank's position in its plane
        for b in range(config.banks):
            mask = self.masks[b]
            row = self.rows[b]
            lowest = self.at[b]
            m.d.comb += [
                lowest.eq(mask & -mask),
                self.valid[b].eq(mask != 0),
                self.rest[b].eq(mask & ~lowest),
            ]
            for k in range(len(row)):  # the index of a one-hot value
                m.d.comb += row[k].eq(Cat(lowest[i] for i in range(len(mask)) if i >> k & 1).any())
            log_across = across.bit_length() - 1
            down = Signal(range(wide), name=f"down_{b}")
            right = Signal(range(wide), name=f"right_{b}")
            m.d.comb += [
                down.eq((row >> log_across) + ((b // bx + self.start.down) >> log_y)),
                right.eq(row[:log_across] + ((b % bx + self.start.right) >> log_x)),
            ]
            along.append((down, right))
        # Where a tap starts decides which bank reads which plane.
        places = {
            (py, px): Signal(data.StructLayout({"down": 4, "right": 4}), name=f"place_{py}_{px}")
            for py in range(by)
            for px in range(bx)
        }
        read = {}
        for (py, px), place in places.items():
            rows = [
                Cat(cells[y * wide + x] for x in range(px, wide, bx)) for y in range(py, wide, by)
            ]
            row = Signal(len(rows[0]), name=f"row_{py}_{px}")
            read[py, px] = cell = Signal(ticks, name=f"cell_{py}_{px}")
            m.d.comb += [
                row.eq(Cat(rows).word_select(place.down, len(row))),
                cell.eq(row.word_select(place.right, ticks)),
            ]
        with m.Switch(Cat(self.start.right[:log_x], self.start.down[:log_y])):
            for down in range(by):
                for right in range(bx):
                    with m.Case(down * bx + right):
                        for b in range(config.banks):
                            plane = (b // bx + down) % by, (b % bx + right) % bx
                            m.d.comb += [
                                places[plane].down.eq(along[b][0]),
                                places[plane].right.eq(along[b][1]),
                                self.ticks[b].eq(read[plane]),
                            ]
        return m


def row_bits(config: Config) -> int:
    """Bits of a bank's row."""
    return (bank_rows(config) - 1).bit_length()


def split_cells(spikes: Value, ticks: int) -> list[Value]:
    """The ticks of each position of a slice, row by row."""
    return [spikes[k : k + ticks] for k in range(0, len(spikes), ticks)]
