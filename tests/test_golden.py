"""The golden model against torch, against definitions one by one, and by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from hw.config import Config
from hw.neuron import NEURONS
from sw import datasets, golden
from sw.layers import IMAGE, LIF, Layer, Pool, conv, linear
from sw.quantize import quantize
from tests.random_networks import (
    random_layer,
    random_spikes,
    random_ticket,
    random_vgg16,
    with_own,
)
from tests.soak import times


@st.composite
def layers(draw) -> Layer:
    channels = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    if draw(st.booleans()):
        kernel = draw(st.sampled_from([1, 3]))
        return conv(
            "layer",
            channels,
            "image",
            kernel=kernel,
            padding=draw(st.integers(0, kernel // 2)),
            stride=draw(st.integers(1, 2)),
            pool=draw(st.sampled_from([None, Pool.MAX2])),
        )
    return linear("fc", channels, "image", neuron=draw(st.sampled_from([None, LIF])))


@st.composite
def cases(draw):
    layer, rng = draw(layers()), np.random.default_rng(draw(st.integers(0, 2**32)))
    config = Config(
        ticks=draw(st.integers(1, 4)),
        leak_mode=draw(st.sampled_from(sorted(NEURONS))),
        leak_shift=draw(st.integers(1, 4)),
        weight_bits=draw(st.sampled_from([4, 8, 16])),
    )
    integer = random_layer(rng, layer, density=draw(st.sampled_from([0.05, 0.5, 1])), config=config)
    sides = (1, 1)
    if layer.own.kernel is not None:
        sides = (draw(st.integers(6, 13)), draw(st.integers(6, 13)))
    spikes = random_spikes(rng, (config.ticks, layer.own.channels, *sides), 0.3)
    return integer, spikes, config


def reference(integer, spikes: np.ndarray, config: Config) -> torch.Tensor:
    """The layer in torch, in int64 where it matters: outputs as golden.run_layer."""
    layer, own = integer.layer, integer.own.source
    x, w = torch.from_numpy(spikes).double(), torch.from_numpy(integer.own.weight).double()
    bias = torch.from_numpy(integer.bias).double()
    if own.kernel is None:
        acc = F.linear(x.flatten(1), w, bias)[:, :, None, None].long()
    else:
        acc = F.conv2d(x, w, bias, stride=own.stride, padding=own.padding).long()
    if integer.threshold is None:
        return acc[:, :, 0, 0]
    outputs = []
    u = torch.zeros_like(acc[0])
    threshold = torch.from_numpy(integer.threshold).view(-1, 1, 1)
    for current in acc:
        fires, u = config.neuron.step(u, current, threshold, torch.where)
        outputs.append(fires.long())
    spikes = torch.stack(outputs)
    if layer.pool:
        spikes = F.max_pool2d(spikes.double(), 2).long()
    return spikes


@given(cases())
@settings(deadline=None, max_examples=times(100))
def test_layer_equals_torch(case):
    integer, spikes, config = case
    result = golden.run_layer(integer, [spikes])
    expected = reference(integer, spikes, config).numpy()
    assert result.output.dtype == (np.int32 if integer.threshold is None else np.uint8)
    assert np.array_equal(result.output, expected)


@given(cases())
@settings(deadline=None, max_examples=times(100))
def test_accumulates_are_counted_one_by_one(case):
    """Against the definition: a step counts where its weight's input spike is 1, padding never."""
    integer, spikes, _ = case
    own = integer.own.source
    result = golden.run_layer(integer, [spikes])
    mask = torch.from_numpy(integer.own.mask).double()
    x = torch.from_numpy(spikes).double()
    if own.kernel is None:
        each = F.linear(x.flatten(1), mask).sum(0)
    else:
        each = F.conv2d(x, mask, stride=own.stride, padding=own.padding).sum((0, 2, 3))
    assert np.array_equal(result.filter_accumulates[own.name], each.numpy())
    assert result.accumulates == int(each.sum())


def test_a_spike_in_the_corner_by_hand():
    """One all-ones 3x3 filter, one spike at (0, 0): four outputs see it, so four accumulates."""
    integer = random_layer(np.random.default_rng(0), conv("layer", (1, 1), "image"))
    ones = np.ones((1, 1, 3, 3), np.int32)
    integer = dataclasses.replace(
        with_own(integer, weight=ones, mask=ones > 0),
        bias=np.array([1]),
        threshold=np.array([2]),
    )
    spikes = np.zeros((2, 1, 4, 4), np.uint8)
    spikes[0, 0, 0, 0] = 1
    result = golden.run_layer(integer, [spikes])
    assert result.accumulates == 4
    expected = np.zeros((2, 1, 4, 4))
    expected[0, 0, :2, :2] = 1  # u = 1 + 1 reaches 2; elsewhere 1, then 0 + 1
    assert np.array_equal(result.output, expected)


def test_negative_potentials_floor():
    layer = linear("hidden", (1, 1), IMAGE, neuron=LIF)
    integer = dataclasses.replace(
        with_own(
            random_layer(np.random.default_rng(0), layer, density=1),
            weight=np.array([[-5]], np.int32),
        ),
        bias=np.array([1]),
        threshold=np.array([0]),
    )
    # u = -4, then (-4 >> 2) + 1 = 0 fires; with u = -5: (-5 >> 2) + 1 = -1 does not (floor, not 0)
    spikes = np.array([1, 0], np.uint8).reshape(2, 1, 1, 1)
    assert golden.run_layer(integer, [spikes]).output.ravel().tolist() == [0, 1]
    lower = with_own(integer, weight=np.array([[-6]], np.int32))
    assert golden.run_layer(lower, [spikes]).output.ravel().tolist() == [0, 0]


def test_sums_beyond_float32_are_exact():
    layer = linear("fc", (2, 1), IMAGE)
    integer = dataclasses.replace(
        with_own(
            random_layer(np.random.default_rng(0), layer, density=1),
            weight=np.array([[2**25, 1]], np.int32),
        ),
        bias=np.array([0]),
    )
    spikes = np.ones((1, 2, 1, 1), np.uint8)
    assert golden.run_layer(integer, [spikes]).output.tolist() == [[2**25 + 1]]


def test_first_layer_equals_torch_and_not_the_batch():
    ticket = random_ticket(7)
    network = quantize(ticket, Config())
    images = np.random.default_rng(2).integers(0, 256, (3, 3, 32, 32), np.uint8)
    spikes = golden.first_layer_spikes(network, images)
    assert spikes.shape == (3, 4, 8, 32, 32)
    assert spikes.dtype == np.uint8
    p = ticket.parameters[0]
    x = torch.from_numpy(datasets.scaled(images, *datasets.STATISTICS["cifar10"]))
    arrays = [torch.from_numpy(a).double() for a in (p.weight, p.bias)]
    current = F.conv2d(x, *arrays, padding=1)
    norm = [torch.from_numpy(a).double() for a in (p.norm.mean, p.norm.var)]
    affine = [torch.from_numpy(a).double() for a in (p.norm.weight, p.norm.bias)]
    current = F.batch_norm(current, *norm, *affine, eps=p.norm.eps)
    v = torch.zeros_like(current)
    for t in range(4):
        v = 0.25 * v + 0.75 * current
        assert np.array_equal(spikes[:, t], (v >= 1).numpy())
        v = v * (v < 1)
    assert 0.05 < spikes.mean() < 0.95
    for i in range(3):
        alone = golden.first_layer_spikes(network, images[i : i + 1])
        assert np.array_equal(alone[0], spikes[i])


def test_vgg16_has_the_shapes_and_activity_of_its_layers():
    network = random_vgg16(1)
    images = np.random.default_rng(3).integers(0, 256, (1, 3, 32, 32), np.uint8)
    results = golden.run(network, golden.first_layer_spikes(network, images)[0])
    assert list(results) == [layer.name for layer in network.layers[1:]]
    assert all(0.01 < r.inputs[name].mean() < 0.6 for name, r in results.items())
    assert results["conv2"].output.shape == (4, 64, 16, 16)
    assert results["conv13"].output.shape == (4, 512, 1, 1)


def test_prediction_takes_the_lowest_index_on_ties():
    assert golden.predict(np.array([[1, 5, 3], [2, 0, 2]], np.int32)) == 1
    assert golden.predict(np.array([[2, 5], [4, 1]], np.int32)) == 0
    assert golden.predict(np.array([[5, 2**30], [5, 2**30]], np.int32)) == 1  # 2^31 in all


def test_wrong_spikes_are_refused():
    network = quantize(random_ticket(), Config())
    with pytest.raises(ValueError, match=r"layer conv2.* cannot take spikes \(4, 9, 32, 32\)"):
        golden.run(network, np.zeros((4, 9, 32, 32), np.uint8))
    with pytest.raises(ValueError, match="images are float64"):
        golden.first_layer_spikes(network, np.zeros((1, 3, 32, 32)))
