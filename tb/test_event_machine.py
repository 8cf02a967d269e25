"""The event machine through the fast harness: every shape, stalls, several configurations, broken programs."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from hw.config import Config
from hw.counters import EVENT_CYCLES
from hw.loader import Error
from sim.models.cycles import input_cycles
from sim.models.event_cycles import EventModel
from sim.rtl.batches import model_batches, predict_batches, program_results
from sim.rtl.checks import compare
from sim.rtl.harness import Rtl, RtlError, Stalls
from sim.rtl.runner import Loaded
from sim.rtl.stream import expected_results, row_streams
from sw import golden
from sw.event.program import in_a_row
from sw.limits import KERNELS, paddings
from tb.broken_streams import flip_bits, resets
from tb.random_batches import CHAIN, WIDE, batches_of, random_batches
from tb.random_programs import Shape, build, random_case, random_rows
from tb.test_array import CASES, STALLS
from tests.random_networks import random_neuron
from tests.soak import times

SMALL = Config(
    machine="event",
    n_pe=4,
    ticks=2,
    tile_side=4,
    scratchpad_depth=128,
    buffer_depth=128,
    segment_depth=4,
    banks=4,
    fifo_depth=3,
    stream_bits=64,
)
CONFIGS = {
    "small": SMALL,
    "three PEs, tiles of 8x8, 8 banks, 256 bits": Config(
        machine="event",
        n_pe=3,
        buffer_depth=256,
        scratchpad_depth=256,
        fifo_depth=2,
        segment_depth=8,
    ),
    "one bank, one tick, 128 bits": Config(
        machine="event",
        n_pe=2,
        ticks=1,
        scratchpad_depth=128,
        buffer_depth=128,
        weight_bits=8,
        leak_mode="none",
        banks=1,
        lifs=1,
        fifo_depth=5,
        stream_bits=128,
    ),
}


@pytest.fixture(scope="module")
def rtl():
    with Rtl(SMALL) as model:
        yield model


def maps_of(case, expected):
    """The spikes of every map, by the layer that made it."""
    outputs = {name: result.output for name, result in expected.items()}
    return {case.network.first_map: case.spikes, **outputs}


def check(rtl, case, stalls=None):
    """Spikes and accumulates; without stalls, every PE's cycles and positions too."""
    expected = golden.run(case.network, case.spikes)
    maps = maps_of(case, expected)
    model = EventModel(case.program).predict(maps)
    cycles = input_cycles(case.program, case.spikes)
    bound = 2 * (cycles + sum(layer.cycles for layer in model))
    result = rtl.run(
        case.program, case.spikes, max_cycles=bound * (100 if stalls else 1), stalls=stalls
    )
    assert np.array_equal(result.input, case.spikes), f"{case.name}: input"
    assert result.input_spikes == case.spikes.sum()
    if stalls is None:
        assert result.input_cycles == cycles, case.name
    for compiled, layer, predicted in zip(case.program.layers, result.layers, model, strict=True):
        name = compiled.name
        where = f"{case.name}, {name}, stalls {stalls}"
        want = expected[name]
        assert np.array_equal(layer.output, want.output), f"{where}: spikes"
        counts = {
            "accumulates": np.sum(list(want.filter_accumulates.values()), axis=0),
            "shortcut_accumulates": want.shortcut_accumulates,
        }
        for counter, filters in counts.items():
            total = np.zeros(rtl.config.n_pe, int)
            np.add.at(total, np.arange(len(filters)) % rtl.config.n_pe, filters)
            assert np.array_equal(layer.counters[counter], total), f"{where}: {counter}"
        assert np.array_equal(layer.counters["positions"], predicted.counters["positions"]), where
        if stalls is None:
            assert layer.cycles == predicted.cycles, where
            for counter in EVENT_CYCLES:
                pair = layer.counters[counter], predicted.counters[counter]
                assert np.array_equal(*pair), f"{where}: {counter}"


def check_row(rtl, row, stalls=None):
    """Images one after the other, as `check` does of one; without stalls the cycles between them, too."""
    expected = [golden.run(row.network, spikes) for spikes in row.images]
    maps = [
        {row.network.first_map: spikes} | {name: result.output for name, result in each.items()}
        for spikes, each in zip(row.images, expected, strict=True)
    ]
    model = EventModel(row.program).predict_row(maps)
    bound = 2 * sum(one.period for one in model) * (100 if stalls else 1)
    found = rtl.run_programs(
        [row.program] * len(row.images), row.images, max_cycles=bound, stalls=stalls
    )
    for number, (one, predicted) in enumerate(zip(found, model, strict=True)):
        where = f"{row.name}, image {number}, stalls {stalls}"
        done = one.run
        assert np.array_equal(done.input, row.images[number]), f"{where}: input"
        assert done.input_spikes == row.images[number].sum(), where
        for compiled, layer, said in zip(
            row.program.layers, done.layers, predicted.layers, strict=True
        ):
            want = expected[number][compiled.name].output
            assert np.array_equal(layer.output, want), f"{where}, {compiled.name}: spikes"
            if stalls is None:
                assert layer.cycles == said.cycles, f"{where}, {compiled.name}"
                for counter in (*EVENT_CYCLES, "positions"):
                    pair = layer.counters[counter], said.counters[counter]
                    assert np.array_equal(*pair), f"{where}, {compiled.name}: {counter}"
        if stalls is None:
            assert (done.input_cycles, one.latency) == (predicted.waited, predicted.latency), where
    return found


def check_batches(rtl, batches, stalls=None):
    """Images in batches: every map of every program, and what late layers read; without stalls every PE's cycles, too."""
    expected = [golden.run(batches.network, spikes) for spikes in batches.images]
    maps = [
        {batches.network.first_map: spikes} | {name: one.output for name, one in each.items()}
        for spikes, each in zip(batches.images, expected, strict=True)
    ]
    batch = batches.batch
    model = predict_batches(batch, maps)
    bound = 2 * sum(one.period for one in model) * (100 if stalls else 1)
    programs = batch.programs * (len(batches.images) // batch.size)
    inputs = batch.inputs(batches.images)
    found = rtl.run_programs(programs, inputs, max_cycles=bound, stalls=stalls)
    wanted = program_results(batch, expected)
    for number, (one, golden_says, predicted) in enumerate(zip(found, wanted, model, strict=True)):
        where = f"{batches.name}, program {number}, stalls {stalls}"
        program = batch.programs[number % len(batch.programs)]
        same = compare(
            program, golden_says, one.run, predicted.layers, input_cycles=predicted.waited
        )
        assert same.spikes is None, f"{where}: {same.spikes}"
        if stalls is None:
            assert same.first is None, f"{where}: {same.first}"
            assert one.latency == predicted.latency, where


@cache
def shaped():
    return [
        build(SMALL, shapes, side=side, channels=channels, classes=classes, seed=seed)
        for seed, (side, channels, shapes, classes) in enumerate(CASES["tiny"])
    ]


def good(seed=0):
    """A small case for what happens around a program."""
    shapes = (Shape(filters=6), Shape(filters=7, pool="max2"))
    return build(SMALL, shapes, side=5, channels=5, seed=seed)


def test_shapes_without_stalls(rtl):
    for case in shaped():
        check(rtl, case)


def test_shapes_under_stalls(rtl):
    for seed, case in enumerate(shaped()):
        check(rtl, case, replace(STALLS, seed=seed))
        check(rtl, case, Stalls(seed=seed, results=0.98))  # queues of results fill up


@pytest.mark.parametrize("name", CONFIGS)
def test_random_layers(name):
    with Rtl(CONFIGS[name]) as model:
        for seed in range(times(8)):
            case = random_case(CONFIGS[name], seed)
            check(model, case)
            check(model, case, replace(STALLS, seed=seed, program=0.9 if seed % 3 else 0.1))
        for seed in range(100, 100 + times(6)):
            ticks = CONFIGS[name].ticks * (1 + seed % 4) + seed % 3
            kinds = {"rectangle": seed % 3 > 0, "large": seed % 2 > 0}
            case = random_case(CONFIGS[name], seed, max_side=20, ticks=ticks, **kinds)
            check(model, case)
            check(model, case, replace(STALLS, seed=seed))


@pytest.mark.parametrize("name", CONFIGS)
def test_rows_of_images(name):
    """The next image's input comes while layers run: spikes, cycles, period and latency of each image."""
    with Rtl(CONFIGS[name]) as model:
        kinds = {"max_side": 24}, {"max_side": 12, "ticks": 2 * CONFIGS[name].ticks}
        for number, row in enumerate(
            row for kind in kinds for row in random_rows(CONFIGS[name], times(8), **kind)
        ):
            early = check_row(model, row)
            assert all(one.run.input_cycles == 1 for one in early[1:]), row.name
            check_row(model, row, replace(STALLS, seed=number))
            check_row(model, row, Stalls(seed=number, program=0.9 if number % 2 else 0.1))


@pytest.mark.parametrize("name", CONFIGS)
def test_batches_of_images(name):
    """Late layers' weights are loaded once for several images: neurons of each start anew, and drop spikes behind their last tick."""
    config = CONFIGS[name]
    with Rtl(config) as model:
        kinds = [{"max_side": 16}, {"max_side": 12, "rectangle": True, "large": True}]
        if config.ticks > 1:
            kinds.append({"max_side": 12, "ticks": config.ticks - 1})
        for number, batches in enumerate(
            one for kind in kinds for one in random_batches(config, times(5), **kind)
        ):
            check_batches(model, batches)
            check_batches(model, batches, replace(STALLS, seed=number))
            check_batches(model, batches, Stalls(seed=number, program=0.9 if number % 2 else 0.1))


@pytest.mark.parametrize("ticks", [1, 2, 3])
def test_results_are_those_expected_beat_by_beat(rtl, ticks):
    """Of fewer ticks than lanes, as many, and more: a classifier sends all lanes."""
    case = build(SMALL, CHAIN[:2], side=6, channels=3, classes=6, ticks=ticks)
    loaded = Loaded(network=case.network, program=case.program, cycles=None)
    beats, wanted = case.program.beats(case.spikes), expected_results(loaded, case.spikes)
    limits = {"max_cycles": 100_000, "max_results": len(wanted) + 1, "max_buffers": 0}
    came, _, _ = rtl.run_beats(beats, len(beats) - 1, **limits)
    assert np.array_equal(came, wanted)


@pytest.mark.parametrize(("ticks", "resident"), [(1, 0), (1, 2), (2, 1)])
def test_results_of_batches_are_those_expected_beat_by_beat(rtl, ticks, resident):
    """Image after image in each group of a classifier."""
    case = build(SMALL, CHAIN[:2], side=6, channels=3, classes=6, ticks=ticks)
    found = batches_of(case, 3, resident)
    loaded = Loaded(network=case.network, program=case.program, cycles=None)
    model = model_batches(loaded, found.batch, np.array(found.images))
    streams, results = zip(*row_streams(model), strict=True)
    wanted = np.concatenate(results)
    came, _, _ = rtl.run_beats(
        np.concatenate(streams),
        np.cumsum([len(beats) for beats in streams]) - 1,
        max_cycles=100_000,
        max_results=len(wanted) + 1,
        max_buffers=0,
    )
    assert np.array_equal(came, wanted)


def test_inputs_of_a_batch_come_early(rtl):
    """All of them, all but the first of a batch, and none: as the buffer has room."""
    for shapes, size, early in ((CHAIN, 3, 2), (WIDE, 3, 1), (CHAIN, 8, 0)):
        batches = batches_of(build(SMALL, shapes, side=12, channels=8), size, 3)
        assert batches.batch.early + bool(batches.batch.programs[-1].early) == early
        check_batches(rtl, batches)
        check_batches(rtl, batches, replace(STALLS, seed=size))


def test_an_image_alone_after_batches(rtl):
    """What a batch leaves behind does not matter to what comes next, and the other way round."""
    for batches in random_batches(SMALL, 2, max_side=12):
        check_batches(rtl, batches)
        check(rtl, good())


def test_an_image_alone_after_a_row(rtl):
    """What one row leaves behind does not matter to the next, nor to a program with its input."""
    (row,) = random_rows(SMALL, 1, max_side=12)
    for _ in range(2):
        check_row(rtl, row)
        check(rtl, good())


def large_of_stride_2():
    """Each kernel above 3x3 of stride 2, on one tile, on several, and on a map that is no square."""
    for kernel in KERNELS[2]:
        for padding in paddings(kernel, 2) if kernel > 3 else ():
            first = Shape(filters=5, kernel=kernel, stride=2, padding=padding, density=0.5)
            shapes = first, Shape(filters=3)
            sides: tuple[int | tuple[int, int], ...] = 4, 14, 17, (9, 13)
            for number, side in enumerate(sides):
                ticks = (2, 3)[number % 2]
                yield build(SMALL, shapes, side=side, channels=3, seed=kernel, ticks=ticks)


def test_large_kernels_of_stride_2(rtl):
    for seed, case in enumerate(large_of_stride_2()):
        check(rtl, case)
        check(rtl, case, replace(STALLS, seed=seed))


ROUNDS = {  # ticks, which the buffer has room for; side, channels, shapes, classes
    "words of several pooled tiles": (
        (3, 7, 25), 15, 1, (Shape(filters=5, pool="max2"), Shape(filters=3)), 0,
    ),
    "small words": (
        (3, 7, 25), 4, 6, (Shape(filters=9, pool="max2"), Shape(filters=5, kernel=1, padding=0)), 0,
    ),
    "an average, and a classifier with a group that is not full": (
        (3, 7, 25), 3, 5, (Shape(filters=7, pool="avg", kernel=1, padding=0),), 6,
    ),
    "strides and a shortcut": (
        (3, 4), 9, 5, (Shape(filters=6), Shape(filters=6, stride=2, shortcut=("conv", 2))), 0,
    ),
    "parts of a group": ((3, 4), 5, 40, (Shape(filters=6, density=1.0),), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", ROUNDS)
def test_rounds_of_ticks(rtl, name):
    several, side, channels, shapes, classes = ROUNDS[name]
    for ticks in several:
        neuron = random_neuron(np.random.default_rng(ticks))
        soft = tuple(replace(shape, neuron=neuron) for shape in shapes)
        case = build(rtl.config, soft, side=side, channels=channels, classes=classes, ticks=ticks)
        check(rtl, case)
        check(rtl, case, replace(STALLS, seed=ticks))


def test_reset_in_the_middle(rtl):
    for reset_at in resets(rtl, good()):
        check(rtl, good(1 + reset_at % 3))


@pytest.mark.parametrize(
    ("beat", "last", "error"),
    [
        (0, None, Error.HEADER),
        (1, None, Error.DESCRIPTOR),
        (None, -2, Error.LAST_EARLY),
        (None, 0, Error.LAST_EARLY),
        (None, 1, Error.LAST_LATE),
    ],
)
def test_bad_stream_is_an_error_and_a_good_one_runs_after_it(rtl, beat, last, error):
    case = good()
    beats = case.program.beats(case.spikes)
    if beat is not None:
        beats[beat] = 0
    at = len(beats) - 1 + (last or 0) if last != 0 else 0
    with pytest.raises(RtlError, match=f"raised error {error.name} "):
        rtl.run_beats(beats, at, max_cycles=100_000, max_results=1000, max_buffers=9)
    check(rtl, case)


def test_a_program_of_the_other_machine_is_refused(rtl):
    case = build(replace(SMALL, machine="sweep"), (Shape(filters=3),), side=5, channels=2)
    beats = case.program.beats(case.spikes)
    with pytest.raises(RtlError, match="raised error HEADER "):
        rtl.run_beats(beats, len(beats) - 1, max_cycles=10_000, max_results=100, max_buffers=9)
    check(rtl, good())


def test_any_program_ends_or_is_an_error(rtl):
    """Random bits of good programs flipped: none hangs the array, and a good one runs at last."""
    programs = [case.program.beats(case.spikes) for case in shaped()]
    for batches in random_batches(SMALL, 4, max_side=8):
        batch = batches.batch
        programs += in_a_row(batch.programs, batch.inputs(batches.images[: batch.size]))[0]
    programs = [beats for beats in programs if len(beats) < 400]
    # the lowest of a header say how much follows
    flip_bits(rtl, programs, times(600), [16, 32, 64])
    check(rtl, good())


def test_models_are_closed_in_any_order():
    """Each erases what Verilator keeps of its PEs, in its own context."""
    first, second = Rtl(SMALL), Rtl(SMALL)
    second.__exit__()
    gone = [bytearray(4000) for _ in range(100)]  # where the second one's context was
    first.__exit__()
    assert len(gone) == 100
