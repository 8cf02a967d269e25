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
from hw.told import UNIT_BITS, Told
from hw.unreset import data_register


class Lif(wiring.Component):
    """hw.neuron in hardware: u = leak(u) - owed + sum; fires where u >= threshold; u = reset(u) after firing.

    Pipelines side by side, of machine `event` `lifs`, else one; each has its own fields of valid, sums, potentials, spikes.
    valid, sums: one neuron a cycle, a field a tick. threshold: held while its neurons pass. potentials: after each tick's
    reset; tick t's belongs to the neuron of t + 1 cycles ago, or to the last before it where there was none. spikes: bit t
    is tick t; of the neuron of `latency` cycles ago.

    Of machine `event` alone: neuron: held as the threshold. prepare: a cycle before a tile's first neuron, without a neuron
    in it; the threshold is held from then on, `neuron` from the cycle before. before, fired_before: the neuron's potential
    before these ticks, and whether it fired in the last of them, where `carried`; else these are the first. These potentials
    and `before` are as hw.told.Told leaves them: what a reset takes away, unless it is to zero, is still in them.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.event = config.machine == "event"
        self.pipelines = config.lifs if self.event else 1
        bits = signed(config.accumulator_bits)
        ticks = data.ArrayLayout(data.ArrayLayout(bits, config.ticks), self.pipelines)
        told = {
            "neuron": In(NEURON),
            "prepare": In(1),
            "carried": In(1),
            "before": In(data.ArrayLayout(bits, self.pipelines)),
            "fired_before": In(self.pipelines),
        }
        super().__init__(
            {
                **(told if self.event else {}),
                "valid": In(self.pipelines),
                "sums": In(ticks),
                "threshold": In(bits),
                "potentials": Out(ticks),
                "spikes": Out(data.ArrayLayout(config.ticks, self.pipelines)),
            }
        )

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles from a neuron's sums to its spikes."""
        return config.ticks

    def elaborate(self, platform: object) -> Module:
        m = Module()
        told = Told(m, self.neuron, self.threshold, self.prepare) if self.event else None
        potentials = data_register(m, self.potentials, "left")
        for k in range(self.pipelines):
            self._pipeline(m, k, potentials[k], told)
        return m

    def _pipeline(self, m: Module, k: int, potentials: data.View, told: Told | None) -> None:
        """Pipeline k. potentials: its registers."""
        bits, swept = self.config.accumulator_bits, self.config.neuron
        lane = f"lane_{k}_" if k else ""
        fired: Value | None = None  # of the ticks before, of the neuron in this stage
        here: Value = self.valid[k]  # a neuron is in this stage
        waiting = list(
            self.sums[k]
        )  # of that neuron, from this tick on: the later ticks wait for the earlier
        for t in range(self.config.ticks):
            u = Signal(signed(bits), name=f"{lane}u_{t}")
            fires, stage = (
                Signal(name=f"{lane}fires_{t}"),
                Signal(t + 1, name=f"{lane}fired_{t}", reset_less=True),
            )
            before = Signal(signed(bits), name=f"{lane}before_{t}")
            if t:
                start: Value | int = potentials[t - 1]
            elif told:
                start = Mux(self.carried, self.before[k], told.initial())
            else:
                start = swept.initial(self.threshold)
            m.d.comb += fires.eq(u >= self.threshold)
            if told:
                last = self.carried & self.fired_before[k] if fired is None else fired[-1]
                rounding: Value = told.rounding(last)
                current = waiting[0]
                if t == k == 0:
                    start, rounding, current = told.prepare(m, start, rounding, current)
                m.d.comb += before.eq(start)
                total = told.integrate(m, before, rounding, current, u.name)
                if t == k == 0:
                    with m.If(self.prepare):
                        m.d.sync += told.owed.eq(total)
                m.d.comb += u.eq(total[UNIT_BITS:])
                left = told.left(u, fires)
            else:
                m.d.comb += before.eq(start)
                m.d.comb += u.eq(waiting[0] + swept.leak(before))
                left = Mux(fires, swept.reset(u, self.threshold), u)
            delayed = [
                Signal(signed(bits), name=f"{lane}sum_{j}_in_{t + 1}", reset_less=True)
                for j in range(t + 1, self.config.ticks)
            ]
            with m.If(here):
                m.d.sync += potentials[t].eq(left)
                m.d.sync += stage[t].eq(fires)
                m.d.sync += [
                    later.eq(earlier) for later, earlier in zip(delayed, waiting[1:], strict=True)
                ]
                if fired is not None:
                    m.d.sync += stage[:t].eq(fired)
            following = Signal(name=f"{lane}valid_{t + 1}")
            m.d.sync += following.eq(here)
            fired, here, waiting = stage, following, delayed
        m.d.comb += self.spikes[k].eq(fired)
