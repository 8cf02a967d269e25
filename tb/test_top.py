"""The whole tiny chip of either machine under cocotb: two programs, stalls on both streams, `last` on the results."""

from __future__ import annotations

from dataclasses import replace

import cocotb
import numpy as np
import pytest

from hw.config import PRESETS, STREAM_BITS, Config
from hw.counters import BEATS, COUNTERS
from hw.machines import machine
from hw.results import beats_a_result
from sim.models import golden
from tb.cocotb_runner import parameters
from tb.helpers import run
from tb.random_programs import Case, Shape, build
from tb.streams import stalls, start, stream_get, stream_put

CONFIG = PRESETS["tiny"]
CONFIGS = {
    "sweep": CONFIG,
    "event": replace(
        CONFIG,
        machine="event",
        n_pe=2,
        scratchpad_depth=128,
        banks=4,
        fifo_depth=3,
        stream_bits=128,
    ),
}
SHAPES = (Shape(filters=6, pool="max2"), Shape(filters=5, kernel=3, padding=0))


def case(config: Config = CONFIG) -> Case:
    return build(config, SHAPES, side=7, channels=3, classes=5, seed=4)


async def two_programs(dut):
    config = CONFIGS[parameters()["machine"]]
    config = replace(config, n_pe=parameters().get("n_pe", config.n_pe))
    network = case(config)
    beats = network.program.beats(network.spikes)
    lanes = beats.reshape(len(beats), -1).tolist()  # of 64 bits
    last = 1 << machine(config).stream_bits
    payloads = [sum(word << STREAM_BITS * k for k, word in enumerate(beat)) for beat in lanes]
    payloads[-1] |= last
    classes = network.network.array[-1].layer.filters
    counts = BEATS * config.n_pe
    raw = classes * beats_a_result(config)
    total = 1 + len(network.program.layers) * counts + raw
    await start(dut)
    for _ in range(2):
        cocotb.start_soon(stream_put(dut, "program", payloads, stalls(1, 0.3)))
        results = await stream_get(dut, "results", total, stalls(2, 0.5))
        assert not dut.error.value
        assert [k for k, beat in enumerate(results) if beat >> STREAM_BITS] == [total - 1]
        words = np.array([beat & ((1 << STREAM_BITS) - 1) for beat in results], np.uint64)
        expected = golden.run(network.network, network.spikes)
        assert int(words[0]) & 0xFFFFFFFF == network.spikes.sum()
        at = 1
        for integer in network.network.array:
            want = expected[integer.layer.name]
            if integer.threshold is None:
                sums = words[at : at + raw].view("<i4").reshape(classes, -1)[:, : config.ticks]
                assert np.array_equal(sums.T, want.output)
                at += raw
            block = words[at : at + counts].view("<u4").reshape(config.n_pe, len(COUNTERS))
            at += counts
            assert block[:, COUNTERS.index("accumulates")].sum() == want.accumulates


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def runs(dut):
    await two_programs(dut)


@pytest.mark.parametrize("name", CONFIGS)
def test_top(name):
    run(machine(CONFIGS[name]).top(CONFIGS[name]), "top", "runs", name, machine=name)
