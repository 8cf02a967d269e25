"""Facts of every neuron in `NEURONS`: integers against fractions, and no way out of the accumulator."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.config import Config
from hw.neuron import NEURONS, SHIFTS, Lossless, Shift, trained

KINDS = [kind(shift) for kind in NEURONS.values() for shift in (1, 2, 8)]
neurons = st.builds(
    lambda name, shift: NEURONS[name](shift),
    st.sampled_from(sorted(NEURONS)),
    st.sampled_from(SHIFTS),
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
def test_a_reset_goes_towards_zero(neuron, u, threshold):
    if u >= threshold:
        assert 0 <= neuron.reset(u, threshold) <= u


def test_by_hand():
    assert [Shift(2).leak(u) for u in (7, 8, -1, -8)] == [1, 2, -1, -2]
    assert [NEURONS["complement"](2).leak(u) for u in (7, 8, -1, -8)] == [6, 6, 0, -6]
    assert Lossless().leak(-7) == -7
    assert Shift(2).step(7, 3, 4) == (True, 0)
    assert Shift(2).step(7, 2, 4) == (False, 3)


@pytest.mark.parametrize("neuron", KINDS, ids=str)
@pytest.mark.parametrize("ticks", [1, 2, 4])
def test_the_bound_is_what_the_worst_inputs_do(neuron, ticks):
    """Every sequence of the extremes of a drive, with a threshold that is and is not reached."""
    bits = 8
    for drive in range(200):
        reached = [
            u
            for signs, threshold in product(product((-1, 0, 1), repeat=ticks), (1, 40, 1000))
            for u in run(neuron, [sign * drive for sign in signs], threshold)
        ]
        inside = -(1 << bits - 1) <= min(reached) and max(reached) < 1 << (bits - 1)
        assert neuron.stays_inside(drive, bits=bits, ticks=ticks) == inside


def run(neuron, currents, threshold):
    """Potentials before each reset."""
    u = 0
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
    assert Config(leak_mode=found.name, leak_shift=found.shift).neuron == found
    assert trained(0.3) is None
    assert trained(0.25, "nowhere") is None
