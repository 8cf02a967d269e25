"""Batch norm, neurons and pooling as one step: against autograd of the definition, and compiled."""

from itertools import product

import pytest
import torch
from torch import nn

from hw.neuron import NEURONS, RESETS, STARTS
from sw import norm_fire
from sw.norm_fire import Fire
from sw.schedule import Output
from tests.soak import times

CHANNELS, TICKS = 6, 3
SHAPE = (TICKS, 4, CHANNELS, 6, 6)


def soft_step(v: torch.Tensor) -> torch.Tensor:
    """1 where v >= 1; arctan / pi stands in for the derivative."""
    soft = torch.atan(torch.pi * (v - 1)) / torch.pi
    return (v >= 1).to(v.dtype) + (soft - soft.detach())


def defined(y, norm, fire, *, added=None):
    """One operation after the other, as the module's docstring has it."""
    current = norm(y.flatten(0, 1)).unflatten(0, y.shape[:2])
    if added is not None:
        current = current + added
    start = 0.5 if fire.neuron.start == "half" and fire.output is Output.SPIKE else 0.0
    v, result = torch.full_like(current[0], start), []
    owed = torch.zeros_like(v)
    for x in current:
        v = (
            fire.neuron.factor * v + fire.neuron.gain * x - owed
            if fire.output is Output.SPIKE
            else x
        )
        # the maximum of the potentials fires first, so pooling before firing gives the same spikes
        top = nn.functional.max_pool2d(v, 2) if fire.pool else v
        if fire.output is Output.SPIKE:
            result.append(soft_step(top))
            owed = (v >= 1).to(v.dtype) if fire.neuron.reset_to == "late" else owed
            v = torch.where(v >= 1, fire.neuron.reset(v, 1.0), v)
        else:
            result.append(top.clamp(0, 1) if fire.output is Output.CLIP else top)
    return torch.stack(result)


def channels_last(y: torch.Tensor) -> torch.Tensor:
    return y.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, y.shape[:2])


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return channels_last(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def norm_of(training: bool) -> nn.BatchNorm2d:
    torch.manual_seed(1)
    norm = nn.BatchNorm2d(CHANNELS).train(training)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.uniform_(0.0, 1.5)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return norm


def results(function, fire, *, with_added, training=True, dtype=torch.float32, y=None):
    """Output, running statistics, and the gradients of a weighted sum of the output."""
    y = drawn(*SHAPE, seed=2) if y is None else y
    y = y.to(dtype).requires_grad_()
    added = drawn(*SHAPE, seed=3).to(dtype).requires_grad_() if with_added else None
    norm = norm_of(training)
    out = function(y, norm, fire, added=added)
    weights = torch.linspace(-1, 1, out.numel()).view(out.shape)
    inputs = [y, norm.weight, norm.bias, *([added] if with_added else [])]
    gradients = torch.autograd.grad((out * weights.to(dtype)).sum(), inputs)
    return [out.detach(), norm.running_mean, norm.running_var, *gradients]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", NEURONS.values())
@pytest.mark.parametrize("pool", [False, True])
def test_every_neuron_is_as_it_says(kind, pool, reset, start):
    fire = Fire(pool=pool, neuron=kind(1, reset, start))
    expected = results(defined, fire, with_added=True)
    found = results(norm_fire.norm_fire, fire, with_added=True)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_level_is_the_least_current_at_which_the_first_tick_fires():
    for kind, start in product(NEURONS.values(), STARTS):
        fire = Fire(neuron=kind(2, "zero", start))
        norm = nn.BatchNorm2d(1).eval()
        currents = torch.tensor([fire.level * 0.999, fire.level * 1.001])
        norm.running_var.fill_(1 - norm.eps)
        spikes = norm_fire.norm_fire(currents.view(1, 2, 1, 1, 1), norm, fire)
        assert spikes.flatten().tolist() == [0, 1]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("with_added", [False, True])
@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("output", Output)
def test_it_is_what_its_parts_are_one_after_the_other(output, pool, with_added, training):
    fire = Fire(output, pool=pool)
    expected = results(defined, fire, with_added=with_added, training=training)
    found = results(norm_fire.norm_fire, fire, with_added=with_added, training=training)
    if output is Output.SPIKE:
        assert 0.1 < found[0].mean() < 0.95
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("output", [Output.SPIKE, Output.CLIP])
def test_the_price_is_of_the_mean_output(output, pool):
    fire, price = Fire(output, pool=pool), 700.0

    inputs = drawn(*SHAPE, seed=2).requires_grad_(), drawn(*SHAPE, seed=3).requires_grad_()
    norm = norm_of(True)
    out = defined(inputs[0], norm, fire, added=inputs[1])
    weights = torch.linspace(-1, 1, out.numel()).view(out.shape)
    parameters = [*inputs, norm.weight, norm.bias]
    expected = torch.autograd.grad((out * weights).sum() + price * out.mean(), parameters)
    again = norm_fire.norm_fire(inputs[0], norm, fire, added=inputs[1], price=price)
    found = torch.autograd.grad((again * weights).sum(), parameters)
    torch.testing.assert_close(again, out)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_sums_that_are_the_same_in_every_tick_count_once():
    """The first layer's: the running variance is that of the image's pixels, not of copies."""
    y = drawn(1, *SHAPE[1:], seed=2).expand(SHAPE)
    expected = results(defined, Fire(), with_added=False, y=y[:1].repeat(TICKS, 1, 1, 1, 1))
    found = results(norm_fire.norm_fire, Fire(), with_added=False, y=y)
    for k in (0, 1, 3, 4, 5):
        torch.testing.assert_close(found[k], expected[k], rtol=1e-4, atol=1e-5)
    flat = y[0].permute(1, 0, 2, 3).flatten(1)
    before = norm_of(True).running_var
    torch.testing.assert_close(found[2], before * 0.9 + flat.var(1) * 0.1)


COMPILED = tuple(product((Output.SPIKE, Output.CLIP), (torch.float32, torch.bfloat16)))
EACH_ONCE = COMPILED[1:3]  # every output, every type: the compiler takes long


@pytest.fixture
def two_threads():
    """As in training: they share the compiled loops. Other tests have one (conftest.py)."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore")  # PyTorch's compiler has its own
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("output", "dtype"), COMPILED if times(1) > 1 else EACH_ONCE)
def test_compiled_it_is_the_same(output, dtype):
    plain, fused = (
        results(norm_fire.norm_fire, Fire(output, pool=True, fused=f), with_added=True, dtype=dtype)
        for f in (False, True)
    )
    assert fused[0].dtype == dtype
    tolerance = (
        {"rtol": 1e-4, "atol": 1e-5} if dtype is torch.float32 else {"rtol": 2e-2, "atol": 2e-2}
    )
    for a, b in zip(plain, fused, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


def test_channels_last_stays():
    found = results(norm_fire.norm_fire, Fire(), with_added=False)
    y = drawn(*SHAPE, seed=2)
    assert found[0].stride() == found[3].stride() == y.stride()


def test_why_layers_are_not_compiled(monkeypatch):
    def broken(*_):
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(norm_fire, "_compiled", broken)
    assert norm_fire.can_fuse(torch.device("cpu")) == "RuntimeError: no compiler"
