"""Convolutions of small maps as matrix products: equal to PyTorch's own."""

import pytest
import torch
from torch.nn import functional as F

from sw.convolution import Convolution


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0)]
)
@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 8, 9])
def test_every_size_is_a_convolution(side, kernel, stride, padding):
    rng = torch.Generator().manual_seed(side)
    layer = Convolution(5, 7, (kernel, kernel), stride, padding)
    assert layer.bias is None
    x = torch.randint(0, 2, (3, 5, side, side), generator=rng).float()
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    same = x.detach().clone().requires_grad_()
    weight = layer.weight.detach().clone().requires_grad_()
    found, expected = layer(x), F.conv2d(same, weight, None, stride, padding)
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
    grad = torch.randn(expected.shape, generator=rng)
    found.backward(grad)
    expected.backward(grad)
    torch.testing.assert_close(x.grad, same.grad)
    torch.testing.assert_close(layer.weight.grad, weight.grad)


def test_under_autocast_it_computes_in_bfloat16():
    layer = Convolution(8, 8, (3, 3), 1, 1)
    x = torch.rand(2, 8, 4, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(
        found.float(), F.conv2d(x, layer.weight, padding=1), rtol=0.05, atol=0.05
    )
    found.float().sum().backward()
    assert x.grad.dtype == layer.weight.grad.dtype == torch.float32
