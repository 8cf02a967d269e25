"""The LIF pipelines against the neurons' recurrence, one neuron at a time, in Python's integers."""

from dataclasses import replace

import cocotb
import pytest
from amaranth import signed
from amaranth.lib import data

from hw.config import PRESETS
from hw.lif import Lif
from hw.neuron import NEURONS, RESETS, STARTS, kinds
from hw.program import NEURON
from tb.helpers import bits as bits_of
from tb.helpers import lockstep, parameters, run, signed_random


class Pipeline:
    """A neuron in most cycles; each passes the ticks in a row, and what it leaves stays till the next."""

    def __init__(self, ticks):
        # (spikes, potentials) of the neuron in each tick's unit
        self.inside: list[tuple[int, list[int]] | None] = [None] * ticks
        self.potentials = [0] * ticks
        self.spikes = 0

    def edge(self, entering):
        self.inside = [entering, *self.inside[:-1]]
        for t, neuron in enumerate(self.inside):
            if neuron:
                self.potentials[t] = neuron[1][t]
        if last := self.inside[-1]:
            self.spikes = last[0]


class Neurons:
    """Those of one layer after another. The event machine's pipelines are prepared for each, before its first neuron."""

    def __init__(self, config):
        self.config = config
        self.event = config.machine == "event"
        self.pipelines = [Pipeline(config.ticks) for _ in range(config.lifs if self.event else 1)]
        self.threshold, self.rate = 1, 1.0
        self.neuron = config.neuron
        self.carried = False
        self.unprepared = 2  # cycles until the first neuron

    def inputs(self, rng):
        bits, ticks = self.config.accumulator_bits, self.config.ticks
        if rng.random() < 0.05:
            self.rate = rng.choice([0, 0.5, 1])
        self.unprepared = max(self.unprepared - 1, 0)
        empty = not any(any(pipeline.inside) for pipeline in self.pipelines)
        if empty and not self.unprepared and rng.random() < 0.2:  # held while its neurons pass
            self.unprepared = 2
            self.threshold = rng.choice([rng.randint(1, 1 << 12), rng.randint(1, 1 << 21)])
            if self.event:
                kind = rng.choice(kinds())
                more = rng.choice(RESETS), rng.choice(STARTS), rng.random() < 0.5
                self.neuron = kind(rng.choice(kind.amounts), *more)
        waits = self.event and self.unprepared
        self.valid = [not waits and rng.random() < self.rate for _ in self.pipelines]
        limit = min(1 << (bits - 4), 4 * self.threshold)  # no potential overflows
        self.sums = [
            [signed_random(rng, limit.bit_length()) for _ in range(ticks)] for _ in self.pipelines
        ]
        for sums in self.sums:
            if rng.random() < 0.2:
                sums[0] = self.threshold - rng.randint(0, 1)  # fires, or only just does not
        told = {}
        if self.event:
            self.carried = rng.random() < 0.5
            self.before = [signed_random(rng, limit.bit_length()) for _ in self.pipelines]
            fired = [
                u >= self.threshold if self.carried else rng.random() < 0.5 for u in self.before
            ]
            left = [self._left(u) if self.carried else u for u in self.before]
            told = {
                "neuron": bits_of(NEURON, self.neuron.code),
                "prepare": self.unprepared == 1,
                "carried": self.carried,
                "before": bits_of(data.ArrayLayout(bits, len(left)), left),
                "fired_before": sum(f << k for k, f in enumerate(fired)),
            }
        return told | {
            "valid": sum(v << k for k, v in enumerate(self.valid)),
            "sums": bits_of(self._layout(), self.sums),
            "threshold": self.threshold,
        }

    def _layout(self):
        one = data.ArrayLayout(signed(self.config.accumulator_bits), self.config.ticks)
        return data.ArrayLayout(one, len(self.pipelines))

    def _left(self, u):
        """What a tick leaves of a potential: what a reset takes away, unless it is to zero, is still in it on machine `event`."""
        return 0 if u >= self.threshold and self.neuron.reset_to == "zero" else u

    def outputs(self, i):
        spikes = [
            pipeline.spikes << k * self.config.ticks for k, pipeline in enumerate(self.pipelines)
        ]
        potentials = [pipeline.potentials for pipeline in self.pipelines]
        return {"spikes": sum(spikes), "potentials": bits_of(self._layout(), potentials)}

    def edge(self, i):
        for k, pipeline in enumerate(self.pipelines):
            pipeline.edge(self._fire(k) if self.valid[k] else None)

    def _fire(self, k):
        """Spikes of a neuron, and its potentials."""
        neuron, level = self.neuron, self.threshold - int(self.neuron.above)
        u, spikes, potentials = neuron.initial(self.threshold), 0, []
        if self.carried:
            u = self.before[k]
            u = neuron.reset(u, level) if u >= self.threshold else u
        for t, total in enumerate(self.sums[k]):
            integrated = neuron.leak(u) - neuron.owed(u, self.threshold, level) + total
            fires, u = neuron.step(u, total, self.threshold)
            spikes |= fires << t
            potentials.append(self._left(integrated))
        return spikes, potentials


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
    await lockstep(dut, Neurons(EVENT), 8000)


def test_lif_whose_neuron_is_told():
    run(Lif(EVENT), "lif", "told", "event")
