"""The leaky integrate-and-fire units of a PE: one a tick, a neuron passes through them in a row.

Tick t needs the potential that tick t - 1 left, and all ticks of a neuron are in the accumulators
at once, so the units form a pipeline: a neuron a cycle, its four potentials in four registers.
"""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config


def leak(config: Config, u: Value) -> Value:
    """What a tick leaves of a potential; shifts floor."""
    if config.leak_mode == "none":
        return u
    shifted = u >> config.leak_shift
    return shifted if config.leak_mode == "shift" else u - shifted


class Lif(wiring.Component):
    """u = leak(u) + sum; fires where u >= threshold; u = 0 after firing.

    sums: one neuron a cycle, a field a tick. threshold: held while its neurons pass.
    potentials: after each tick's reset; tick t's belongs to the neuron of t + 1 cycles ago.
    spikes: bit t is tick t; of the neuron of `latency` cycles ago.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        bits = signed(config.accumulator_bits)
        super().__init__(
            {
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
        fired: Value | None = None  # of the ticks before, of the neuron in this stage
        for t in range(self.config.ticks):
            total = self.sums[t]
            for _ in range(t):  # the later ticks wait for the earlier ones
                delayed = Signal(signed(self.config.accumulator_bits), name=f"sum_{t}_delayed")
                m.d.sync += delayed.eq(total)
                total = delayed
            u = Signal(signed(self.config.accumulator_bits), name=f"u_{t}")
            fires = Signal(name=f"fires_{t}")
            m.d.comb += u.eq(total + (leak(self.config, self.potentials[t - 1]) if t else 0))
            m.d.comb += fires.eq(u >= self.threshold)
            m.d.sync += self.potentials[t].eq(Mux(fires, 0, u))
            stage = Signal(t + 1, name=f"fired_{t}")
            m.d.sync += stage[t].eq(fires)
            if fired is not None:
                m.d.sync += stage[:t].eq(fired)
            fired = stage
        m.d.comb += self.spikes.eq(fired)
        return m
