"""The slice reader: from a list entry and a tile to the slice that all nine taps of a channel see of it.

A slice starts one position before its tile (at the tile where a layer has no padding) and is two wider. Tiles lie in four
banks by the parity of their place, so a slice with neighbours on both sides takes a second pass along that axis. A source
of stride 2 is read as four channels, its phases: rows and columns 2 j + f of the map are channel f, of stride 1.

A packed beat holds four channels of at most half a tile's side, each with its border of zeros: the quarters of a
word of a small map; the four phases of one channel; or, of a shortcut of stride 2, phase 0 of four.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.assemble import split_rows
from hw.config import BANKS, Config
from hw.event.planes import slice_bits, slice_side
from hw.event.program import LIST_ENTRY
from hw.geometry import Place, is_single, is_small, tiles_per_bank
from hw.program import LAYER, SOURCE
from hw.widths import ADDRESS_BITS, BLOCK_BITS, CHANNEL_BITS, SIDE_BITS


def axis_layout(config: Config) -> data.StructLayout:
    """Of each row (or column) of a slice: whether an odd bank has it, and whether this pass and the map do."""
    return data.StructLayout({"odd": slice_side(config), "inside": slice_side(config)})


MODE = data.StructLayout(
    {
        "inset": 1,  # the slice starts at its tile
        "strided": 1,
        "phase": 2,  # of a strided source, x in bit 0, y in bit 1
        "packed": 1,
        "expand": 1,  # the word's quarter is the map
        "quarter": 2,
        "small": 1,  # packed: the word as it is
        "four": 1,  # packed: phase 0 of four channels, a bank each
    }
)


class SliceAxis(wiring.Component):
    """One axis of a slice: which tiles hold it. Combinational.

    tile: of the layer's map. side: of the source. base: the parity of the bank that has the first tile.
    halo: neighbours are needed, as a kernel of 1x1 needs none. twice: there is a second pass. even, odd: where in its bank the tile of that parity is, for pass `second`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "tile": In(BLOCK_BITS),
                "side": In(SIDE_BITS),
                "single": In(1),
                "base": In(1),
                "inset": In(1),
                "strided": In(1),
                "phase": In(1),
                "padded": In(1),
                "halo": In(1),
                "second": In(1),
                "twice": Out(1),
                "even": Out(BLOCK_BITS),
                "odd": Out(BLOCK_BITS),
                "rows": Out(axis_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        side = self.config.tile_side
        log_side = side.bit_length() - 1
        rest = Signal(signed(9))  # positions of the source from the tile's first on
        first = Signal(BLOCK_BITS)  # tile of the source under the slice
        before, after = Signal(), Signal()  # neighbours that the slice needs and the map has
        parity = Signal()
        m.d.comb += [
            first.eq(Mux(self.strided, self.tile << 1, self.tile)),
            rest.eq(self.side - (first << log_side)),
            parity.eq(Mux(self.single, self.base, first[0])),
        ]
        with m.If(self.strided):
            m.d.comb += [
                before.eq(self.halo & self.phase & self.padded & (self.tile != 0)),
                after.eq(self.halo & ~self.phase & ~self.padded & (rest > 2 * side)),
                self.twice.eq(before | after),
                self.even.eq(Mux(self.second, self.tile + 1, self.tile)),
                self.odd.eq(Mux(self.second, self.tile - 1, self.tile)),
            ]
        with m.Else():
            here, there = Signal(BLOCK_BITS), Signal(BLOCK_BITS)
            neighbour = Signal(BLOCK_BITS + 1)
            left = before & ~self.second  # the neighbour of this pass is the one before
            m.d.comb += [
                before.eq(self.halo & ~self.inset & (self.tile != 0)),
                after.eq(self.halo & (rest > side)),
                self.twice.eq(before & after),
                neighbour.eq(Mux(left, self.tile - 1, self.tile + 1)),
                here.eq(self.tile >> 1),
                there.eq(neighbour[1:BLOCK_BITS]),
                self.even.eq(Mux(self.tile[0], there, here)),
                self.odd.eq(Mux(self.tile[0], here, there)),
            ]
        for r in range(side + 2):
            odd, inside = self.rows.odd[r], self.rows.inside[r]
            with m.If(self.strided):
                start = 2 * (r - 1)  # of the row, from the first tile on, in phase 0
                if r == 0:
                    m.d.comb += [odd.eq(~parity), inside.eq(before & self.second)]
                elif r == side + 1:
                    m.d.comb += [odd.eq(parity), inside.eq(after & self.second)]
                else:
                    m.d.comb += [
                        odd.eq(parity ^ (r > side // 2)),
                        inside.eq((rest > start + self.phase) & ~self.second),
                    ]
            with m.Elif(self.inset):
                m.d.comb += [odd.eq(parity ^ (r >= side)), inside.eq((rest > r) & ~self.second)]
            with m.Else():
                if r == 0:
                    m.d.comb += [odd.eq(~parity), inside.eq(before & ~self.second)]
                elif r == side + 1:
                    in_pass = Mux(before, self.second, ~self.second)
                    m.d.comb += [odd.eq(~parity), inside.eq(after & in_pass)]
                else:
                    m.d.comb += [odd.eq(parity), inside.eq((rest > r - 1) & ~self.second)]
        return m


class SliceReader(wiring.Component):
    """One pass of a slice, in two cycles: `read` and `address` to the banks, then `slice` from `words`.

    entry, tile_y, tile_x: which slice. second: which pass, y in bit 1, x in bit 0; twice: along which axes
    there are two. slice: this pass's part, of the entry of the cycle before, zeros elsewhere.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "layer": In(LAYER),
                "entry": In(LIST_ENTRY),
                "tile_y": In(BLOCK_BITS),
                "tile_x": In(BLOCK_BITS),
                "second": In(2),
                "twice": Out(2),
                "read": Out(BANKS),
                "address": Out(data.ArrayLayout(ADDRESS_BITS, BANKS)),
                "words": In(data.ArrayLayout(config.word_bits, BANKS)),
                "slice": Out(slice_bits(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, layer, entry = self.config, self.layer, self.entry
        source = Signal(SOURCE)
        channel, phase = Signal(CHANNEL_BITS), Signal(2)
        packed, small, single, inset, strided = (
            Signal(name=name) for name in ("packed", "small", "single", "inset", "strided")
        )
        m.d.comb += [
            source.eq(Mux(entry.shortcut, layer.shortcut, layer.input)),
            packed.eq(layer.fast),
            small.eq(is_small(config, source.side)),
            single.eq(is_single(config, source.side)),
            inset.eq(packed | (~source.strided & ~layer.padded)),
            strided.eq(source.strided & ~packed),
            phase.eq(entry.index[:2]),
        ]
        four = packed & source.strided & entry.shortcut
        with m.If(packed & (~source.strided | entry.shortcut)):
            m.d.comb += channel.eq(entry.index << 2)
        with m.Elif(strided):
            m.d.comb += channel.eq(entry.index >> 2)
        with m.Else():
            m.d.comb += channel.eq(entry.index)

        m.submodules.place = place = Place(config)
        per_bank = tiles_per_bank(config, source.side)
        across = Signal(len(per_bank))
        m.d.comb += [
            across.eq(per_bank),
            place.base.eq(source.base),
            place.side.eq(source.side),
            place.channel.eq(channel),
        ]
        axes = []
        for number, (name, tile) in enumerate((("x", self.tile_x), ("y", self.tile_y))):
            axis = SliceAxis(config)
            m.submodules[f"axis_{name}"] = axis
            m.d.comb += [
                axis.tile.eq(tile),
                axis.side.eq(source.side),
                axis.single.eq(single),
                axis.base.eq(channel[number] & ~small),  # of a small map every bank has a copy
                axis.inset.eq(inset),
                axis.strided.eq(strided),
                axis.phase.eq(phase[number]),
                axis.padded.eq(layer.padded),
                axis.halo.eq(~entry.shortcut),
                axis.second.eq(self.second[number]),
                self.twice[number].eq(axis.twice),
            ]
            axes.append(axis)
        x, y = axes
        for b in range(BANKS):
            along_y, along_x = (
                axis.odd if b >> k & 1 else axis.even for axis, k in ((y, 1), (x, 0))
            )
            offset = along_y * across + along_x
            m.d.comb += self.address[b].eq(place.address + Mux(single, 0, offset))
        centre = Const(1, BANKS) << (channel[:2] & Mux(small, 0, 3))
        m.d.comb += self.read.eq(Mux(single & ~four, centre, (1 << BANKS) - 1))

        mode = Signal(MODE)
        m.d.comb += [
            mode.inset.eq(inset),
            mode.strided.eq(strided),
            mode.phase.eq(phase),
            mode.packed.eq(packed),
            mode.small.eq(~source.strided),
            mode.four.eq(four),
            mode.expand.eq(small & ~(packed & ~source.strided)),
            mode.quarter.eq(channel[:2]),
        ]
        self._assemble(m, mode, x, y)
        return m

    def _assemble(self, m: Module, mode: data.View, x: SliceAxis, y: SliceAxis) -> None:
        """The slice, in the cycle after its words were asked for."""
        m.submodules.assemble = assemble = Assemble(self.config)
        m.d.comb += [assemble.words.eq(self.words), self.slice.eq(assemble.slice)]
        held = Signal(MODE, reset_less=True)
        layout = axis_layout(self.config)
        rows = [Signal(layout, name=f"rows_{n}", reset_less=True) for n in "xy"]
        m.d.sync += [held.eq(mode), rows[0].eq(x.rows), rows[1].eq(y.rows)]
        m.d.comb += [assemble.mode.eq(held), assemble.x.eq(rows[0]), assemble.y.eq(rows[1])]


class Assemble(wiring.Component):
    """Puts a pass's words together. Combinational. y, x: which rows and columns come from where."""

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "mode": In(MODE),
                "y": In(axis_layout(config)),
                "x": In(axis_layout(config)),
                "words": In(data.ArrayLayout(config.word_bits, BANKS)),
                "slice": Out(slice_bits(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, mode = self.config, self.mode
        side, ticks, half = config.tile_side, config.ticks, config.small_side
        cell = ticks
        first = Signal(
            config.word_bits
        )  # of bank 0, a quarter moved to the top left where it is the map
        quarter = Signal(half * half * cell)
        m.d.comb += quarter.eq(self.words[0].word_select(mode.quarter, len(quarter)))
        pad = Const(0, (side - half) * cell)
        corner = Cat(Cat(row, pad) for row in split_rows(quarter, half))
        m.d.comb += first.eq(Mux(mode.expand, corner, self.words[0]))
        banks = [
            split_rows(word, side) for word in (first, self.words[1], self.words[2], self.words[3])
        ]

        def along(
            name: str, even: list[Value], odd: list[Value], axis: data.View, phase: Value
        ) -> list[Value]:
            """Rows (or cells) of a slice, from those of an even and an odd tile."""
            result = []
            for r in range(side + 2):
                strides = [(2 * (r - 1) + f) % side for f in (0, 1)]
                picked = []
                for parity, tile in (("even", even), ("odd", odd)):
                    one = Signal(len(even[0]), name=f"{name}_{r}_{parity}")
                    m.d.comb += one.eq(
                        Mux(
                            mode.strided,
                            Mux(phase, tile[strides[1]], tile[strides[0]]),
                            Mux(mode.inset, tile[r % side], tile[(r - 1) % side]),
                        )
                    )
                    picked.append(one)
                row = Signal(len(even[0]), name=f"{name}_{r}")
                inside = axis.inside[r].replicate(len(row))
                m.d.comb += row.eq(Mux(axis.odd[r], picked[1], picked[0]) & inside)
                result.append(row)
            return result

        rows = [along(f"row_{x}", banks[x], banks[2 + x], self.y, mode.phase[1]) for x in (0, 1)]
        cells = []
        for r, (even, odd) in enumerate(zip(*rows, strict=True)):
            cells.append(
                along(
                    f"cell_{r}",
                    split_rows(even, side),
                    split_rows(odd, side),
                    self.x,
                    mode.phase[0],
                )
            )
        packed = Signal(slice_bits(config))
        m.d.comb += [
            packed.eq(Cat(Cat(row) for row in self.packed(cells))),
            self.slice.eq(Mux(mode.packed, packed, Cat(Cat(row) for row in cells))),
        ]
        return m

    def packed(self, tile: list[list[Value]]) -> list[list[Value]]:
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
                        self.mode.four, own, Mux(self.mode.small, small, phase)
                    )
        return result
