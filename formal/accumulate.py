"""Sweep and lanes wired as in a PE: what the proof of the accumulators is about."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.lane import Lanes, step_layout
from hw.sweep import Sweep


class Accumulate(wiring.Component):
    """A sweep of the accumulators.

    start, height, width: of the sweep. step: what the lanes do at its position, whose `y` and `x` come
    from the sweep. valid, running, last, y, x: the sweep's. sums: the lanes'.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.sweep, self.lanes = Sweep(config), Lanes(config)
        signature = self.sweep.signature.members
        names = ("start", "height", "width", "running", "valid", "last", "y", "x")
        members = {name: signature[name] for name in names}
        super().__init__(
            {**members, "step": In(step_layout(config)), "sums": Out(self.lanes.sums.shape())}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.sweep, m.submodules.lanes = sweep, lanes = self.sweep, self.lanes
        m.d.comb += [
            sweep.start.eq(self.start),
            sweep.height.eq(self.height),
            sweep.width.eq(self.width),
            self.running.eq(sweep.running),
            self.valid.eq(sweep.valid),
            self.last.eq(sweep.last),
            self.y.eq(sweep.y),
            self.x.eq(sweep.x),
            lanes.valid.eq(sweep.valid),
            lanes.step.eq(self.step),
            lanes.step.y.eq(sweep.y),
            lanes.step.x.eq(sweep.x),
            self.sums.eq(lanes.sums),
        ]
        return m
