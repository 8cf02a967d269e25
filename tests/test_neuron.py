"""Facts of every neuron in `NEURONS`: integers against fractions, and no way out of the accumulator."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.config import Config
from hw.neuron import NEURONS, RESETS, STARTS, Lossless, Share, Shift, kinds, trained

KINDS = [
    kind(amount, *more)
    for kind in kinds()
    for amount in (1, 2, 8)
    for more in (
        *(("zero", "zero"), ("subtract", "zero"), ("subtract", "half", True)),
        *(("late", "zero"), ("late", "half", True)),
    )
]
leaks = st.sampled_from([kind(amount) for kind in kinds() for amount in kind.amounts])
neurons = st.builds(
    lambda leak, *more: type(leak)(leak.amount, *more),
    leaks,
    st.sampled_from(RESETS),
    st.sampled_from(STARTS),
    st.booleans(),
)
potentials = st.integers(-(1 << 23), (1 << 23) - 1)


@given(neurons, potentials)
def test_a_tick_leaves_the_factor_rounded_and_never_changes_the_sign(neuron, u):
    left = neuron.leak(u)
    assert abs(left - Fraction(neuron.factor) * u) < 1
    assert min(0, u) <= left <= max(0, u)


@given(neurons, potentials, potentials)
def test_leaks_are_monotonic(neuron, u, v):
    """So that the extremes of a potential come from the extremes before it."""
    low, high = sorted((u, v))
    assert neuron.leak(low) <= neuron.leak(high)


@given(neurons, st.integers(0, (1 << 23) - 1), st.integers(0, (1 << 23) - 1))
def test_a_reset_goes_towards_zero(neuron, u, level):
    if u >= level:
        assert 0 <= neuron.reset(u, level) <= u


@given(neurons, potentials, st.integers(1, (1 << 23) - 1))
def test_the_event_machine_is_told_the_same(neuron, u, threshold):
    """Six numbers say what the class does."""
    code = neuron.code
    assert (code["share"] * u + code["carry"]) >> 8 == neuron.leak(u)
    level = threshold - code["above"]
    reset = u if code["late"] else u - level if code["subtract"] else 0
    assert reset == neuron.reset(u, threshold - neuron.above)
    assert (code["late"] and u >= threshold) * level == neuron.owed(u, threshold, level)
    assert (level >> 1 if code["start"] else 0) == neuron.initial(threshold)
    assert code["share"] in range(257)
    assert code["carry"] in range(256)


currents = st.lists(st.integers(-300, 300), min_size=1, max_size=30)
levels = st.integers(1, 300)


@given(leaks, st.sampled_from(STARTS), st.booleans(), currents, levels)
def test_a_late_reset_takes_the_level_behind_the_leak(leak, start, above, currents, level):
    """As snnTorch: v = beta v + x - (fired in the tick before) level. Nothing but the leak is rounded."""
    neuron = type(leak)(leak.amount, "late", start, above)
    u = v = neuron.initial(level + above)
    fired = False
    for current in currents:
        v = neuron.leak(v) + current - fired * level
        fired = v > level if above else v >= level
        fires, u = neuron.step(u, current, level + above)
        assert (fires, u) == (fired, v)


@given(leaks, currents, levels)
def test_late_is_more_at_once(leak, currents, level):
    """In fractions: a level behind the leak is level / factor before it. With a factor of 1 it is a subtraction."""
    share, late, at_once = Fraction(leak.factor), Fraction(0), Fraction(0)
    owed = 0
    for current in currents:
        late, at_once = share * late - owed + current, share * at_once + current
        assert late == at_once
        owed = leak.owed(late, level, level)
        assert owed == 0
        owed = replace(leak, reset_to="late").owed(late, level, level)
        at_once -= owed / share
    u = v = 0
    for current in currents:
        late = Lossless(reset_to="late").step(u, current, level)
        subtracted = Lossless(reset_to="subtract").step(v, current, level)
        assert late[0] == subtracted[0]
        u, v = late[1], subtracted[1]


def test_by_hand():
    assert [Shift(2).leak(u) for u in (7, 8, -1, -8)] == [1, 2, -1, -2]
    assert [NEURONS["complement"](2).leak(u) for u in (7, 8, -1, -8)] == [6, 6, 0, -6]
    assert Lossless().leak(-7) == -7
    assert Shift(2).step(7, 3, 4) == (True, 0)
    assert Shift(2).step(7, 2, 4) == (False, 3)
    assert [Share(230).leak(u) for u in (256, 100, -1)] == [230, 89, -1]
    assert Share(230, "subtract").step(100, 20, 90) == (True, 19)
    assert Share(230, "subtract", above=True).step(100, 20, 90) == (True, 20)
    late = Share(128, "late")
    assert [late.step(u, 30, 90) for u in (90, 89, 200)] == [(False, -15), (False, 74), (False, 40)]
    assert late.step(120, 140, 90) == (True, 110)  # 60 - 90 + 140
    assert Share(128, "late", above=True).step(91, 30, 91) == (False, -15)
    assert Lossless(start="half").initial(9) == 4
    assert Lossless(start="half", above=True).initial(9) == 4
    assert Shift(2).initial(9) == 0


@pytest.mark.parametrize("neuron", KINDS, ids=str)
@pytest.mark.parametrize("ticks", [1, 2, 4])
def test_the_bound_is_what_the_worst_inputs_do(neuron, ticks):
    """Every sequence of the extremes of a drive, with a threshold that is and is not reached."""
    bits = 8
    for drive in range(200):
        for threshold in (100, 255):  # the first is reached, the second never
            signs = product((-1, 0, 1), repeat=ticks)
            reached = [
                u
                for chosen in signs
                for u in run(neuron, [sign * drive for sign in chosen], threshold)
            ]
            inside = -(1 << bits - 1) <= min(reached) and max(reached) < 1 << (bits - 1)
            said = neuron.stays_inside(drive, bits=bits, ticks=ticks, threshold=threshold)
            exact = threshold == 255 and neuron.reset_to != "late"  # which does not ask
            assert said == inside if exact else inside or not said


def test_the_bound_counts_what_a_late_reset_takes():
    """Of a neuron that keeps nothing: a drive that just meets the threshold, and then is as far below."""
    neuron = Share(1, "late")
    for drive, inside in ((64, True), (65, False)):
        assert list(run(neuron, [drive, -drive], drive)) == [drive, -2 * drive]
        assert neuron.stays_inside(drive, bits=8, ticks=2, threshold=drive) == inside
        assert neuron.stays_inside(drive, bits=8, ticks=1, threshold=drive)
    above = Share(1, "late", above=True)
    assert list(run(above, [65, -64], 65)) == [65, -128]
    assert above.stays_inside(64, bits=8, ticks=2, threshold=65)


@given(neurons, st.integers(1, 9), st.lists(st.integers(0, 200)), st.integers(0, 300))
def test_a_larger_drive_or_threshold_never_mends(neuron, ticks, drives, threshold):
    """So that the largest scale is well defined; and arrays are many numbers."""
    drives = np.array(sorted(drives), np.int64)
    thresholds = threshold + drives
    said = neuron.stays_inside(drives, bits=8, ticks=ticks, threshold=thresholds)
    said = np.broadcast_to(said, drives.shape)
    assert not np.any(~said[:-1] & said[1:])
    for drive, one, inside in zip(drives.tolist(), thresholds.tolist(), said, strict=True):
        assert neuron.stays_inside(drive, bits=8, ticks=ticks, threshold=one) == inside


def run(neuron, currents, threshold):
    """Potentials before each reset."""
    u = neuron.initial(threshold)
    for current in currents:
        yield neuron.leak(u) - neuron.owed(u, threshold, threshold - neuron.above) + current
        _, u = neuron.step(u, current, threshold)


def test_arrays_are_many_numbers():
    u = np.arange(-9, 9)
    for neuron in KINDS:
        fires, left = neuron.step(u, 3, 5, np.where)
        assert [(f, v) for f, v in zip(fires, left, strict=True)] == [
            neuron.step(v, 3, 5) for v in u.tolist()
        ]


@pytest.mark.parametrize("name", NEURONS)
def test_a_trained_neuron_is_found_by_its_factor(name):
    neuron = NEURONS[name](3)
    found = trained(neuron.factor, neuron.reset_to)
    assert (found.factor, found.reset_to) == (neuron.factor, neuron.reset_to)
    assert Config(leak_mode=found.name, leak_shift=found.amount).neuron == found
    assert found.swept


def test_what_the_event_machine_alone_has_is_found_too():
    assert trained(230 / 256, "subtract", "half", above=True) == Share(
        230, "subtract", "half", True
    )
    assert trained(0.25, "subtract") == Shift(2, "subtract")
    assert trained(0.25, above=True) == Shift(2)  # makes no difference
    assert not any(trained(0.25, *more).swept for more in (("subtract",), ("zero", "half")))
    assert not trained(230 / 256).swept
    assert trained(0.3) is None
    assert trained(0.25, "nowhere") is None
    assert trained(0.25, "zero", "nowhere") is None
