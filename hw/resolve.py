"""The window reader's first stage: which map a weight reads, and where its window starts."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.fetch import REQUEST
from hw.program import LAYER, SOURCE
from hw.widths import BLOCK_BITS, CHANNEL_BITS, KERNEL

MOVE = data.StructLayout({"y": 2, "x": 2})
"""Where a window starts, seen from its tile: 0 to 3 is one position before it to two after."""

RESOLVED = data.StructLayout(
    {
        "source": SOURCE,
        "channel": CHANNEL_BITS,  # of the source
        "move": MOVE,
        "block_y": BLOCK_BITS,
        "block_x": BLOCK_BITS,
    }
)


class Resolve(wiring.Component):
    """Which map a request reads, and where its window starts. Combinational."""

    def __init__(self) -> None:
        super().__init__({"layer": In(LAYER), "i": In(REQUEST), "o": Out(RESOLVED)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, layer = self.i, self.layer
        second = i.channel >= layer.channels
        row = Signal(2)
        column = Signal(2)
        with m.Switch(i.position):
            for position in range(KERNEL):
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
