"""The whole tiny chip of either machine under cocotb: two programs, stalls on both streams, `last` on the results."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cocotb
import numpy as np
import pytest

from hw.config import PRESETS, STREAM_BITS, Config
from hw.counters import BEATS, COUNTERS
from hw.machines import machine
from hw.results import beats_a_result
from sw import golden
from tb.cocotb_runner import parameters
from tb.helpers import run
from tb.random_programs import Case, Row, Shape, build, row_of
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


def payloads(beats: np.ndarray, config: Config) -> list[int]:
    """Beats of a program as the stream has them, `last` on the last."""
    lanes = beats.reshape(len(beats), -1).tolist()  # of 64 bits
    sent = [sum(word << STREAM_BITS * k for k, word in enumerate(beat)) for beat in lanes]
    sent[-1] |= 1 << machine(config).stream_bits
    return sent


def check_results(network: Case | Row, spikes: np.ndarray, results: list[int]) -> None:
    """An image's results: `last`, spikes, the classifier's sums, accumulates."""
    config = network.program.config
    classes = network.network.array[-1].layer.filters
    raw, counts = classes * beats_a_result(config), BEATS * config.n_pe
    assert [k for k, beat in enumerate(results) if beat >> STREAM_BITS] == [len(results) - 1]
    words = np.array([beat & ((1 << STREAM_BITS) - 1) for beat in results], np.uint64)
    expected = golden.run(network.network, spikes)
    assert int(words[0]) & 0xFFFFFFFF == spikes.sum()
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


def results_of(network: Case | Row) -> int:
    """How many beats come of an image."""
    config, classes = network.program.config, network.network.array[-1].layer.filters
    layers = len(network.program.layers) * BEATS * config.n_pe
    return 1 + layers + classes * beats_a_result(config)


async def two_programs(dut):
    config = CONFIGS[parameters()["machine"]]
    config = replace(config, n_pe=parameters().get("n_pe", config.n_pe))
    network = case(config)
    sent = payloads(network.program.beats(network.spikes), config)
    await start(dut)
    for _ in range(2):
        cocotb.start_soon(stream_put(dut, "program", sent, stalls(1, 0.3)))
        results = await stream_get(dut, "results", results_of(network), stalls(2, 0.5))
        assert not dut.error.value
        check_results(network, network.spikes, results)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def images_in_a_row(dut):
    """The next image's input comes while layers run; a program with its own input follows the last."""
    config = CONFIGS["event"]
    alone = case(config)
    row = row_of(alone, 4, parts=True)
    assert sum(count > 0 for count in row.program.early) > 1
    streams, _ = row.program.row(row.images)
    sent = [payloads(beats, config) for beats in (*streams, alone.program.beats(alone.spikes))]
    await start(dut)
    every = [payload for program in sent for payload in program]
    cocotb.start_soon(stream_put(dut, "program", every, stalls(1, parameters()["stall"])))
    for spikes in (*row.images, alone.spikes):
        taken = stalls(2, 2 * parameters()["stall"])
        check_results(row, spikes, await stream_get(dut, "results", results_of(row), taken))
        assert not dut.error.value


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def runs(dut):
    await two_programs(dut)


@cache
def top(name):
    return machine(CONFIGS[name]).top(CONFIGS[name])


@pytest.mark.parametrize("name", CONFIGS)
def test_top(name):
    run(top(name), "top", "runs", name, machine=name)


@pytest.mark.parametrize("stall", [0, 0.3])
def test_images_in_a_row(stall):
    run(top("event"), "top", "images_in_a_row", f"row-{stall}", stall=stall)
