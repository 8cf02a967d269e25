"""The LIF bank against u = leak(u) + sum, fire where u >= threshold, then the reset.

The leak of the first three neurons is not written as a shift: its quotient q of a potential u is any number for which
q * 2^s <= u < (q + 1) * 2^s.
"""

from dataclasses import replace

import pytest
from amaranth import Mux, Signal, signed

from formal.bench import Bench
from formal.prove import fault, prove, refute
from hw.config import PRESETS, Config
from hw.lif import Lif
from hw.neuron import NEURONS

LEAKS = [(name, 2 + number) for number, name in enumerate(NEURONS)]
FAULTS = {
    "fires above the threshold only": fault(
        "assign fires_3 = $signed({w} [23:0]) >= $signed(threshold);",
        "assign fires_3 = $signed({1} [23:0]) > $signed(threshold);",
    ),
    "a neuron takes the next one's second tick": fault(
        "$signed(sum_1_in_1)", "$signed(sums[47:24])"
    ),
}


def bench(config: Config) -> Bench:
    """Every neuron that enters, one after another or not, under one threshold, as long as no potential overflows."""
    b = Bench(Lif(config))
    ticks, bits = config.ticks, config.accumulator_bits
    threshold = b.constant(signed(bits), "fixed_threshold")
    b.assume(b.threshold == threshold)
    sums = b.past(b.sums, "sums", Lif.latency(config))
    whole = b.started(ticks) & b.past(b.valid, "valid", ticks)
    left = 0  # of the potential of the tick before
    for t in range(ticks):
        u = Signal(signed(bits + 4), name=f"spec_{t}")
        b.m.d.comb += u.eq(left + sums[0][t])
        b.assume(~whole | ((u >= -(1 << (bits - 1))) & (u < 1 << (bits - 1))))
        after = Signal(signed(bits), name=f"spec_{t}_after")
        b.m.d.comb += after.eq(Mux(u >= threshold, config.neuron.reset(u, threshold), u))
        b.check(b.spikes[0][t] == (u >= threshold), whole)
        seen = (
            b.past(b.potentials[0][t], f"potential_{t}", ticks - t - 1)
            if t + 1 < ticks
            else b.potentials[0][t]
        )
        b.check(seen == after, whole)
        quotient = b.any(signed(bits), f"quotient_{t}")
        b.assume((quotient << config.leak_shift) <= after)
        b.assume(after < ((quotient + 1) << config.leak_shift))
        known = {"shift": quotient, "complement": after - quotient, "none": after}
        left = known.get(config.leak_mode, config.neuron.leak(after))
    return b


def config_of(leak):
    mode, shift = leak
    ticks = 2 if mode == "complement" else 4  # of a slow one, a tick after another, not all
    return replace(PRESETS["paper"], ticks=ticks, leak_mode=mode, leak_shift=shift)


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak[0])
def test_lif(leak):
    prove(bench(config_of(leak)), f"lif_{leak[0]}", depth=6, induction=5)


@pytest.mark.parametrize("name", FAULTS)
def test_lif_fault(name):
    refute(bench(PRESETS["paper"]), "lif", FAULTS[name], depth=6)
