"""The accounts of an event machine's PE: what each of its cycles counts as (docs/event.md, Cycle rules)."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.counters import CYCLES, EVENT_CYCLES, Counter


class Accounts(wiring.Component):
    """Inputs say what the PE does in this cycle, outputs what counts (counters.py).

    working, first, valid, shortcut: a tap is at work, in its first cycle; banks with a position of it; it is an
    identity's. adding, spikes: what the banks add, a cycle later. draining: a tile is read. pauses: in the next cycle a
    pass ends that closes no tile. ending: a pass, or the layer, waits to end. done: the layer's output is out.
    layer_active: until the layer ends. loading: the caster waits for the program.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        most = (config.banks * config.ticks).bit_length()
        super().__init__(
            {
                "working": In(1),
                "first": In(1),
                "valid": In(config.banks),
                "shortcut": In(1),
                "adding": In(config.banks),
                "spikes": In(data.ArrayLayout(config.ticks, config.banks)),
                "draining": In(1),
                "pauses": In(1),
                "ending": In(1),
                "done": In(1),
                "layer_active": In(1),
                "loading": In(1),
                "positions": Out(most),
                "accumulates": Out(most),
                "shortcut_accumulates": Out(most),
                "cycle": Out(len(EVENT_CYCLES)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        one = {account: 1 << k for k, account in enumerate(CYCLES)}  # EVENT_CYCLES' places
        work, identity = one[Counter.WORK_CYCLES], one[Counter.STALL_SHORTCUT]
        conflict, neuron = one[Counter.STALL_WINDOW], one[Counter.STALL_LIF]
        load, output = one[Counter.STALL_LOAD], one[Counter.STALL_OUTPUT]
        pausing = Signal()
        added_shortcut = Signal()
        m.d.sync += [pausing.eq(self.pauses), added_shortcut.eq(self.shortcut)]
        with m.If(self.working):
            full = self.first | self.valid.all()
            m.d.comb += self.cycle.eq(Mux(self.shortcut, identity, Mux(full, work, conflict)))
        with m.Elif(self.draining | pausing):
            m.d.comb += self.cycle.eq(neuron)
        with m.Elif(self.done):
            m.d.comb += self.cycle.eq(Mux(self.layer_active, output, load))
        with m.Elif(self.ending):
            m.d.comb += self.cycle.eq(output)
        with m.Else():
            m.d.comb += self.cycle.eq(Mux(self.loading, load, one[Counter.IDLE_CYCLES]))
        added = sum(
            self.spikes[b][t] & self.adding[b]
            for b in range(config.banks)
            for t in range(config.ticks)
        )
        visited = sum(self.adding[b] for b in range(config.banks))
        m.d.comb += [
            self.positions.eq(Mux(added_shortcut, 0, visited)),
            self.accumulates.eq(Mux(added_shortcut, 0, added)),
            self.shortcut_accumulates.eq(Mux(added_shortcut, added, 0)),
        ]
        return m
