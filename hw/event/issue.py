"""The issue of taps: which tap of which slice a PE's banks work on, and when a pass ends."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.event.fifo import END, entry_layout
from hw.event.planes import bank_rows, slice_bits
from hw.event.taps import TapLookup, TapMasks


def step_signature(config: Config) -> wiring.Signature:
    """What the banks add in a cycle: `valid` of them, each at a row, one-hot, in the ticks of its spikes."""
    return wiring.Signature(
        {
            "valid": Out(config.banks),
            "at": Out(data.ArrayLayout(bank_rows(config), config.banks)),
            "spikes": Out(data.ArrayLayout(config.ticks, config.banks)),
            "weight": Out(signed(config.weight_bits)),
            "bias": Out(signed(config.accumulator_bits)),
            "shortcut": Out(1),
        }
    )


class Issue(wiring.Component):
    """Goes through the slices of a PE's FIFO, tap after tap; the next tap is loaded in the last cycle of the one before.

    coming_valid, coming, source, spikes, more, begin, pop: the FIFO's next_valid, next_what, source, spikes of
    the entry at work, and what it is told. height, width: of the tile.
    weight, bias: of the next tap. take: it is taken. end: the pass ends, as `coming` says; may_end: it can.
    free: the drain is, or will be in the next cycle. identity: the shortcut's weights are no work.
    working, first: a tap is at work, and in its first cycle. step: what it adds.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        side_bits = config.tile_side.bit_length()
        super().__init__(
            {
                "coming_valid": In(1),
                "coming": In(END),
                "source": In(entry_layout(config)),
                "spikes": In(slice_bits(config)),
                "more": Out(1),
                "begin": Out(1),
                "pop": Out(1),
                "height": In(side_bits),
                "width": In(side_bits),
                "weight": In(signed(config.weight_bits)),
                "bias": In(signed(config.accumulator_bits)),
                "identity": In(1),
                "free": In(1),
                "may_end": In(1),
                "take": Out(1),
                "end": Out(1),
                "working": Out(1),
                "first": Out(1),
                "step": Out(step_signature(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.masks = masks = TapMasks(self.config)
        m.submodules.lookup = lookup = TapLookup(self.config)
        source, step = self.source, self.step
        mask = Signal.like(masks.masks, name="mask")
        start = Signal.like(masks.start, name="start", reset_less=True)
        rest = Signal.like(masks.rest, name="taps_left")
        weight = Signal.like(step.weight, name="held_weight", reset_less=True)
        bias = Signal.like(step.bias, name="held_bias", reset_less=True)
        shortcut = Signal()
        last_tap = Signal()
        tap_done = Signal()
        free = Signal()
        next_is_end = Signal()
        m.d.comb += [
            tap_done.eq(self.working & (lookup.rest.as_value() == 0)),
            free.eq(Mux(self.working, tap_done, self.free)),
            next_is_end.eq(self.coming_valid & self.coming.is_end),
            self.more.eq(self.working & ~last_tap),
            self.take.eq(free & (self.more | (self.coming_valid & ~self.coming.is_end))),
            self.end.eq(free & ~self.more & next_is_end & self.may_end),
            self.begin.eq((self.take & ~self.more) | self.end),
            self.pop.eq(tap_done & last_tap),
            masks.taps.eq(Mux(self.more, rest, source.taps)),
            masks.spikes.eq(source.spikes),
            masks.height.eq(self.height),
            masks.width.eq(self.width),
            lookup.masks.eq(mask),
            lookup.spikes.eq(self.spikes),
            lookup.start.eq(start),
            step.valid.eq(Mux(self.working, lookup.valid, 0)),
            step.at.eq(lookup.at),
            step.spikes.eq(lookup.ticks),
            step.weight.eq(weight),
            step.bias.eq(bias),
            step.shortcut.eq(shortcut),
        ]
        m.d.sync += self.first.eq(self.take)
        with m.If(self.working):
            m.d.sync += mask.eq(lookup.rest)
        with m.If(free):
            m.d.sync += self.working.eq(0)
        with m.If(self.take):
            m.d.sync += [
                self.working.eq(1),
                mask.eq(masks.masks),
                start.eq(masks.start),
                rest.eq(masks.rest),
                last_tap.eq(masks.rest == 0),
                weight.eq(self.weight),
                shortcut.eq(source.shortcut & self.identity),
            ]
        with m.If(self.take | self.end):
            m.d.sync += bias.eq(self.bias)
        return m
