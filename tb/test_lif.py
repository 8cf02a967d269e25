"""The LIF pipeline against the neurons' recurrence, one neuron at a time, in Python's integers."""

from dataclasses import replace

import cocotb
import pytest

from hw.config import PRESETS
from hw.lif import Lif
from hw.neuron import NEURONS, RESETS, STARTS, kinds
from hw.program import NEURON
from tb.helpers import bits as bits_of
from tb.helpers import lockstep, parameters, run, signed_random


class Neurons:
    """A neuron in most cycles; each passes the ticks in a row, and what it leaves stays till the next."""

    def __init__(self, config):
        self.config = config
        # (spikes, potentials) of the neuron in each tick's unit
        self.inside: list[tuple[int, list[int]] | None] = [None] * config.ticks
        self.potentials = [0] * config.ticks
        self.spikes = 0
        self.threshold, self.rate = 1, 1.0
        self.neuron = config.neuron
        self.carried, self.before = False, 0

    def inputs(self, rng):
        bits, ticks = self.config.accumulator_bits, self.config.ticks
        if rng.random() < 0.05:
            self.rate = rng.choice([0, 0.5, 1])
        self.valid = rng.random() < self.rate
        if not any(self.inside) and rng.random() < 0.2:  # held while its neurons pass, and before
            self.valid = self.valid and self.config.machine != "event"
            self.threshold = rng.choice([rng.randint(1, 1 << 12), rng.randint(1, 1 << 21)])
            if self.config.machine == "event":
                kind = rng.choice(kinds())
                more = rng.choice(RESETS), rng.choice(STARTS), rng.random() < 0.5
                self.neuron = kind(rng.choice(kind.amounts), *more)
        limit = min(1 << (bits - 3), 4 * self.threshold)
        self.sums = [signed_random(rng, limit.bit_length()) for _ in range(ticks)]
        if rng.random() < 0.2:
            self.sums[0] = self.threshold - rng.randint(0, 1)  # fires, or only just does not
        mask = (1 << bits) - 1
        packed = sum((v & mask) << (k * bits) for k, v in enumerate(self.sums))
        told = {}
        if self.config.machine == "event":
            self.carried = rng.random() < 0.5
            self.before = signed_random(rng, limit.bit_length())
            told = {
                "neuron": bits_of(NEURON, self.neuron.code),
                "carried": self.carried,
                "before": self.before & mask,
                "fired_before": self.before >= self.threshold
                if self.carried
                else rng.random() < 0.5,
            }
        return told | {"valid": self.valid, "sums": packed, "threshold": self.threshold}

    def outputs(self, i):
        bits = self.config.accumulator_bits
        parts = [(u & ((1 << bits) - 1)) << (t * bits) for t, u in enumerate(self.potentials)]
        return {"spikes": self.spikes, "potentials": sum(parts)}

    def edge(self, i):
        u, spikes, potentials = self.neuron.initial(self.threshold), 0, []
        if self.carried:
            u = self.before
        for t, total in enumerate(self.sums):
            fires, u = self.neuron.step(u, total, self.threshold)
            spikes |= fires << t
            potentials.append(u)
        entering = (spikes, potentials) if self.valid else None
        self.inside = [entering, *self.inside[:-1]]
        for t, neuron in enumerate(self.inside):
            if neuron:
                self.potentials[t] = neuron[1][t]
        if last := self.inside[-1]:
            self.spikes = last[0]


EVENT = replace(PRESETS["paper"], machine="event")
LEAKS = [(name, 2 + number) for number, name in enumerate(NEURONS)]


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


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def told(dut):
    await lockstep(dut, Neurons(EVENT), 4000)


def test_lif_whose_neuron_is_told():
    run(Lif(EVENT), "lif", "told", "event")
