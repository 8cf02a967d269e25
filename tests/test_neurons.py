"""LIF neurons for training: against the definition by autograd, and compiled against not compiled."""

import pytest
import torch

from hw.neuron import Shift
from sw import neurons
from sw.neurons import lif


def defined(current: torch.Tensor, leak: float) -> torch.Tensor:
    """Spikes of neurons one tick after the other; arctan / pi stands in for the step's derivative."""
    v, spikes = torch.zeros_like(current[0]), []
    for x in current:
        v = leak * v + (1 - leak) * x
        soft = torch.atan(torch.pi * (v - 1)) / torch.pi
        spikes.append((v >= 1).to(v.dtype) + (soft - soft.detach()))
        v = v * (v < 1)
    return torch.stack(spikes)


def results(function, current: torch.Tensor, **options) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes, and the gradient of a weighted sum of them."""
    x = current.clone().requires_grad_()
    spikes = function(x, **options)
    weights = torch.linspace(-1, 1, spikes.numel()).view(spikes.shape).to(x.dtype)
    (gradient,) = torch.autograd.grad(spikes, x, weights)
    return spikes.detach(), gradient


def currents(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2)) * 2


@pytest.mark.parametrize("shift", [2, 1])
@pytest.mark.parametrize("shape", [(1, 7), (4, 3, 5), (3, 2, 4, 5, 5)])
def test_neurons_are_as_defined(shape, shift):
    current = currents(*shape)
    expected = results(defined, current, leak=0.5**shift)
    found = results(lif, current, neuron=Shift(shift))
    assert 0.1 < found[0].mean() < 0.5
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])


@pytest.mark.filterwarnings("ignore")  # PyTorch's compiler has its own
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_neurons_are_the_same(dtype):
    for shape in [(3, 2, 4, 5, 5), (3, 2, 16, 8, 8)]:
        current = currents(*shape).to(dtype)
        plain, fused = (results(lif, current, fused=f) for f in (False, True))
        assert fused[0].dtype == dtype
        assert torch.equal(plain[0], fused[0])
        torch.testing.assert_close(plain[1], fused[1])


def test_channels_last_stays():
    current = (
        currents(6, 4, 5, 5).contiguous(memory_format=torch.channels_last).unflatten(0, (3, 2))
    )
    spikes, gradient = results(lif, current)
    assert spikes.stride() == gradient.stride() == current.stride()


def test_why_neurons_are_not_compiled(monkeypatch):
    def broken(*_):
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(neurons, "_compiled", broken)
    assert neurons.can_fuse(torch.device("cpu")) == "RuntimeError: no compiler"
