"""Each pass keeps what the golden model says of the one before it."""

from dataclasses import replace

import numpy as np
import pytest

from hw.config import PRESETS, Config
from sw import golden, wsp
from sw.compile import encode
from sw.floats import FLOAT_PASSES, fold_norm, fuse_shortcut, read, spread_groups
from sw.layers import IMAGE, Encoding, Input, Network, Pool, Reduce, conv, linear
from sw.lowering import finish, together
from sw.order import order_filters, sort_orders
from sw.placement import place
from sw.quantize import quantize, quantize_network, quantizing
from sw.ticket import Norm, Parameters, Ticket
from sw.trained_neuron import TrainedNeuron
from tests import golden_floats
from tests.random_networks import RESIDUAL, random_spikes, random_ticket

ODD = TrainedNeuron(leak=0.25, gain=2.0, threshold=1.5)
GROUPED = (
    conv("wide", (6, 12), IMAGE, groups=3, neuron=ODD),
    conv("depth", (12, 12), "wide", groups=12, pool=Pool.MAX2, neuron=ODD),
    conv(
        "mean", (12, 8), "depth", kernel=1, reduce=Reduce.MEAN, neuron=replace(ODD, threshold=0.3)
    ),
    linear("out", (8, 5), "mean", neuron=ODD),
)


def grouped_ticket() -> Ticket:
    """Groups, norms or none, thresholds, a mean, spikes in and spikes out."""
    rng = np.random.default_rng(1)
    network = Network(input=Input(shape=(6, 8, 8), encoding=Encoding.SPIKES), layers=GROUPED)
    parameters = []
    for layer, source in network.sources():
        shape = source.weight_shape(layer.filters)
        weight = rng.normal(0.2, 1, shape).astype(np.float32)
        numbers = [rng.uniform(0.5, 1.5, layer.filters).astype(np.float32) for _ in range(4)]
        norm = Norm(*numbers, eps=1e-5) if layer.name in ("wide", "mean") else None
        bias = rng.normal(0, 0.3, layer.filters).astype(np.float32)
        mask = rng.random(shape) < 0.7
        parameters.append(Parameters(layer, source, weight * mask, mask, bias, norm))
    return Ticket({"ticks": 4, "weight_bits": 16}, network, tuple(parameters), {}, {})


TICKETS = {
    "residual": lambda: random_ticket(4, layers=RESIDUAL),
    "grouped": grouped_ticket,
}


def spikes_for(ticket):
    network = quantize(ticket, Config())
    shape = network.description.shapes()[network.first_map]
    return random_spikes(
        np.random.default_rng(2), (4, shape.channels, shape.height, shape.width), 0.3
    )


@pytest.fixture(params=TICKETS)
def ticket(request):
    return TICKETS[request.param]()


def test_float_passes_change_no_spike(ticket):
    spikes = spikes_for(ticket)
    network = read(ticket)
    before = golden_floats.run(network, spikes)
    assert all(0.01 < out.mean() < 0.99 for out in before.values() if out.dtype == np.uint8)
    for one in FLOAT_PASSES:
        network = one(network)
        after = golden_floats.run(network, spikes)
        for name, out in before.items():
            np.testing.assert_allclose(after[name], out, rtol=1e-9, atol=1e-9, err_msg=name)
        before = after


def test_each_float_pass_does_what_its_name_says(ticket):
    network = read(ticket)
    for one in fold_norm(network).layers:
        assert all(part.norm is None for part in one.sources)
        assert one.layer.neuron is None or one.layer.neuron.scale == 1
        assert one.layer.reduce is not Reduce.MEAN
    for one in fuse_shortcut(network).layers:
        assert not any(part.bias.any() for part in one.sources[1:])
    for one, old in zip(spread_groups(network).layers, network.layers, strict=True):
        for part, given in zip(one.sources, old.sources, strict=True):
            assert part.source.groups == 1
            assert np.count_nonzero(part.mask) == np.count_nonzero(given.mask)
            assert part.parameters == given.parameters
            assert part.weight.shape == part.source.weight_shape(one.layer.filters) or (
                part.source.identity
            )


def test_integers_fire_as_the_floats_do(ticket):
    """Each layer from the same input: rounding moves few neurons across their threshold."""
    network = read(ticket)
    for one in FLOAT_PASSES:
        network = one(network)
    integers = quantize_network(network, Config())
    spikes = spikes_for(ticket)
    found = golden.run(integers, spikes)
    floats = {one.layer.name: one for one in network.layers}
    for integer in integers.array:
        given = [found[integer.name].inputs[part.name] for part in integer.sources]
        expected = golden_floats.run_layer(floats[integer.name], given)
        if integer.threshold is not None:
            assert np.mean(found[integer.name].output != expected) < 2e-3, integer.name
        else:
            sums = expected.reshape(expected.shape[:2]) * integer.scale
            np.testing.assert_allclose(found[integer.name].output, sums, atol=40)


def test_ordered_filters_compute_the_same_in_another_order(ticket):
    network = quantize(ticket, Config())
    spikes = spikes_for(ticket)
    ordered = order_filters(network, sort_orders(network))
    before = golden.run(network, spikes)
    after = golden.run(replace(network, array=ordered.loaded), spikes)
    moved = 0
    for name, order in ordered.orders.items():
        assert np.array_equal(after[name].output, before[name].output[:, order]), name
        moved += not np.array_equal(order, np.arange(len(order)))
    assert moved


def test_the_encoded_program_holds_the_ordered_network():
    """Decoded word for word: weights of all sources, biases, thresholds."""
    network = quantize(random_ticket(4, layers=RESIDUAL), Config())
    ordered = order_filters(network, sort_orders(network))
    program = encode(place(ordered, Config()), Config())
    for layer, loaded in zip(program.layers, ordered.loaded, strict=True):
        kernel = loaded.own.source.kernel or (1, 1)
        channels = sum(part.source.channels for part in loaded.sources)
        for segment in layer.segments:
            for pe, words in enumerate(segment.words):
                k = segment.group * 16 + pe
                if k >= len(layer.order):
                    assert not len(words)
                    continue
                weights, _ = wsp.decode(words, (channels, *kernel))
                at = 0
                for part in loaded.sources:
                    mine = weights[at : at + part.source.channels]
                    at += part.source.channels
                    if part.source.identity:
                        assert np.flatnonzero(mine).size == 1
                        assert (
                            mine[part.channels[k], kernel[0] // 2, kernel[1] // 2] == part.weight[k]
                        )
                    elif part.source.kernel == kernel or part.source.kernel is None:
                        assert np.array_equal(mine, part.weight[k].reshape(mine.shape))
                    else:
                        centre = mine[:, kernel[0] // 2, kernel[1] // 2]
                        assert np.array_equal(centre, part.weight[k][:, 0, 0])
                        assert np.count_nonzero(mine) == np.count_nonzero(centre)


def test_passes_are_told_one_by_one():
    told = []
    tickets = [random_ticket(seed) for seed in (1, 2)]
    several = together([quantizing(t, PRESETS["paper"]) for t in tickets], told.append)
    assert told == [
        *(one.__name__.replace("_", " ") for one in FLOAT_PASSES),
        "quantize to 16 bits",
    ]
    assert {"fold norm", "fuse shortcut", "spread groups"} <= set(told)
    alone = [finish(quantizing(t, PRESETS["paper"])) for t in tickets]
    for one, other in zip(several, alone, strict=True):
        for layer, same in zip(one.array, other.array, strict=True):
            assert np.array_equal(layer.own.weight, same.own.weight)


def test_networks_of_other_lengths_come_back_in_their_order():
    def passes(number):
        for step in range(number):
            yield f"step {step}"
        return number

    told = []
    assert together([passes(n) for n in (2, 0, 3, 1)], told.append) == [2, 0, 3, 1]
    assert told == ["step 0", "step 1", "step 2"]
