"""The whole tiny chip under cocotb: one program, stalls on both streams, `last` on the results."""

import cocotb
import numpy as np

from hw.config import PRESETS, STREAM_BITS
from hw.counters import BEATS, COUNTERS
from hw.results import beats_a_result
from hw.top import Top
from sim.models import golden
from tb.helpers import run
from tb.random_programs import Shape, build
from tb.streams import stalls, start, stream_get, stream_put

CONFIG = PRESETS["tiny"]
SHAPES = (Shape(filters=6, pool="max2"), Shape(filters=5, kernel=3, padding=0))


def case():
    return build(CONFIG, SHAPES, side=7, channels=3, classes=5, seed=4)


async def two_programs(dut):
    network = case()
    beats = network.program.beats(network.spikes).tolist()
    payloads = [b | (k == len(beats) - 1) << STREAM_BITS for k, b in enumerate(beats)]
    classes = network.network.array[-1].layer.filters
    counts = BEATS * CONFIG.n_pe
    raw = classes * beats_a_result(CONFIG)
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
                sums = words[at : at + raw].view("<i4").reshape(classes, -1)[:, : CONFIG.ticks]
                assert np.array_equal(sums.T, want.output)
                at += raw
            block = words[at : at + counts].view("<u4").reshape(CONFIG.n_pe, len(COUNTERS))
            at += counts
            assert block[:, COUNTERS.index("accumulates")].sum() == want.accumulates


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def runs(dut):
    await two_programs(dut)


def test_top():
    run(Top(CONFIG), "top", "runs")
