"""The read port of the spike buffer: from a weight's channel and kernel position to a shifted window.

Three stages: requests are resolved (resolve.py), the banks are addressed (tile_address.py), the window is put
together (assemble.py).

A window starts -1 to 2 positions from its tile. The four banks, of even and odd tiles in y and x, are a square of
two tiles a side that wraps around: each row of a tile is read in one of two banks, each column too, and the
rows and columns are then rotated into place.
"""

from __future__ import annotations

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.assemble import AssembleSmall, AssembleTile
from hw.config import BANKS, Config
from hw.fetch import REQUEST
from hw.geometry import is_small, single_address
from hw.program import LAYER
from hw.resolve import RESOLVED, Resolve
from hw.tile_address import TileAddress
from hw.widths import ADDRESS_BITS

LATENCY = 2
"""Cycles from a request in its slot to its window on the bus."""


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
                "address": Out(data.ArrayLayout(ADDRESS_BITS, BANKS)),
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
