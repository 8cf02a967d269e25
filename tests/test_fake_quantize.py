"""Quantized training: the integers are those that sw/quantize.py makes, the float weights survive."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hw.config import Config
from sim.workload import group_utilization
from sw.balance import filter_nnz
from sw.fake_quantize import fake_quantized, quantized
from sw.quantize import quantize
from tests.random_networks import random_ticket


def rounded(weight, mask, bits, *, classifier=False):
    return fake_quantized(
        torch.tensor(weight), torch.tensor(mask), weight_bits=bits, classifier=classifier
    )


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("seed", range(3))
def test_a_tickets_fake_quantized_weights_are_what_the_hardware_loads(bits, seed):
    """In every filter, with batch norm of either sign folded in, they are the integers over a scale."""
    ticket = random_ticket(seed)
    flipped = [
        replace(p, norm=replace(p.norm, weight=p.norm.weight * np.resize([1, -1], len(p.bias))))
        if p.norm
        else p
        for p in ticket.parameters
    ]
    ticket = replace(ticket, parameters=tuple(flipped))
    network = quantize(ticket, Config(weight_bits=bits))
    for p, integer in zip(ticket.parameters[1:], network.array, strict=True):
        fake = rounded(p.weight, p.mask, bits, classifier=integer.threshold is None).numpy()
        sign = np.sign(integer.float_weight) * np.sign(p.weight)
        filters = len(fake)
        loaded = (integer.weight * sign).reshape(filters, -1)
        rows = np.arange(filters), np.abs(loaded).argmax(1)
        step = fake.reshape(filters, -1)[rows] / np.where(loaded[rows] == 0, 1, loaded[rows])
        np.testing.assert_allclose(fake.reshape(filters, -1), loaded * step[:, None], rtol=1e-6)
        assert np.array_equal(fake != 0, p.mask)


def test_the_scale_is_the_largest_that_fits():
    fake = rounded([[1.5, -0.6, 0.1, 0.01, 9.0]], [[True, True, True, True, False]], 4)
    # 7.5 / 1.5 = 5 integers a unit: 7 (7.5 does not fit), 3, 1 (of 0.5), 1 (of 0.05)
    assert fake[0].tolist() == pytest.approx([7 / 5, -3 / 5, 1 / 5, 1 / 5, 0])


def test_a_classifier_has_one_scale():
    weight, mask = [[1.5, 0.3], [0.3, 0.75]], [[True] * 2] * 2
    assert rounded(weight, mask, 4, classifier=True)[1].tolist() == pytest.approx([0.4, 0.8])
    assert rounded(weight, mask, 4)[1].tolist() == pytest.approx([0.3, 0.7])


def test_empty_filters_and_zeros_in_the_mask():
    assert rounded([[0.5, 0.2]], [[False, False]], 4).tolist() == [[0, 0]]
    assert rounded([[0.0, 0.0]], [[True, False]], 4).tolist() == [[0, 0]]
    assert rounded([[0.0, 0.75]], [[True, True]], 4)[0].tolist() == pytest.approx([0.1, 0.7])


def test_the_gradient_goes_straight_through():
    mask = {"a": torch.tensor([[True, True, False]])}
    weight = torch.nn.Parameter(torch.tensor([[1.5, 0.31, 0.7]]))
    before = weight.detach().clone()
    with quantized({"a": weight}, mask, weight_bits=4):
        seen = weight.detach().clone()
        (weight.square().sum() / 2).backward()
    assert torch.equal(weight, before)
    assert seen[0].tolist() == pytest.approx([1.4, 0.4, 0])
    assert torch.equal(weight.grad, seen)  # d(w^2 / 2) = w, at the quantized weights


def test_an_error_inside_leaves_the_weights():
    weight = torch.nn.Parameter(torch.tensor([[1.5, 0.3]]))
    with (
        pytest.raises(KeyboardInterrupt),
        quantized({"a": weight}, {"a": torch.ones(1, 2).bool()}, weight_bits=8),
    ):
        raise KeyboardInterrupt
    assert weight[0].tolist() == pytest.approx([1.5, 0.3])


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_what_was_balanced_is_balanced_when_it_is_loaded(bits):
    """Rounded to 4 bits, some weights are below half a step; none is lost."""
    ticket = random_ticket(3, policy="random", n_pe=4)
    lost = 0
    for integer in quantize(ticket, Config(weight_bits=bits)).array:
        nnz = filter_nnz(integer.weight)
        for start in range(0, len(nnz), 4):
            group = nnz[start : start + 4]
            assert len(set(group.tolist())) == 1, integer.layer.name
            assert len(group) < 4 or group_utilization(group.tolist(), 4) == 1
        step = integer.scale.reshape(-1, *[1] * (integer.weight.ndim - 1))
        lost += int(np.count_nonzero(np.rint(integer.float_weight * step)[integer.mask] == 0))
    assert (lost > 100) == (bits == 4)
