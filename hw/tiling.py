"""How maps are stored in the spike buffer and cut into tiles: facts in plain Python.

hw/geometry.py and hw/tile_counter.py have the same in RTL, tb/maps.py a third time, for tests alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hw.config import BANKS, Config


@dataclass(frozen=True)
class Storage:
    """A map in the spike buffer: one word a channel and tile, or a quarter of one for a small map."""

    config: Config
    height: int
    """Positions."""
    width: int

    @property
    def small(self) -> bool:
        """Whether four channels share a word, and every bank has a copy of it."""
        return max(self.height, self.width) <= self.config.small_side

    @property
    def single(self) -> bool:
        """Whether a channel is one word or less."""
        return max(self.height, self.width) <= self.config.tile_side

    @property
    def word_side(self) -> int:
        """Positions along a side of what is stored at once of a channel."""
        return self.config.small_side if self.small else self.config.tile_side

    @property
    def words_down(self) -> int:
        """Words of a channel from top to bottom."""
        return -(-self.height // self.word_side)

    @property
    def words_across(self) -> int:
        """Words of a channel from left to right."""
        return -(-self.width // self.word_side)

    @property
    def row_writes(self) -> int:
        """Cycles to write a row of positions: two words a cycle, which lie in different banks."""
        return -(-self.width // (2 * self.config.tile_side))

    def bank_words(self, channels: int) -> int:
        """Words of each bank that a map of so many channels takes."""
        if self.single:
            return -(-channels // BANKS)
        return channels * self._pairs_down * self._pairs_across

    def writes(self, channels: int) -> int:
        """Words of single banks that storing a map writes."""
        copies = BANKS if self.small else 1
        return channels * copies * self.words_down * self.words_across

    @property
    def window_reads(self) -> int:
        """Words that a weight's window is read from, all at once."""
        return 1 if self.single else BANKS

    def place(self, channel: Any, y: int, x: int) -> tuple[Any, Any, Any]:
        """Bank, address from the map's base on, and quarter of word (y, x) of a channel.

        channel: a number or an array of them. The bank is one of all four for a small map; the quarter is
        None where a word holds one channel.
        """
        if self.single:
            quarter = channel % BANKS if self.small else None
            return channel % BANKS, channel // BANKS, quarter
        address = (channel * self._pairs_down + y // 2) * self._pairs_across + x // 2
        return 2 * (y % 2) + x % 2, address, None

    @property
    def _pairs_down(self) -> int:
        return -(-self.height // (2 * self.config.tile_side))

    @property
    def _pairs_across(self) -> int:
        return -(-self.width // (2 * self.config.tile_side))


@dataclass(frozen=True)
class Tile:
    """The positions whose neurons are in the accumulators at once."""

    y: int
    """Of the tile, in tiles."""
    x: int
    height: int
    """In positions: fewer than a tile's side at the edge of the map."""
    width: int
    stored: bool
    """It completes a word that lies in the output map."""

    @property
    def positions(self) -> int:
        """Of the map."""
        return self.height * self.width


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """The tiles of a layer's map of neurons, of one word or a part of one."""

    config: Config
    height: int
    """Of the neurons, before pooling, in positions."""
    width: int
    output: Storage
    """Of the map that the layer stores; of one position where it stores none."""
    half: bool
    """Tiles have half a side: the window of a stride of 2 is twice as wide."""
    pool: bool
    """2x2."""
    each: bool = False
    """Each tile is handed over for itself, as layers of several rounds of ticks do."""

    @property
    def side(self) -> int:
        """Positions along a side of a whole tile."""
        return self.config.tile_side // (2 if self.half else 1)

    @property
    def down(self) -> int:
        """Tiles from top to bottom."""
        return -(-self.height // self.side)

    @property
    def across(self) -> int:
        """Tiles from left to right."""
        return -(-self.width // self.side)

    @property
    def count(self) -> int:
        """Tiles of the map."""
        return self.down * self.across

    @property
    def whole(self) -> int:
        """Positions that a sweep visits when it opens or drains a tile."""
        return min(self.side, self.height) * min(self.side, self.width)

    def tiles(self) -> Iterator[Tile]:
        """In the array's order: those of an output word one after the other."""
        word = self.output.word_side
        along = max(word // (self.side // (2 if self.pool else 1)), 1)  # tiles, of an output word
        for top in range(0, self.down, along):
            for left in range(0, self.across, along):
                rows = range(top, min(top + along, self.down))
                columns = range(left, min(left + along, self.across))
                inside = (
                    top // along < self.output.words_down
                    and left // along < self.output.words_across
                )
                for y in rows:
                    for x in columns:
                        last = y == rows[-1] and x == columns[-1]
                        height = min(self.side, self.height - y * self.side)
                        width = min(self.side, self.width - x * self.side)
                        yield Tile(y, x, height, width, (last or self.each) and inside)
