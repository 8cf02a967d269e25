"""Fixed point: each constraint of a scale, overflow under the worst inputs, folding."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.config import Config
from hw.neuron import NEURONS
from sw import golden
from sw.floats import FloatLayer, FloatSource
from sw.integers import IntegerLayer
from sw.layers import IMAGE, LIF, conv, linear
from sw.quantize import quantize, quantize_layer, ticket_config
from sw.trained_neuron import TrainedNeuron
from tests.random_networks import RESIDUAL, random_ticket, with_neurons, with_own
from tests.soak import times

configs = st.builds(
    Config,
    ticks=st.integers(1, 4),
    weight_bits=st.sampled_from([4, 8, 16]),
    accumulator_bits=st.integers(16, 24),
    leak_mode=st.sampled_from(sorted(NEURONS)),
    leak_shift=st.integers(1, 8),
)


@st.composite
def quantized(draw, *, classifier: bool = False) -> tuple[IntegerLayer, Config]:
    """A layer of hand-made extremes: empty filters, huge and tiny weights, weights of 0."""
    config = draw(configs)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    filters, channels = draw(st.integers(1, 5)), draw(st.integers(1, 40))
    layer = conv("layer", (channels, filters), IMAGE)
    if classifier:
        layer = linear("layer", (channels, filters), IMAGE)
    mask = rng.random(layer.own.weight_shape(filters)) < draw(st.sampled_from([0, 0.02, 0.3, 1]))
    spread = draw(st.sampled_from([0, 1, 5, 30]))
    weight = rng.normal(0, 1, mask.shape) * np.exp(rng.normal(0, spread, mask.shape)) * mask
    weight *= rng.random(mask.shape) < 0.9
    bias = rng.normal(0, draw(st.sampled_from([0, 1, 1e4])), filters)
    own = FloatSource(layer.own, weight, mask, bias)
    return quantize_layer(FloatLayer(layer, (own,)), config), config


def violated(integer: IntegerLayer, scale: np.ndarray, config: Config) -> list[set[str]]:
    """Which of (a), (b), (c) of sw/quantize.py each filter breaks at `scale`, in Python integers."""
    found = []
    classifier = integer.threshold is None
    for k, s in enumerate(scale):
        broken = set()
        weights = []
        for w in integer.own.float_weight[k][integer.own.mask[k]]:
            rounded = abs(int(np.rint(w * s)))
            if rounded > 2 ** (config.weight_bits - 1) - 1:
                broken.add("a")
            weights.append(max(rounded, 1))
        extent = sum(weights) + abs(int(np.rint(integer.float_bias[k] * s)))
        hi = lo = 0
        for _ in range(1 if classifier else config.ticks):
            hi, lo = config.neuron.leak(hi) + extent, config.neuron.leak(lo) - extent
            if hi > 2 ** (config.accumulator_bits - 1) - 1 or lo < -(
                2 ** (config.accumulator_bits - 1)
            ):
                broken.add("b")
        if round(s) >= 2 ** (config.accumulator_bits - 1):
            broken.add("c")
        found.append(broken)
    return found


@given(quantized())
@settings(deadline=None, max_examples=times(150))
def test_scale_is_the_largest(case):
    integer, config = case
    assert violated(integer, integer.scale, config) == [set()] * len(integer.scale)
    assert all(violated(integer, np.nextafter(integer.scale, np.inf), config))
    assert all(violated(integer, integer.scale * 1.01, config))


@given(quantized(classifier=True))
@settings(deadline=None, max_examples=times(80))
def test_classifier_rows_share_the_largest_scale(case):
    integer, config = case
    assert integer.threshold is None
    assert len(set(integer.scale)) == 1
    assert not any(violated(integer, integer.scale, config))
    assert any(violated(integer, np.nextafter(integer.scale, np.inf), config))


@given(quantized())
@settings(deadline=None, max_examples=times(150))
def test_integers_are_rounded_and_never_zero_in_the_mask(case):
    integer, _ = case
    own = integer.own
    scale = integer.scale[:, None, None, None]
    rounded = np.rint(own.float_weight * scale)
    assert np.array_equal(own.weight != 0, own.mask)
    replaced = own.mask & (rounded == 0)
    assert np.array_equal(own.weight[~replaced], rounded[~replaced])
    assert np.array_equal(own.weight[replaced], np.where(own.float_weight[replaced] < 0, -1, 1))
    assert np.array_equal(integer.bias, np.rint(integer.float_bias * integer.scale))
    assert np.array_equal(integer.threshold, np.rint(integer.scale))


@given(quantized(), st.data())
@settings(deadline=None, max_examples=times(40))
def test_no_input_overflows(case, data):
    """Drive neurons with their worst inputs: all of one sign, then any, without a reset between."""
    integer, config = case
    weight = integer.own.weight.reshape(len(integer.bias), -1).astype(object)
    bound = 2 ** (config.accumulator_bits - 1)
    for k, row in enumerate(weight):
        bias = int(integer.bias[k])
        inputs = [
            [int(w > 0) for w in row],
            [int(w < 0) for w in row],
            data.draw(st.lists(st.integers(0, 1), min_size=len(row), max_size=len(row))),
        ]
        for start in range(3):
            u = 0
            for t in range(config.ticks):
                spikes = inputs[start if start < 2 else data.draw(st.integers(0, 2))]
                acc = bias
                for w, spike in zip(row, spikes, strict=True):
                    acc += w * spike
                    assert -bound <= acc < bound
                u = config.neuron.leak(u) + acc
                assert -bound <= u < bound, (k, t)
        # the bound itself is reached by nothing smaller: weights and bias of one sign
        extent = sum(abs(w) for w in row) + abs(bias)
        hi = lo = 0
        for _ in range(config.ticks):
            hi, lo = config.neuron.leak(hi) + extent, config.neuron.leak(lo) - extent
        assert -bound <= lo < hi + 1 <= bound


def test_each_constraint_can_be_the_one_that_binds():
    config = Config()
    layer = linear("layer", (1000, 3), IMAGE, neuron=LIF)
    weight = np.zeros((3, 1000))
    weight[0, 0] = 2.0  # (a): a scale of 32767.5 / 2
    weight[1] = 1.0  # (b): 1000 equal weights
    weight[2, 0] = 1e-6  # (c)
    own = FloatSource(layer.own, weight, weight != 0, np.zeros(3))
    integer = quantize_layer(FloatLayer(layer, (own,)), config)
    assert integer.own.weight[0, 0] == 32767
    assert integer.threshold[0] == 16384
    extent = 1000 * int(integer.own.weight[1, 0])
    assert extent + (extent + (extent + extent // 4) // 4) // 4 < 2**23
    extent += 1000
    assert extent + (extent + (extent + extent // 4) // 4) // 4 >= 2**23
    assert integer.threshold[2] == 2**23 - 1
    assert integer.own.weight[2, 0] == 8


def of_bias_alone(layer, config, ticks=None):
    """Integers of a filter with a bias of 1 and no weights."""
    weight = np.zeros(layer.own.weight_shape(1))
    own = FloatSource(layer.own, weight, weight != 0, np.ones(1))
    return quantize_layer(FloatLayer(layer, (own,)), config, ticks=ticks)


def largest_of_16_bits(inside):
    """The largest positive number that `inside` takes."""
    return next(a for a in range(32767, 0, -1) if inside(a))


@pytest.mark.parametrize("mode", NEURONS)
@pytest.mark.parametrize("ticks", [1, 2, 3, 4])
def test_the_bound_is_met_to_the_last_bit(mode, ticks):
    """A filter of a bias of 1 alone: its integer is the largest A that (b) lets pass.

    Found by brute force. (Flooring makes the lower extreme larger by at most one, which two's
    complement has to spare: the upper one always binds.)
    """
    layer = conv("bias", (1, 1), "image")
    for shift in range(1, 9):
        config = Config(leak_mode=mode, leak_shift=shift, ticks=ticks, accumulator_bits=16)

        def inside(extent: int, config: Config = config) -> bool:
            hi = lo = 0
            for _ in range(config.ticks):
                hi, lo = config.neuron.leak(hi) + extent, config.neuron.leak(lo) - extent
            return hi <= 32767 and lo >= -32768

        integer = of_bias_alone(layer, config)
        assert integer.bias[0] == largest_of_16_bits(inside), config


@pytest.mark.parametrize("share", [1, 100, 230, 256])
@pytest.mark.parametrize("ticks", [1, 4, 25])
def test_the_bound_counts_what_a_late_reset_takes(share, ticks):
    """A bias as large as the threshold: what is left of a threshold, less that, less the bias, by brute force."""
    trained = TrainedNeuron(leak=share / 256, gain=1.0, reset="late")
    layer = conv("bias", (1, 1), "image", neuron=trained)
    config = Config(machine="event", accumulator_bits=16)

    def inside(scale: int) -> bool:
        hi, lo, largest = 0, 0, scale + 1  # as a threshold may be
        for tick in range(ticks):
            hi, lo = (hi * share >> 8) + scale, (lo * share >> 8) - scale
            if tick:
                lo = min(lo, (largest * share >> 8) - largest - scale)
            if not -32768 <= lo <= hi <= 32767:
                return False
        return True

    integer = of_bias_alone(layer, config, ticks)
    assert integer.bias[0] == integer.threshold[0] == largest_of_16_bits(inside)


@pytest.mark.parametrize("share", [1, 100, 230, 256])
@pytest.mark.parametrize("ticks", [1, 4, 25])
def test_the_bound_counts_where_a_neuron_starts(share, ticks):
    """Half of a threshold of 1 beside a bias of 1: the largest scale, by brute force."""
    trained = TrainedNeuron(leak=share / 256, gain=1.0, reset="subtract", start="half")
    layer = conv("bias", (1, 1), "image", neuron=trained)
    config = Config(machine="event", accumulator_bits=16)

    def inside(scale: int) -> bool:
        hi, lo = (scale + 1) >> 1, 0
        for _ in range(ticks):
            hi, lo = (hi * share >> 8) + scale, (lo * share >> 8) - scale
            if not -32768 <= lo <= hi <= 32767:
                return False
        return True

    integer = of_bias_alone(layer, config, ticks)
    assert integer.bias[0] == integer.threshold[0] == largest_of_16_bits(inside)


def test_neurons_that_the_sweep_machine_has_not_are_refused_by_name():
    made = with_neurons(random_ticket(3), 1)
    config = ticket_config(made)
    assert config.machine == "event"
    assert quantize(made, config).array
    with pytest.raises(
        ValueError, match=r"^layer conv\d: leak .*; machine sweep has leaks of 1, 2"
    ):
        quantize(made, replace(config, machine="sweep"))


def test_too_many_weights_for_the_accumulator_is_an_error():
    layer = conv("wide", (3641, 1), "image")
    mask = np.ones(layer.own.weight_shape(1), bool)
    own = FloatSource(layer.own, mask * 1.0, mask, np.zeros(1))
    with pytest.raises(
        ValueError, match="layer wide, filter 0: 32769 weights can overflow 16 bits"
    ):
        quantize_layer(FloatLayer(layer, (own,)), Config(accumulator_bits=16))


def test_classifier_has_no_gain():
    ticket = random_ticket(3)
    p, integer = ticket.parameters[-1], quantize(ticket, Config()).array[-1]
    assert np.array_equal(integer.own.float_weight, p.weight)
    assert np.array_equal(integer.float_bias, p.bias)
    assert integer.threshold is None


def test_integer_network_follows_the_float_network():
    """16-bit integers, run from the same input, fire almost always when folded floats do."""
    ticket = random_ticket(5)
    network = quantize(ticket, Config())
    rng = np.random.default_rng(1)
    spikes = golden.first_layer_spikes(network, rng.integers(0, 256, (1, 3, 32, 32), np.uint8))[0]
    for integer in network.array[:-1]:
        result = golden.run_layer(integer, [spikes])
        finer = replace(
            with_own(integer, weight=np.rint(integer.own.float_weight * 2**28).astype(np.int64)),
            bias=np.rint(integer.float_bias * 2**28).astype(np.int64),
            threshold=np.full(len(integer.bias), 2**28),
        )
        exact = golden.run_layer(finer, [spikes])
        assert 0.02 < exact.output.mean() < 0.98
        assert (result.output != exact.output).mean() < 1e-3
        spikes = result.output


@pytest.mark.parametrize("mode", NEURONS)
def test_ticket_config_matches_the_leak(mode):
    config = Config(leak_mode=mode, leak_shift=3, weight_bits=8, ticks=2)
    ticket = random_ticket(leak=config.neuron.factor, weight_bits=8, ticks=2)
    found = ticket_config(ticket)
    assert found.neuron.factor == config.neuron.factor
    assert (found.weight_bits, found.ticks) == (8, 2)
    network = quantize(ticket, found)
    assert max(np.abs(layer.own.weight).max() for layer in network.array) == 127


def test_another_leak_is_refused():
    with pytest.raises(ValueError, match=r"leak = 0.25, the hardware has 0.5"):
        quantize(random_ticket(), Config(leak_shift=1))
    with pytest.raises(ValueError, match=r"leak = 0.3, allowed: k / 256"):
        ticket_config(random_ticket(leak=0.3))


@pytest.mark.parametrize("weight_bits", [16, 8, 4])
def test_what_a_shortcut_adds_has_the_neurons_scale(weight_bits):
    """(a), (b) and (c) hold for both convolutions and an identity together, and not one step beyond."""
    config = Config(weight_bits=weight_bits)
    made = random_ticket(4, layers=RESIDUAL, weight_bits=weight_bits)
    network = quantize(made, config)
    limit, bound = 2 ** (weight_bits - 1) - 1, 2**23

    def allowed(host, positions, k, scale):
        rows = [s.float_weight[k][s.mask[k]] for s in host.learned]
        rows += [np.array([0.75]) for _ in host.identities]
        integers = np.maximum(np.abs(np.rint(np.concatenate(rows) * scale)), 1)
        extent = positions * integers.sum() + abs(np.rint(host.float_bias[k] * scale))
        hi = lo = 0
        for _ in range(config.ticks):
            hi, lo = config.neuron.leak(int(hi)) + extent, config.neuron.leak(int(lo)) - extent
        return integers.max() <= limit and hi < bound and lo >= -bound and round(scale) < bound

    for host in network.array:
        if host.threshold is None:
            continue
        positions = 16 if host.name == "fc1" else 1
        for identity in host.identities:
            assert np.array_equal(identity.weight, np.maximum(np.rint(0.75 * host.scale), 1))
        for k, scale in enumerate(host.scale):
            assert allowed(host, positions, k, scale), (host.name, k)
            assert not allowed(host, positions, k, np.nextafter(scale, np.inf)), (host.name, k)
    assert [len(host.learned) for host in network.array].count(2) == 2
    assert sum(len(host.identities) for host in network.array) == 2
