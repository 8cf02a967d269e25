"""The event machine's two cycle models, C++ and plain Python, on random networks."""

from dataclasses import replace

import numpy as np
import pytest

from hw.config import Config
from hw.counters import EVENT_CYCLES
from sim.models.cycles import LayerCycles, input_cycles
from sim.models.event_cycles import EventModel, Passed
from sim.rtl.batches import predict_batches, program_maps
from sw import golden
from sw.event.program import in_a_row
from sw.limits import KERNELS, paddings
from tb.random_batches import Batches, random_batches
from tb.random_programs import Row, Shape, build, random_case, random_rows
from tests import plain_event_cycles

SMALL = Config(
    machine="event",
    n_pe=4,
    ticks=2,
    tile_side=4,
    scratchpad_depth=128,
    buffer_depth=128,
    segment_depth=4,
)
CONFIGS = (
    replace(SMALL, banks=4, fifo_depth=2, stream_bits=64),
    replace(SMALL, n_pe=3, banks=8, fifo_depth=3, segment_depth=8, stream_bits=128, lifs=1),
    replace(SMALL, n_pe=5, ticks=1, tile_side=8, banks=1, lifs=1, stream_bits=256),
)


def both(case):
    """The models' layers, in pairs."""
    expected = golden.run(case.network, case.spikes)
    maps = {name: result.output for name, result in expected.items()}
    maps[case.network.first_map] = case.spikes
    inputs = [
        [maps[part.source.map] for part in layer.integer.sources] for layer in case.program.layers
    ]
    slow = plain_event_cycles.predict(case.program.layer_beats, inputs, case.program.config)
    return zip(EventModel(case.program).predict(maps), slow, strict=True)


def check_row(row: Row):
    """Images one after the other, the next one's input coming early: both models say the same of each."""
    maps, inputs = [], []
    for spikes in row.images:
        expected = golden.run(row.network, spikes)
        seen = {name: result.output for name, result in expected.items()}
        seen[row.network.first_map] = spikes
        maps.append(seen)
        inputs.append(
            [
                [seen[part.source.map] for part in layer.integer.sources]
                for layer in row.program.layers
            ]
        )
    fast = EventModel(row.program).predict_row(maps)
    slow = plain_event_cycles.predict_row(
        row.program.row(row.images)[0], inputs, row.program.config
    )
    compare_rows(row.name, fast, slow)
    return fast


def compare_rows(name: str, fast: list[Passed], slow: list[tuple[int, int, list[LayerCycles]]]):
    """What both models say of programs one after the other."""
    for number, (one, (waited, latency, layers)) in enumerate(zip(fast, slow, strict=True)):
        where = f"{name}, program {number}"
        assert (one.waited, one.latency) == (waited, latency), where
        for mine, other in zip(one.layers, layers, strict=True):
            assert mine.cycles == other.cycles, where
            for counter in (*EVENT_CYCLES, "positions"):
                pair = mine.counters[counter], other.counters[counter]
                assert np.array_equal(*pair), (where, counter)
            assert sum(mine.caster.values()) == mine.cycles, where
            assert min(mine.caster.values()) >= 0, where


def check_batches(batches: Batches):
    """Programs of batches one after the other: both models say the same of each."""
    maps = []
    for spikes in batches.images:
        expected = golden.run(batches.network, spikes)
        outputs = {name: result.output for name, result in expected.items()}
        maps.append({batches.network.first_map: spikes} | outputs)
    batch = batches.batch
    programs = batch.programs * (len(maps) // batch.size)
    streams, _ = in_a_row(programs, batch.inputs(batches.images))
    inputs = []
    for program, seen in zip(programs, program_maps(batch, maps), strict=True):
        inputs.append([])
        for layer in program.layers:
            ticks = None if layer.descriptor.anew else -program.ticks
            sources = layer.integer.sources
            inputs[-1].append([seen[part.source.map][ticks:] for part in sources])
    fast = predict_batches(batch, maps)
    slow = plain_event_cycles.predict_row(streams, inputs, batch.programs[0].config)
    compare_rows(batches.name, fast, slow)


def check(case):
    for fast, slow in both(case):
        assert fast.cycles == slow.cycles, case.name
        for name in (*EVENT_CYCLES, "positions"):
            assert np.array_equal(fast.counters[name], slow.counters[name]), (case.name, name)
        total = sum(fast.counters[name] for name in EVENT_CYCLES)
        assert np.all(total == fast.cycles), case.name
        assert sum(fast.caster.values()) == fast.cycles, case.name
        assert min(fast.caster.values()) >= 0, case.name


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.banks}-banks")
def test_both_models_say_the_same_of_random_networks(config):
    for seed in range(20):
        check(random_case(config, seed, max_side=20, max_layers=3))


def test_parts_of_a_group_and_a_classifier():
    config = CONFIGS[0]
    check(build(config, (Shape(filters=6, density=1.0),), side=6, channels=40))
    check(
        build(
            config,
            (Shape(filters=9, pool="avg", kernel=1, padding=0),),
            side=3,
            channels=9,
            classes=7,
        )
    )


def test_silence_takes_no_work():
    """More spikes, more cycles: the machine's time is the spikes'."""
    shapes = (Shape(filters=8, density=0.5),)
    totals = []
    for rate in (0.0, 0.1, 0.5, 1.0):
        case = build(CONFIGS[0], shapes, side=12, channels=8, rate=rate)
        ((layer, _),) = both(case)
        totals.append(layer.cycles)
        positions = layer.counters["positions"].sum()
        assert (positions == 0) == (rate == 0.0)
    assert totals == sorted(totals)
    assert totals[-1] > 2 * totals[0]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.banks}-banks")
def test_rounds_of_ticks(config):
    """More ticks than lanes, whole rounds or not."""
    for seed in range(8):
        ticks = config.ticks * (2 + seed % 3) + seed % 2 - (seed == 7)
        check(random_case(config, seed, max_side=12, max_layers=3, ticks=ticks))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.banks}-banks")
def test_maps_that_are_no_squares(config):
    for seed in range(8):
        ticks = config.ticks * 2 if seed % 4 == 3 else None
        check(random_case(config, seed, max_side=20, max_layers=3, rectangle=True, ticks=ticks))


def test_large_kernels_of_stride_2():
    for kernel in KERNELS[2][2:]:
        for padding in paddings(kernel, 2):
            first = Shape(filters=5, kernel=kernel, stride=2, padding=padding, density=0.5)
            for side in (4, 17, (9, 13)):
                check(build(CONFIGS[0], (first,), side=side, channels=3, seed=kernel))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.banks}-banks")
def test_kernels_of_several_blocks(config):
    """5x5 and 7x7, and linear layers on maps."""
    for seed in range(10):
        check(random_case(config, seed, max_side=20, max_layers=3, large=True, rectangle=seed > 6))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.banks}-banks")
def test_rows_of_images(config):
    """Both models say the same where the next image's input comes while layers run."""
    for row in random_rows(config, 10, max_side=20, max_layers=4):
        check_row(row)
    for row in random_rows(config, 3, max_side=12, ticks=config.ticks * 2, rectangle=True):
        check_row(row)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.banks}-banks")
def test_batches_of_images(config):
    """Both models say the same where late layers' weights stay."""
    kinds = {"max_side": 16}, {"max_side": 12, "rectangle": True}
    for batches in (one for kind in kinds for one in random_batches(config, 6, **kind)):
        check_batches(batches)
    if config.ticks > 1:
        for batches in random_batches(config, 2, max_side=12, ticks=config.ticks - 1):
            check_batches(batches)


def test_a_row_of_one_image_is_that_image():
    (row,) = random_rows(CONFIGS[0], 1, max_side=12)
    row = replace(row, images=row.images[:1])
    (alone,) = check_row(row)
    (spikes,) = row.images
    maps = {name: one.output for name, one in golden.run(row.network, spikes).items()}
    maps[row.network.first_map] = spikes
    layers = EventModel(row.program).predict(maps)
    assert [layer.cycles for layer in alone.layers] == [layer.cycles for layer in layers]
    cycles = input_cycles(row.program, spikes) + sum(layer.cycles for layer in layers)
    assert (alone.period, alone.latency) == (cycles, cycles - 1)
