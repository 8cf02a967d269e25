"""The whole array through the fast harness, on random layers of every shape."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from hw.config import PRESETS, Config
from hw.counters import CYCLES
from hw.loader import Error
from hw.program import MAGIC
from sim.models import cycles
from sim.rtl.harness import Rtl, RtlError, Stalls
from sim.rtl.runner import Loaded
from sim.rtl.stream import expected_results
from sw import golden
from tb.broken_streams import flip_bits, resets
from tb.random_programs import Shape, build, random_case
from tests.soak import times

ONE = Shape(filters=1)


def block(filters, stride=1):
    """Of ResNet: two convolutions, and from its input a shortcut, 1x1 where the shape changes."""
    kind = "identity" if stride == 1 else "conv"
    return Shape(filters=filters, stride=stride), Shape(filters=filters, shortcut=(kind, 2))


def average(filters, **options):
    return Shape(filters=filters, kernel=1, padding=0, pool="avg", **options)


CASES = {
    # preset, side, channels, layers, classes
    "tiny": [
        (4, 5, (Shape(filters=6, pool="max2"), Shape(filters=3, pool="max2")), 3),  # 4 divides none
        (1, 7, (Shape(filters=9),), 10),
        (2, 3, (Shape(filters=5, kernel=1, padding=0, pool="max2"),), 6),
        (3, 6, (Shape(filters=5, kernel=3, padding=0), Shape(filters=7, kernel=1, padding=0)), 0),
        (5, 4, (Shape(filters=4, stride=2), Shape(filters=4, stride=2)), 0),
        (9, 3, (Shape(filters=5, pool="max2"), Shape(filters=6, pool="max2")), 0),
        (16, 2, (Shape(filters=4, stride=2, pool="max2"), Shape(filters=3, padding=0)), 0),
        (17, 2, (Shape(filters=5, stride=2, padding=0, pool="max2"),), 0),
        (20, 4, (Shape(filters=3, density=1.0), Shape(filters=3, density=0.0)), 0),  # 5x5 tiles
        (31, 1, (Shape(filters=3), Shape(filters=4, density=0.02)), 0),
        (63, 1, (Shape(filters=1, stride=2), Shape(filters=3)), 0),
        (64, 1, (ONE, Shape(filters=2, pool="max2", stride=2)), 0),
        (4, 24, (Shape(filters=6, density=1.0), Shape(filters=5, density=1.0)), 0),  # in chunks
        (1, 400, (Shape(filters=9, density=0.02),), 23),  # skips of more than 127 channels
        (1, 2, (), 31),  # a classifier alone
        (7, 30, (Shape(filters=2, density=1.0, empty=(1,)), Shape(filters=9)), 0),
        (8, 6, (Shape(filters=8, density=0.0), Shape(filters=8, density=0.0)), 0),  # no weights
        (8, 6, (Shape(filters=9, empty=(0, 3, 8)), Shape(filters=3, empty=(0, 1, 2))), 0),
        # missing filters in the last group must not leak their words into the next layer
        (4, 6, (Shape(filters=5), Shape(filters=4)), 0),
        (7, 6, (Shape(filters=6, pool="max2"), Shape(filters=9), Shape(filters=4)), 0),
        (8, 3, (*block(6, stride=2), *block(6), average(5)), 9),
        (15, 4, block(5, stride=2) + block(5), 0),
        (3, 7, (*block(7), average(9), Shape(filters=5, kernel=1, padding=0)), 3),
        (1, 6, (Shape(filters=6, shortcut=("identity", 1)), average(4)), 3),
        (4, 7, (Shape(filters=7, shortcut=("identity", 1)), average(9, stride=2)), 0),
        (4, 5, (Shape(filters=9, density=0.0, shortcut=("conv", 1)), average(5, density=0.0)), 2),
        # in chunks; the identity's weight is in the last
        (4, 24, (Shape(filters=24, density=1.0, shortcut=("identity", 1)),), 0),
        (4, 24, (average(6, density=1.0),), 0),
    ],
    "paper": [
        (1, 33, (Shape(filters=17),), 10),
        (1, 1000, (Shape(filters=33, density=0.005),), 40),  # skips of more than 127 channels
        (1, 2, (), 90),  # a classifier alone
        (2, 20, (Shape(filters=33), Shape(filters=20, kernel=1, padding=0)), 0),
        (4, 40, (Shape(filters=20, pool="max2"), Shape(filters=33)), 0),
        (5, 17, (Shape(filters=7), Shape(filters=31, stride=2)), 0),
        (8, 17, (Shape(filters=20), Shape(filters=15)), 0),  # 20 filters on 16 PEs, then a layer
        (9, 12, (Shape(filters=18, stride=2), Shape(filters=5, padding=0)), 0),
        (16, 16, (Shape(filters=20, pool="max2"), Shape(filters=17, pool="max2")), 0),
        (32, 8, (Shape(filters=17, density=0.05, pool="max2"),), 0),
        (40, 3, (Shape(filters=5), Shape(filters=17, stride=2)), 0),  # 5x5 tiles
        (64, 3, (Shape(filters=3), Shape(filters=4, stride=2, pool="max2")), 0),
        (57, 2, (Shape(filters=3, kernel=1, padding=0), Shape(filters=4, padding=0)), 0),
        (4, 200, (Shape(filters=18, density=1.0),), 0),  # in chunks
        (9, 150, (Shape(filters=3, density=1.0, empty=(1,)), Shape(filters=17)), 0),
        (6, 9, (Shape(filters=20, density=0.0), Shape(filters=20, empty=tuple(range(20)))), 0),
        (32, 8, block(18, stride=2) + block(18), 0),
        (16, 18, block(20, stride=2) + block(20), 0),
        (8, 18, (*block(33, stride=2), *block(33), average(40)), 10),  # as ResNet-19 ends
        (7, 20, (Shape(filters=20, pool="max2", shortcut=("identity", 1)), average(17)), 5),
        (4, 100, (Shape(filters=100, density=1.0, shortcut=("identity", 1)),), 0),  # in chunks
    ],
}
RANDOM = {"tiny": 60, "paper": 15}  # layers
FLIPS = {"tiny": 1000, "paper": 200}  # programs
STALLS = Stalls(seed=1, program=0.3, results=0.5)


@pytest.fixture(scope="module", params=["tiny", "paper"])
def preset(request):
    return request.param


@pytest.fixture(scope="module")
def rtl(preset):
    with Rtl(PRESETS[preset]) as model:
        yield model


@pytest.fixture
def fresh(preset):
    """A model of its own, for what may leave it in the middle of a program."""
    with Rtl(PRESETS[preset]) as model:
        yield model


def run(rtl, case, stalls=None):
    bound = cycles.bound(case.program, case.spikes)
    factor = 1 if stalls is None else 100
    return rtl.run(case.program, case.spikes, max_cycles=factor * bound, stalls=stalls)


def check(rtl, case, stalls=None):
    """Spikes, steps and accumulates; without stalls, every PE's cycles too."""
    expected = golden.run(case.network, case.spikes)
    result = run(rtl, case, stalls)
    assert np.array_equal(result.input, case.spikes), f"{case.name}: input"
    assert result.input_spikes == case.spikes.sum()
    for compiled, layer in zip(case.program.layers, result.layers, strict=True):
        name = compiled.name
        where = f"{case.name}, {name}, stalls {stalls}"
        want = expected[name]
        assert np.array_equal(layer.output, want.output), f"{where}: spikes"
        n_pe, steps = rtl.config.n_pe, rtl.config.ticks * compiled.side**2
        counts = {
            "steps": sum(
                source.mask.reshape(len(source.mask), -1).sum(1) * steps
                for source in compiled.integer.learned
            ),
            "accumulates": sum(want.filter_accumulates.values()),
            "shortcut_accumulates": want.shortcut_accumulates,
        }
        for name, filters in counts.items():
            total = np.zeros(n_pe, int)
            np.add.at(total, np.arange(len(filters)) % n_pe, filters)
            assert np.array_equal(layer.counters[name], total), f"{where}: {name}"
    if stalls is None:
        assert result.input_cycles == cycles.input_cycles(case.program, case.spikes), case.name
        for layer, model in zip(result.layers, cycles.predict(case.program), strict=True):
            assert layer.cycles == model.cycles, case.name
            for name in CYCLES:
                assert np.array_equal(layer.counters[name], model.counters[name]), (case.name, name)


@cache
def shaped(preset):
    return [
        build(PRESETS[preset], shapes, side=side, channels=channels, classes=classes, seed=seed)
        for seed, (side, channels, shapes, classes) in enumerate(CASES[preset])
    ]


@cache
def randoms(preset):
    return [random_case(PRESETS[preset], seed) for seed in range(times(RANDOM[preset]))]


def good(preset, seed=0):
    """A small case for what happens around a program."""
    shapes = (Shape(filters=6), Shape(filters=7, pool="max2"))
    return build(PRESETS[preset], shapes, side=5, channels=5, seed=seed)


def test_shapes_without_stalls(rtl, preset):
    for case in shaped(preset):
        check(rtl, case)


def test_shapes_under_stalls(rtl, preset):
    for seed, case in enumerate(shaped(preset)):
        check(rtl, case, replace(STALLS, seed=seed))
        check(rtl, case, Stalls(seed=seed, results=0.98))  # queues of results fill up


def test_random_layers_without_stalls(rtl, preset):
    for case in randoms(preset):
        check(rtl, case)


def test_random_layers_under_stalls(rtl, preset):
    for seed, case in enumerate(randoms(preset)):
        check(rtl, case, replace(STALLS, seed=seed, program=0.9 if seed % 3 else 0.1))


def test_the_results_are_those_expected_beat_by_beat(rtl, preset):
    for case in (*shaped(preset), random_case(PRESETS[preset], 0)):
        beats = case.program.beats(case.spikes)
        loaded = Loaded(
            network=case.network, program=case.program, cycles=cycles.predict(case.program)
        )
        wanted = expected_results(loaded, case.spikes)
        results, _, _ = rtl.run_beats(
            beats,
            len(beats) - 1,
            max_cycles=cycles.bound(case.program, case.spikes),
            max_results=len(wanted) + 1,
            max_buffers=0,
        )
        assert np.array_equal(results, wanted), case.name


def test_a_word_of_a_missing_filter_is_lost(rtl, preset):
    """Filters in all tiles of a last, short group: its PEs' words must not reach the next layer."""
    n_pe = PRESETS[preset].n_pe
    for filters in range(n_pe + 1, n_pe + 4):
        shapes = (Shape(filters=filters, density=0.5), Shape(filters=n_pe), Shape(filters=n_pe))
        check(rtl, build(PRESETS[preset], shapes, side=8, channels=6, rate=1.0, seed=filters))


def test_programs_in_a_row(rtl, preset):
    for seed in range(3):
        check(rtl, good(preset, seed))
        check(rtl, good(preset, seed))


def test_reset_in_the_middle(rtl, preset):
    for reset_at in resets(rtl, good(preset)):
        check(rtl, good(preset, 1 + reset_at % 3))


def broken(case, fault):
    """Beats, and where `last` is."""
    beats = case.program.beats(case.spikes)
    end = len(beats) - 1
    if fault == "magic":
        beats[0] ^= np.uint64(MAGIC & 1)
    if fault == "descriptor":
        beats[1] = np.uint64(0)
    position = {"early": end - 1, "input": 1, "header": 0, "late": end + 1}
    return beats, position.get(fault, end)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("magic", Error.HEADER),
        ("descriptor", Error.DESCRIPTOR),
        ("early", Error.LAST_EARLY),
        ("input", Error.LAST_EARLY),
        ("header", Error.LAST_EARLY),
        ("late", Error.LAST_LATE),
    ],
)
def test_bad_stream_is_an_error_and_a_good_one_runs_after_it(rtl, preset, fault, error):
    case = good(preset)
    beats, last_at = broken(case, fault)
    with pytest.raises(RtlError, match=f"raised error {error.name} "):
        rtl.run_beats(beats, last_at, max_cycles=100_000, max_results=1000, max_buffers=9)
    check(rtl, case)


def test_a_stream_that_ends_is_noticed(fresh, preset):
    case = good(preset)
    beats = case.program.beats(case.spikes)
    with pytest.raises(RtlError, match="neither finished nor raised"):
        fresh.run_beats(
            beats[:-1], len(beats) - 1, max_cycles=20_000, max_results=1000, max_buffers=9
        )


def test_any_program_ends_or_is_an_error(rtl, preset):
    """Random bits of good programs flipped: none hangs the array, and a good one runs at last."""
    programs = [case.program.beats(case.spikes) for case in shaped(preset)]
    programs = [beats for beats in programs if len(beats) < 300]
    # below 15 a filter's header says what part it is
    flip_bits(rtl, programs, times(FLIPS[preset]), [15, 32, 64])
    check(rtl, good(preset))


OTHERS = {
    "compact": PRESETS["compact"],
    "six PEs, three ticks, 8-bit weights": Config(
        n_pe=6,
        ticks=3,
        tile_side=4,
        scratchpad_depth=64,
        weight_bits=8,
        leak_mode="complement",
        buffer_depth=128,
        queue_depth=4,
    ),
    "one PE, one tick, 4-bit weights": Config(
        n_pe=1,
        ticks=1,
        scratchpad_depth=32,
        weight_bits=4,
        accumulator_bits=20,
        leak_mode="none",
        buffer_depth=64,
        queue_depth=4,
    ),
    "five PEs, four ticks": Config(
        n_pe=5, tile_side=4, scratchpad_depth=128, leak_shift=3, buffer_depth=256
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_hardware(name):
    with Rtl(OTHERS[name]) as model:
        for seed in range(times(12)):
            case = random_case(OTHERS[name], seed)
            check(model, case)
            check(model, case, replace(STALLS, seed=seed))
