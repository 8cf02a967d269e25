"""The leaky integrate-and-fire units of a PE: one a tick, a neuron passes through them in a row.

Tick t needs the potential that tick t - 1 left, and all ticks of a neuron are in the accumulators
at once, so the units form a pipeline: a neuron a cycle, its four potentials in four registers.

The sweep machine's neuron is its configuration's. Each layer of the event machine has its own.
"""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.program import NEURON
from hw.told import Told
from hw.unreset import data_register


class Lif(wiring.Component):
    """hw.neuron in hardware: u = leak(u) - owed + sum; fires where u >= threshold; u = reset(u) after firing.

    valid, sums: one neuron a cycle, a field a tick. threshold: held while its neurons pass. Of machine
    `event` alone: neuron: held, too, both from the cycle before; before, fired_before: the neuron's potential before these
    ticks, and whether it fired in the last of them, where `carried`; else they are the first.
    potentials: after each tick's reset; tick t's belongs to the neuron of t + 1 cycles ago, or to the last before
    it where there was none. spikes: bit t is tick t; of the neuron of `latency` cycles ago.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        bits = signed(config.accumulator_bits)
        told = {"neuron": In(NEURON), "carried": In(1), "before": In(bits), "fired_before": In(1)}
        super().__init__(
            {
                **(told if config.machine == "event" else {}),
                "valid": In(1),
                "sums": In(data.ArrayLayout(bits, config.ticks)),
                "threshold": In(bits),
                "potentials": Out(data.ArrayLayout(bits, config.ticks)),
                "spikes": Out(config.ticks),
            }
        )

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles from a neuron's sums to its spikes."""
        return config.ticks

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.config.accumulator_bits
        event = self.config.machine == "event"
        told = Told(m, self.neuron, self.threshold) if event else None
        swept = self.config.neuron
        fired: Value | None = None  # of the ticks before, of the neuron in this stage
        here: Value = self.valid  # a neuron is in this stage
        waiting = list(
            self.sums
        )  # of that neuron, from this tick on: the later ticks wait for the earlier
        potentials = data_register(m, self.potentials, "left")
        for t in range(self.config.ticks):
            u = Signal(signed(bits), name=f"u_{t}")
            fires, stage = (
                Signal(name=f"fires_{t}"),
                Signal(t + 1, name=f"fired_{t}", reset_less=True),
            )
            before = Signal(signed(bits), name=f"before_{t}")
            if t:
                start: Value | int = potentials[t - 1]
            elif told:
                start = Mux(self.carried, self.before, told.initial())
            else:
                start = swept.initial(self.threshold)
            m.d.comb += before.eq(start)
            if told:
                last = self.carried & self.fired_before if fired is None else fired[-1]
                m.d.comb += u.eq(told.integrate(m, before, last, waiting[0], u.name))
                left = told.decide(m, u, fires, u.name)
            else:
                m.d.comb += u.eq(waiting[0] + swept.leak(before))
                m.d.comb += fires.eq(u >= self.threshold)
                left = Mux(fires, swept.reset(u, self.threshold), u)
            delayed = [
                Signal(signed(bits), name=f"sum_{k}_in_{t + 1}", reset_less=True)
                for k in range(t + 1, self.config.ticks)
            ]
            with m.If(here):
                m.d.sync += potentials[t].eq(left)
                m.d.sync += stage[t].eq(fires)
                m.d.sync += [
                    later.eq(earlier) for later, earlier in zip(delayed, waiting[1:], strict=True)
                ]
                if fired is not None:
                    m.d.sync += stage[:t].eq(fired)
            following = Signal(name=f"valid_{t + 1}")
            m.d.sync += following.eq(here)
            fired, here, waiting = stage, following, delayed
        m.d.comb += self.spikes.eq(fired)
        return m
