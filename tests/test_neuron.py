"""Facts of every neuron in `NEURONS`: integers against fractions, and no way out of the accumulator."""

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
    for more in (("zero", "zero"), ("subtract", "zero"), ("subtract", "half", True))
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
    """Four numbers say what the class does."""
    code = neuron.code
    assert (code["share"] * u + code["carry"]) >> 8 == neuron.leak(u)
    level = threshold - code["above"]
    assert (u - level if code["subtract"] else 0) == neuron.reset(u, threshold - neuron.above)
    assert (level >> 1 if code["start"] else 0) == neuron.initial(threshold)
    assert code["share"] in range(257)
    assert code["carry"] in range(256)


def test_by_hand():
    assert [Shift(2).leak(u) for u in (7, 8, -1, -8)] == [1, 2, -1, -2]
    assert [NEURONS["complement"](2).leak(u) for u in (7, 8, -1, -8)] == [6, 6, 0, -6]
    assert Lossless().leak(-7) == -7
    assert Shift(2).step(7, 3, 4) == (True, 0)
    assert Shift(2).step(7, 2, 4) == (False, 3)
    assert [Share(230).leak(u) for u in (256, 100, -1)] == [230, 89, -1]
    assert Share(230, "subtract").step(100, 20, 90) == (True, 19)
    assert Share(230, "subtract", above=True).step(100, 20, 90) == (True, 20)
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
            assert said == inside if threshold == 255 else inside or not said


def run(neuron, currents, threshold):
    """Potentials before each reset."""
    u = neuron.initial(threshold)
    for current in currents:
        yield neuron.leak(u) + current
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
