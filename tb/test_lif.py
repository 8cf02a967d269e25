"""The LIF pipeline against the recurrence of design.md, section 3."""

from dataclasses import replace

import cocotb
import pytest

from hw.config import PRESETS
from hw.lif import Lif
from tb.helpers import lockstep, parameters, run, signed_random


class Neurons:
    """A neuron a cycle; its spikes `latency` later, its potentials a tick at a time."""

    def __init__(self, config):
        self.config = config
        self.neurons = []  # (spikes, potentials), the newest last
        self.threshold = 1

    def inputs(self, rng):
        bits, ticks = self.config.accumulator_bits, self.config.ticks
        if rng.random() < 0.005:  # held while its neurons pass: let them, below
            self.neurons = []
            self.threshold = rng.choice([rng.randint(1, 1 << 12), rng.randint(1, 1 << 21)])
        limit = min(1 << (bits - 3), 4 * self.threshold)
        self.sums = [signed_random(rng, limit.bit_length()) for _ in range(ticks)]
        if rng.random() < 0.2:
            self.sums[0] = self.threshold - rng.randint(0, 1)  # fires, or only just does not
        mask = (1 << bits) - 1
        packed = sum((v & mask) << (k * bits) for k, v in enumerate(self.sums))
        return {"sums": packed, "threshold": self.threshold}

    def outputs(self, i):
        config, mask = self.config, (1 << self.config.accumulator_bits) - 1
        if len(self.neurons) <= config.ticks:
            return {}
        potentials = 0
        for t in range(config.ticks):
            u = self.neurons[-1 - t][1][t]
            potentials |= (u & mask) << (t * config.accumulator_bits)
        return {"spikes": self.neurons[-Lif.latency(config)][0], "potentials": potentials}

    def edge(self, i):
        u, spikes, potentials = 0, 0, []
        for t, total in enumerate(self.sums):
            if self.config.leak_mode == "none":
                rest = u
            elif self.config.leak_mode == "shift":
                rest = u // (1 << self.config.leak_shift)
            else:
                rest = u - u // (1 << self.config.leak_shift)
            u = rest + total
            if u >= self.threshold:
                spikes |= 1 << t
                u = 0
            potentials.append(u)
        self.neurons.append((spikes, potentials))


LEAKS = [("shift", 2), ("complement", 3), ("none", 1)]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def neurons(dut):
    mode, shift = parameters()["leak"]
    config = replace(PRESETS["paper"], leak_mode=mode, leak_shift=shift)
    await lockstep(dut, Neurons(config), 4000)


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak[0])
def test_lif(leak):
    mode, shift = leak
    config = replace(PRESETS["paper"], leak_mode=mode, leak_shift=shift)
    run(Lif(config), "lif", "neurons", mode, leak=leak)
