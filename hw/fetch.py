"""The fetch stage of a PE: while one weight sweeps its tile, the next one and its window are fetched."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.unreset import data_register
from hw.widths import BLOCK_BITS, CHANNEL_BITS, POSITION_BITS
from hw.wsp import weight_layout

REQUEST = data.StructLayout(
    {
        "channel": CHANNEL_BITS,
        "position": POSITION_BITS,
        "block_y": BLOCK_BITS,
        "block_x": BLOCK_BITS,
    }
)
"""Which window of the spike buffer a weight needs."""


class Fetch(wiring.Component):
    """Holds the next weight and its window.

    i: decoded weights. request: its window; ready in this PE's read slot. window: what comes back.
    o: the next weight, with `spikes` its window; valid when both are there.
    busy: a weight is held or waits for its slot, though it may not be ready to sweep.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(weight_layout(config))),
                "request": Out(stream.Signature(REQUEST)),
                "window_valid": In(1),
                "window": In(config.word_bits),
                "o": Out(stream.Signature(weight_layout(config))),
                "spikes": Out(config.word_bits),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal()  # a weight is held; its window may still be on the way
        incoming = self.i.payload
        m.d.comb += [
            self.request.valid.eq(self.i.valid & ~incoming.empty & ~held),
            self.request.payload.channel.eq(incoming.channel),
            self.request.payload.position.eq(incoming.position),
            self.request.payload.block_y.eq(incoming.block_y),
            self.request.payload.block_x.eq(incoming.block_x),
            self.i.ready.eq(~held & (self.request.ready | incoming.empty)),
            self.busy.eq(self.i.valid | held),
        ]
        weight = data_register(m, self.o.payload, "weight")
        spikes = data_register(m, self.spikes, "held_spikes")
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [held.eq(0), self.o.valid.eq(0)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(1), weight.eq(incoming), self.o.valid.eq(incoming.empty)]
        with m.If(self.window_valid):
            m.d.sync += [spikes.eq(self.window), self.o.valid.eq(1)]
        return m
