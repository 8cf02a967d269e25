"""Sparse products of pruned convolutions in training: those of PyTorch, of the present weights alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from support.errors import BadInput
from sw import convolution, sparse_convolution
from sw.convolution import Convolution
from sw.masked import MaskedWeights
from sw.model import SpikingNetwork
from sw.networks import build
from sw.sparse_convolution import DENSE, Present


def layer(filters, channels, kernel, share, seed=0):
    """Weights (K, C, R, R) as a network has them, and the mask of those that are present."""
    draw = torch.Generator().manual_seed(seed)
    shape = filters, channels, kernel, kernel
    mask = torch.rand(shape, generator=draw) < share
    weight = torch.randn(shape, generator=draw) * mask
    return weight.contiguous(memory_format=torch.channels_last).requires_grad_(), mask


def maps(batch, channels, height, width, dtype=torch.float32, seed=1):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, channels, height, width, generator=draw)
    return x.contiguous(memory_format=torch.channels_last).to(dtype)


def products(convolve, x, weight, outer):
    """Sums, gradient of the input, gradient of the weights."""
    x = x.clone().requires_grad_()
    weight.grad = None
    sums = convolve(x, weight)
    sums.backward(outer)
    return sums.detach(), x.grad, weight.grad


def agree(found, expected, dtype):
    """To the roundings of float32 sums, or of bfloat16 values."""
    near = 1e-5 if dtype is torch.float32 else 2**-8
    scale = expected.abs().max().clamp(min=1e-3)
    assert found.dtype in (dtype, torch.float32)
    assert (found.float() - expected).abs().max() <= near * scale


@settings(max_examples=60, deadline=None)
@given(
    batch=st.sampled_from((1, 3, 16, 17, 32, 40)),
    channels=st.integers(1, 36),
    filters=st.integers(1, 36),
    height=st.integers(1, 11),
    width=st.integers(1, 18),
    kernel=st.sampled_from((1, 3, 5)),
    share=st.sampled_from((0.0, 0.02, 0.2, 0.6, 1.0)),
    dtype=st.sampled_from((torch.float32, torch.bfloat16)),
)
def test_products_are_those_of_pytorch(
    batch, channels, filters, height, width, kernel, share, dtype
):
    weight, mask = layer(filters, channels, kernel, share)
    x, outer = maps(batch, channels, height, width, dtype), maps(batch, filters, height, width)
    outer = outer.to(dtype)
    expected = products(
        lambda x, w: F.conv2d(x, w, padding=kernel // 2), x.float(), weight, outer.float()
    )
    present = Present(mask)
    found = products(lambda x, w: present.convolve(x, w, dtype), x, weight, outer)
    agree(found[0], expected[0], dtype)
    agree(found[1], expected[1], dtype)
    agree(found[2], expected[2] * mask, torch.float32)
    assert not found[2][~mask].any()


@pytest.mark.parametrize("side", [32, 16, 8, 4, 2])
def test_products_of_the_sides_of_vgg(side):
    """Tiles of all shapes, chunks of channels, several blocks of images."""
    weight, mask = layer(40, 36, 3, 0.15)
    x, outer = maps(48, 36, side, side), maps(48, 40, side, side)
    expected = products(lambda x, w: F.conv2d(x, w, padding=1), x, weight, outer)
    found = products(lambda x, w: Present(mask).convolve(x, w, torch.float32), x, weight, outer)
    for one, other in zip(found, (*expected[:2], expected[2] * mask), strict=True):
        agree(one, other, torch.float32)


def test_sums_and_gradients_do_not_depend_on_threads():
    weight, mask = layer(20, 24, 3, 0.3)
    x, outer = maps(70, 24, 8, 8), maps(70, 20, 8, 8)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 9):
            torch.set_num_threads(count)
            results.append(
                products(lambda x, w: Present(mask).convolve(x, w, x.dtype), x, weight, outer)
            )
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert torch.equal(other[0], results[0][0])
        assert torch.equal(other[1], results[0][1])
        agree(other[2], results[0][2], torch.float32)  # added in another order


def test_no_gradient_of_an_input_that_needs_none():
    weight, mask = layer(8, 4, 3, 0.5)
    x = maps(16, 4, 8, 8)
    Present(mask).convolve(x, weight, torch.float32).sum().backward()
    reference = torch.autograd.grad(F.conv2d(x, weight, padding=1).sum(), weight)[0]
    agree(weight.grad, reference * mask, torch.float32)


@pytest.mark.parametrize(
    ("arguments", "share", "sparse"),
    [
        ({"kernel": (3, 3), "stride": 1, "padding": 1}, DENSE / 2, True),
        ({"kernel": (1, 1), "stride": 1, "padding": 0}, DENSE / 2, True),
        ({"kernel": (3, 3), "stride": 1, "padding": 1}, DENSE * 1.5, False),
        ({"kernel": (3, 3), "stride": 2, "padding": 1}, DENSE / 2, False),
        ({"kernel": (3, 3), "stride": 1, "padding": 0}, DENSE / 2, False),
        ({"kernel": (3, 1), "stride": 1, "padding": (1, 0)}, DENSE / 2, False),
        ({"kernel": (3, 3), "stride": 1, "padding": 1, "groups": 4}, DENSE / 2, False),
    ],
)
def test_what_cannot_be_sparse_or_does_not_pay_stays_dense(arguments, share, sparse):
    module = Convolution(16, 32, **arguments).to(memory_format=torch.channels_last)
    mask = torch.rand(module.weight.shape, generator=torch.Generator().manual_seed(0)) < share
    with torch.no_grad():
        module.weight.mul_(mask)
    x = maps(16, 16, 8, 8)
    dense = module(x)
    module.keep_only(mask)
    assert (module.present is not None) == sparse
    torch.testing.assert_close(module(x), dense, atol=1e-5, rtol=1e-4)


def test_masks_of_a_network_reach_its_convolutions():
    network = SpikingNetwork(build("vgg16"))
    kept = MaskedWeights(network, torch.device("cpu"))
    assert network.weights["conv9"].present is None
    draw = torch.Generator().manual_seed(0)
    kept.masks = {n: torch.rand(m.shape, generator=draw) < 0.05 for n, m in kept.masks.items()}
    assert len(network.weights["conv9"].present.index) == kept.masks["conv9"].sum()
    kept.masks = {n: torch.ones_like(m) for n, m in kept.masks.items()}
    assert network.weights["conv9"].present is None


def test_without_a_compiler_pruned_weights_are_multiplied_as_zeros(monkeypatch):
    def refused(*_, **__):
        raise BadInput("g++ is missing")

    for cached in (sparse_convolution._products, sparse_convolution.cannot):
        cached.cache_clear()
    monkeypatch.setattr(sparse_convolution, "library", refused)
    try:
        assert convolution.cannot() == "g++ is missing"
        module = Convolution(4, 4, (3, 3), 1, 1)
        module.keep_only(torch.zeros(4, 4, 3, 3, dtype=torch.bool))
        assert module.present is None
    finally:
        for cached in (sparse_convolution._products, sparse_convolution.cannot):
            cached.cache_clear()
