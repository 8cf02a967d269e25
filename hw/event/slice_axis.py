"""One axis of a slice: which tiles of its source it lies on, and where in the banks those are."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.event.planes import slice_side
from hw.widths import BLOCK_BITS, SIDE_BITS

SHIFT_BITS = 6
"""From a tile's first position to its slice's: -3 to 21, signed."""


def axis_layout(config: Config) -> data.StructLayout:
    """Of each row (or column) of a slice: whether an odd bank has it, and whether this pass and the map do."""
    return data.StructLayout({"odd": slice_side(config), "inside": slice_side(config)})


def turn_bits(config: Config) -> int:
    """Of a position in a tile, along one axis."""
    return config.tile_side.bit_length() - 1


class SliceAxis(wiring.Component):
    """One axis of a slice: which tiles hold it. Combinational.

    tile: of the layer's map. side: of the source, along this axis. base: the parity of the bank that has the first tile.
    shift: where the slice starts, from its tile's first position on; not of a strided source, where `phase` and
    `padded` say it; `wide`: its kernel is larger than 3x3, each phase sees both neighbours. halo: neighbours are needed, as a
    kernel of 1x1 needs none. twice: there is a second pass.
    even, odd: where in its bank the tile of that parity is, for pass `second`. turn: where in its first tile the slice starts.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "tile": In(BLOCK_BITS),
                "side": In(SIDE_BITS),
                "single": In(1),
                "base": In(1),
                "shift": In(signed(SHIFT_BITS)),
                "strided": In(1),
                "phase": In(1),
                "padded": In(1),
                "wide": In(1),
                "halo": In(1),
                "second": In(1),
                "twice": Out(1),
                "even": Out(BLOCK_BITS),
                "odd": Out(BLOCK_BITS),
                "rows": Out(axis_layout(config)),
                "turn": Out(turn_bits(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.strided):
            self._strided(m)
        with m.Else():
            self._shifted(m)
        return m

    def _shifted(self, m: Module) -> None:
        """Stride 1: a slice lies on up to three tiles, of which the first and the last have one bank."""
        side = self.config.tile_side
        log_side = side.bit_length() - 1
        start = Signal(signed(BLOCK_BITS + log_side + 2))  # of the slice, in the source
        tiles = [Signal(signed(BLOCK_BITS + 2), name=f"tile_{k}") for k in range(3)]
        # the source has something of the first tile, the last
        before = Signal()
        after = Signal()
        alone = Signal(BLOCK_BITS)  # of the bank that the first and the last tile have
        m.d.comb += [
            start.eq((self.tile << log_side) + self.shift),
            tiles[0].eq(start >> log_side),
            tiles[1].eq(tiles[0] + 1),
            tiles[2].eq(tiles[0] + 2),
            self.turn.eq(start[:log_side]),
            before.eq(start >= 0),
            after.eq((self.turn == side - 1) & (start + (side + 1) < self.side)),
            self.twice.eq(self.halo & before & after),
            alone.eq(Mux(self.second | ~before, tiles[2], tiles[0]) >> 1),
            self.even.eq(Mux(tiles[0][0], tiles[1] >> 1, alone)),
            self.odd.eq(Mux(tiles[0][0], alone, tiles[1] >> 1)),
        ]
        for r in range(side + 2):
            which = Signal(2, name=f"which_{r}")  # of the three tiles
            shown = Signal(name=f"shown_{r}")  # by this pass
            m.d.comb += [
                which.eq((self.turn + r) >> log_side),
                shown.eq(Mux(which == 2, self.second | ~before, ~self.second)),
                self.rows.odd[r].eq(Mux(self.single, self.base, tiles[0][0] ^ which[0])),
                self.rows.inside[r].eq(shown & (start + r >= 0) & (start + r < self.side)),
            ]

    def _strided(self, m: Module) -> None:
        """Stride 2: the rows of one phase, out of two tiles, and what its taps see of their neighbours."""
        side = self.config.tile_side
        log_side = side.bit_length() - 1
        rest = Signal(signed(9))  # positions of the source from the tile's first on
        first = Signal(BLOCK_BITS)  # tile of the source under the slice
        # neighbours that the slice needs and the map has
        near = Signal()
        far = Signal()
        beyond = Signal()  # the map has a row behind the two tiles
        parity = Signal()
        m.d.comb += [
            first.eq(self.tile << 1),
            rest.eq(self.side - (first << log_side)),
            parity.eq(Mux(self.single, self.base, first[0])),
            near.eq(self.halo & (self.wide | self.phase & self.padded) & (self.tile != 0)),
            beyond.eq(rest > Mux(self.phase, 2 * side + 1, 2 * side)),
            far.eq(self.halo & (self.wide | ~self.phase & ~self.padded) & beyond),
            self.twice.eq(near | far),
            self.even.eq(Mux(self.second, self.tile + 1, self.tile)),
            self.odd.eq(Mux(self.second, self.tile - 1, self.tile)),
        ]
        for r in range(side + 2):
            odd, inside = self.rows.odd[r], self.rows.inside[r]
            start = 2 * (r - 1)  # of the row, from the first tile on, in phase 0
            if r == 0:
                m.d.comb += [odd.eq(~parity), inside.eq(near & self.second)]
            elif r == side + 1:
                m.d.comb += [odd.eq(parity), inside.eq(far & self.second)]
            else:
                m.d.comb += [
                    odd.eq(parity ^ (r > side // 2)),
                    inside.eq((rest > start + self.phase) & ~self.second),
                ]
