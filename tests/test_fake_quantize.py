"""Quantized training: the integers are those that sw/quantize.py makes, the float weights survive."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hw.config import Config
from sim.models.workload import group_utilization
from sw.balance import filter_nnz
from sw.fake_quantize import quantized
from sw.layers import IMAGE, Pool, Reduce, conv, identity, linear
from sw.model import SpikingNetwork
from sw.quantize import quantize
from tests.random_networks import SMALL, random_ticket, shortcut

RESIDUAL = (
    conv("conv1", (3, 8), IMAGE, pool=Pool.MAX2),
    conv("conv2", (8, 8), "conv1"),
    conv("conv3", (8, 8), "conv2", more=(identity("conv3_identity", "conv1", 8),)),
    conv("conv4", (8, 12), "conv3", stride=2),
    conv("conv5", (12, 12), "conv4", more=(shortcut("side", 8, "conv3", stride=2),)),
    conv("fc1", (12, 16), "conv5", kernel=1, reduce=Reduce.MEAN),
    linear("fc2", (16, 10), "fc1"),
)


def network_of(ticket) -> tuple[SpikingNetwork, dict[str, torch.Tensor]]:
    """A ticket's weights and norms in a network that trains, and its masks."""
    network = SpikingNetwork(ticket.network.layers)
    with torch.no_grad():
        for p in ticket.parameters:
            network.weights[p.name].weight.copy_(torch.from_numpy(p.weight))
            if p.norm is not None:
                norm = network.norms[p.name]
                norm.weight.copy_(torch.from_numpy(p.norm.weight))
                norm.running_var.copy_(torch.from_numpy(p.norm.var))
    return network, {name: torch.from_numpy(mask) for name, mask in ticket.masks.items()}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("seed", "layers"), [(0, SMALL), (1, SMALL), (2, RESIDUAL), (3, RESIDUAL)])
def test_the_weights_seen_are_the_integers_that_the_hardware_loads(bits, seed, layers):
    """Batch norm of either sign, shortcuts that share a filter's scale: a filter is its integers."""
    ticket = random_ticket(seed, layers=layers)
    signs = [np.resize([1, -1], len(p.bias)) for p in ticket.parameters]
    flipped = tuple(
        replace(p, norm=replace(p.norm, weight=p.norm.weight * sign)) if p.norm else p
        for p, sign in zip(ticket.parameters, signs, strict=True)
    )
    ticket = replace(ticket, parameters=flipped)
    loaded = quantize(ticket, Config(weight_bits=bits))
    network, masks = network_of(ticket)
    with quantized(network, masks, weight_bits=bits):
        seen = {name: w.detach().numpy().copy() for name, w in network.prunable.items()}
    sources = [(layer, source) for layer in loaded.array for source in layer.learned]
    for p, sign, (layer, integer) in zip(ticket.array, signs[1:], sources, strict=True):
        assert p.name == integer.name
        rows = integer.weight.reshape(len(p.bias), -1)
        fake = seen[p.name].reshape(rows.shape) * (sign[:, None] if p.norm else 1)
        # Folded as the weights are, by filter, they are the integers over their scale.
        folded = integer.float_weight.reshape(rows.shape)
        raw = p.weight.reshape(rows.shape) * (sign[:, None] if p.norm else 1)
        largest = np.arange(len(rows)), np.abs(raw).argmax(1)
        factor = folded[largest] / np.where(raw[largest] == 0, 1, raw[largest])
        expected = rows / layer.scale[:, None]
        np.testing.assert_allclose(fake * factor[:, None], expected, rtol=1e-5)
        assert np.array_equal(fake.reshape(p.mask.shape) != 0, p.mask)


def tiny(filters, classifier, *, masks=None):
    """A network whose 1x1 convolution and classifier have these weights (lists of rows)."""
    weights = {"conv2": torch.tensor(filters), "fc": torch.tensor(classifier)}
    channels = weights["conv2"].shape[1]
    network = SpikingNetwork(
        (
            conv("conv1", (1, channels), IMAGE),
            conv("conv2", (channels, len(filters)), "conv1", kernel=1),
            linear("fc", (len(classifier[0]), len(classifier)), "conv2"),
        )
    )
    with torch.no_grad():
        for name, w in network.prunable.items():
            w.copy_(weights[name].view(w.shape))
    found = {name: torch.ones_like(w).bool() for name, w in network.prunable.items()}
    for name, mask in (masks or {}).items():
        found[name] = torch.tensor(mask).view(found[name].shape)
    return network, found


def seen(network, masks, bits=4) -> dict[str, list]:
    with quantized(network, masks, weight_bits=bits):
        return {n: w.detach().flatten(1).tolist() for n, w in network.prunable.items()}


def test_the_scale_is_the_largest_that_fits():
    mask = {"conv2": [[True, True, True, True, False]]}
    network, masks = tiny([[1.5, -0.6, 0.1, 0.01, 9.0]], [[1.0]], masks=mask)
    # 7.5 / 1.5 = 5 integers a unit: 7 (7.5 does not fit), -3, 1 (of 0.5), 1 (of 0.05)
    assert seen(network, masks)["conv2"][0] == pytest.approx([7 / 5, -3 / 5, 1 / 5, 1 / 5, 0])


def test_a_classifier_has_one_scale_and_a_convolution_one_a_filter():
    rows = [[1.5, 0.3], [0.3, 0.75]]
    found = seen(*tiny(rows, rows))
    assert found["fc"][1] == pytest.approx([0.4, 0.8])
    assert found["conv2"][1] == pytest.approx([0.3, 0.7])


def test_empty_filters_and_zeros_in_the_mask():
    mask = {"conv2": [[False, False], [True, False], [True, True]]}
    network, masks = tiny([[0.5, 0.2], [0.0, 0.0], [0.0, 0.75]], [[1.0] * 3], masks=mask)
    assert seen(network, masks)["conv2"][:2] == [[0, 0], [0, 0]]
    assert seen(network, masks)["conv2"][2] == pytest.approx([0.1, 0.7])


def test_the_gradient_goes_straight_through():
    mask = {"conv2": [[True, True, False]]}
    network, masks = tiny([[1.5, 0.31, 0.7]], [[1.0]], masks=mask)
    weight = network.prunable["conv2"]
    before = weight.detach().clone()
    with quantized(network, masks, weight_bits=4):
        inside = weight.detach().clone()
        (weight.square().sum() / 2).backward()
    assert torch.equal(weight, before)
    assert inside.flatten().tolist() == pytest.approx([1.4, 0.4, 0])
    assert torch.equal(weight.grad, inside)  # d(w^2 / 2) = w, at the quantized weights


def test_an_error_inside_leaves_the_weights():
    network, masks = tiny([[1.5, 0.3]], [[1.0]])
    with pytest.raises(KeyboardInterrupt), quantized(network, masks, weight_bits=8):
        raise KeyboardInterrupt
    assert network.prunable["conv2"].flatten().tolist() == pytest.approx([1.5, 0.3])


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_what_was_balanced_is_balanced_when_it_is_loaded(bits):
    """Rounded to 4 bits, some weights are below half a step; none is lost."""
    ticket = random_ticket(3, policy="random", n_pe=4)
    lost = 0
    for integer in quantize(ticket, Config(weight_bits=bits)).array:
        own = integer.own
        nnz = filter_nnz(own.weight)
        for start in range(0, len(nnz), 4):
            group = nnz[start : start + 4]
            assert len(set(group.tolist())) == 1, integer.name
            assert len(group) < 4 or group_utilization(group.tolist(), 4) == 1
        step = integer.scale.reshape(-1, *[1] * (own.weight.ndim - 1))
        lost += int(np.count_nonzero(np.rint(own.float_weight * step)[own.mask] == 0))
    assert (lost > 100) == (bits == 4)
