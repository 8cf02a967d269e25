"""The accounts of a PE: what each of its cycles counts as (docs/architecture.md, What a layer costs)."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.counters import CYCLES, Counter


class Accounts(wiring.Component):
    """Combinational. Inputs say what the PE does in this cycle, outputs what counts (counters.py).

    active: a weight is added at a position of the map, where `spikes` are; identity: an identity
    shortcut's. running, visiting: a sweep goes on, and visits a position. flushing, empty: it only drains, its
    filter has no weights. at_barrier, ending, done: of control.py. blocked: the next weight waits for the tile
    before. fetching: the next weight waits for its window. layer_active: until the layer ends.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        amount = config.lanes.bit_length()
        super().__init__(
            {
                "active": In(1),
                "identity": In(1),
                "spikes": In(config.lanes),
                "running": In(1),
                "visiting": In(1),
                "flushing": In(1),
                "empty": In(1),
                "at_barrier": In(1),
                "ending": In(1),
                "done": In(1),
                "blocked": In(1),
                "fetching": In(1),
                "layer_active": In(1),
                "steps": Out(amount),
                "accumulates": Out(amount),
                "shortcut_accumulates": Out(amount),
                "cycle": Out(len(CYCLES)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        one = {account: 1 << k for k, account in enumerate(CYCLES)}
        work, shortcut = one[Counter.WORK_CYCLES], one[Counter.STALL_SHORTCUT]
        window, load = one[Counter.STALL_WINDOW], one[Counter.STALL_LOAD]
        output = one[Counter.STALL_OUTPUT]
        with m.If(self.active):
            m.d.comb += self.cycle.eq(Mux(self.identity, shortcut, work))
        with m.Elif(self.running):
            rests = ~self.visiting & ~self.flushing & ~self.empty
            m.d.comb += self.cycle.eq(Mux(rests, window, one[Counter.STALL_LIF]))
        with m.Elif(self.at_barrier):
            m.d.comb += self.cycle.eq(one[Counter.IDLE_CYCLES])
        with m.Elif(self.done):
            m.d.comb += self.cycle.eq(Mux(self.layer_active, output, load))
        with m.Elif(self.ending | self.blocked):
            m.d.comb += self.cycle.eq(output)
        with m.Else():
            m.d.comb += self.cycle.eq(Mux(self.fetching, window, load))
        added = Signal(range(self.config.lanes + 1))
        m.d.comb += [
            added.eq(sum(self.spikes[t] for t in range(self.config.lanes))),
            self.steps.eq(Mux(self.active & ~self.identity, self.config.lanes, 0)),
            self.accumulates.eq(Mux(self.identity, 0, added)),
            self.shortcut_accumulates.eq(Mux(self.identity, added, 0)),
        ]
        return m
