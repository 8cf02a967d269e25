"""How positions are spread over a PE's banks, and a slice over planes that each serve one bank.

Bank (by, bx) holds the positions y mod BY = by, x mod BX = bx of a tile. Where a tap shifts the tile by (sy, sx), that
bank reads cells of the slice whose coordinates are (by + sy) mod BY, (bx + sx) mod BX: one plane, and no other bank reads it.
"""

from __future__ import annotations

from hw.config import Config

SHAPES = {1: (1, 1), 4: (2, 2), 8: (4, 2)}
"""(BY, BX) by number of banks."""


def shape(config: Config) -> tuple[int, int]:
    """(BY, BX)."""
    return SHAPES[config.banks]


def bank_rows(config: Config) -> int:
    """Positions of a bank."""
    return config.positions // config.banks


def place(config: Config, y: int, x: int) -> tuple[int, int]:
    """Bank and row in it of a position."""
    by, bx = shape(config)
    return (y % by) * bx + x % bx, (y // by) * (config.tile_side // bx) + x // bx


def position(config: Config, bank: int, row: int) -> tuple[int, int]:
    """The inverse of `place`."""
    by, bx = shape(config)
    across = config.tile_side // bx
    return (row // across) * by + bank // bx, (row % across) * bx + bank % bx


def slice_side(config: Config) -> int:
    """Positions along a side of a slice: what nine taps see of a tile."""
    return config.tile_side + 2


def slice_bits(config: Config) -> int:
    """Bit ((y * slice_side + x) * ticks + t) of a slice is a spike."""
    return slice_side(config) ** 2 * config.ticks
