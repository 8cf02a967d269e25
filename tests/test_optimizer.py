"""The optimizer: orthogonalized steps for convolutions, PyTorch's SGD for the rest; and the start they need."""

from dataclasses import replace

import pytest
import torch

from sw import optimizer
from sw.layers import IMAGE, Pool, conv, linear
from sw.model import HANDED_ON, SpikingNetwork
from sw.schedule import Output, Round, Schedule

ROUND = Round(keep=1.0, images=64, ticks=1, learning_rate=0.05, orthogonal=0.02)
SCHEDULE = Schedule(dense=(ROUND,), pruned=(), classifier_rate=0.1)
LAYERS = (
    conv("conv1", (3, 16), IMAGE, pool=Pool.MAX2),
    conv("conv2", (16, 32), "conv1", pool=Pool.MAX2),
    conv("conv3", (32, 24), "conv2"),
    linear("fc", (24, 10), "conv3"),
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SpikingNetwork(LAYERS)


def with_gradients(network):
    torch.manual_seed(1)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)


@pytest.mark.parametrize("shape", [(8, 27), (27, 8), (16, 16), (1, 9)])
def test_singular_values_are_about_one(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape) * torch.logspace(-1, 1, shape[1])
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = optimizer.orthogonalized(matrix).float()
    inner = u.T @ found @ v.T  # diagonal where the singular vectors are kept
    assert inner.diag().max() < 1.3
    assert inner.diag()[: len(inner) // 2 + 1].min() > 0.5  # small ones have not all arrived
    assert (inner - inner.diag().diag()).abs().max() < 0.05


def test_convolutions_move_by_the_rate_and_keep_their_norm(network):
    with_gradients(network)
    steps = optimizer.new(network, SCHEDULE, ROUND)
    for group in steps.param_groups:
        group["lr"] = group["share"] * 0.05
    inner = [w for n, w in network.prunable.items() if w.ndim == 4]
    before = [w.detach() * (len(w) ** 0.5 / w.detach().norm()) for w in inner]
    steps.step()
    for old, new in zip(before, inner, strict=True):
        share = (new.detach() - old).norm() / len(new) ** 0.5
        assert 0.5 * 0.02 < share < 1.2 * 0.02  # a step of `orthogonal`, of the weights' norm
        assert new.grad is not None


def test_all_else_moves_as_by_sgd(network):
    """First layer, norms and classifier: PyTorch's SGD, the classifier at its share of the rate."""
    with_gradients(network)
    steps = optimizer.new(network, SCHEDULE, ROUND)
    inner = {id(w) for w in network.prunable.values() if w.ndim == 4}
    rest = [p for p in network.parameters() if id(p) not in inner]
    last = {id(p) for p in network.weights[network.layers[-1].name].parameters()}
    expected = []
    for parameter in rest:
        twin = parameter.detach().clone().requires_grad_()
        twin.grad = parameter.grad.clone()
        rate = 0.05 * (0.1 if id(parameter) in last else 1.0)
        decay = SCHEDULE.weight_decay if parameter.ndim > 1 else 0.0
        torch.optim.SGD([twin], lr=rate, momentum=0.9, nesterov=True, weight_decay=decay).step()
        expected.append(twin)
    for group in steps.param_groups:
        group["lr"] = group["share"] * 0.05
    steps.step()
    for parameter, twin in zip(rest, expected, strict=True):
        assert torch.equal(parameter, twin)


def test_a_pruned_round_takes_no_orthogonalized_steps():
    with pytest.raises(ValueError, match=r"orthogonalized steps at keep 0.5; allowed: at keep 1"):
        Round(keep=0.5, images=1, ticks=1, learning_rate=0.1, orthogonal=0.1)


def test_a_new_network_without_spikes_cuts_little():
    """Few outputs of any layer are cut to 1, and a filter hands on its channel."""
    torch.manual_seed(0)
    network = SpikingNetwork([replace(layer, pool=None) for layer in LAYERS])
    images = torch.randn(1000, 3, 1, 1)

    def cut():
        shares = []
        hooks = [
            w.register_forward_pre_hook(
                lambda _, x: shares.append((x[0] == 1).float().mean().item())
            )
            for n, w in network.weights.items()
            if n != network.layers[0].name
        ]
        network.train()(images, 1, Output.CLIP)
        for hook in hooks:
            hook.remove()
        return max(shares)

    assert cut() > 0.15
    network.start_without_spikes()
    assert cut() < 0.1
    for weight in network.prunable.values():
        if weight.ndim == 4:
            k = torch.arange(len(weight))
            handed = weight[k, k % weight.shape[1], 1, 1].square().sum() / weight.square().sum()
            assert abs(handed - HANDED_ON) < 0.1
