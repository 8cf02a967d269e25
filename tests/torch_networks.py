"""Small networks of the frameworks themselves, weights seeded, for the tests of sw/importers/torch.py."""

from __future__ import annotations

import snntorch
import torch
from spikingjelly.activation_based import layer, neuron
from torch import nn
from torch.nn import functional as F

TICKS = 4


def seeded(module, seed=0, *, grid=True):
    """Weights on a grid of 1/64, so that all sums are exact; or any. Norms as if they were trained."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        for tensor in part.parameters(recurse=False):
            if isinstance(part, nn.Conv2d | nn.Linear):
                drawn = torch.randn(tensor.shape, generator=generator) * 0.3 + (
                    2 / part.in_features if isinstance(part, nn.Linear) else 0.08
                )
                tensor.data = torch.round(drawn * 64) / 64 if grid else drawn
        if isinstance(part, nn.BatchNorm2d):
            shape = part.running_mean.shape
            part.running_mean = torch.randn(shape, generator=generator) * 0.2
            part.running_var = torch.rand(shape, generator=generator) + 0.5
            part.weight.data = torch.rand(shape, generator=generator) + 1.0
            part.bias.data = torch.randn(shape, generator=generator) * 0.5 + 0.7
    return module.eval()


def jelly_vgg():
    """SpikingJelly's form of VGG, multi-step, LIF with tau 2: convolutions, norms, a maximum, a mean, linear."""

    def block(inputs, outputs, stride=1):
        return [
            layer.Conv2d(inputs, outputs, 3, padding=1, stride=stride, bias=False, step_mode="m"),
            layer.BatchNorm2d(outputs, step_mode="m"),
            neuron.LIFNode(tau=2.0, step_mode="m"),
        ]

    return nn.Sequential(
        *block(2, 8), *block(8, 8), layer.MaxPool2d(2, 2, step_mode="m"), *block(8, 12),
        layer.AdaptiveAvgPool2d(1, step_mode="m"), layer.Flatten(step_mode="m"),
        layer.Dropout(0.5, step_mode="m"), layer.Linear(12, 5, step_mode="m"),
        neuron.LIFNode(tau=2.0, step_mode="m"),
    )  # fmt: skip


def jelly_converted():
    """What ann2snn makes: IF neurons with a threshold, means for pools."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), neuron.IFNode(v_threshold=1.5), nn.AvgPool2d(2),
        nn.Conv2d(6, 8, 1), neuron.IFNode(v_threshold=0.75), nn.AvgPool2d(4), nn.Flatten(),
        nn.Linear(8, 4), neuron.IFNode(),
    )  # fmt: skip


def jelly_depthwise():
    """Depthwise and pointwise, tau 4/3, a potential that starts and resets at 0.25."""
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), neuron.LIFNode(tau=4 / 3, v_reset=0.25),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), neuron.LIFNode(tau=4 / 3, v_reset=0.25),
        nn.Conv2d(8, 12, 1), neuron.LIFNode(tau=4 / 3, v_reset=0.25),
        nn.Conv2d(12, 4, 3, stride=2), neuron.LIFNode(tau=4 / 3, v_reset=0.25),
    )  # fmt: skip


class Block(nn.Module):
    """A residual block that adds currents, before its neurons."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.lif1 = neuron.ParametricLIFNode(init_tau=2.0)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.down = None
        if stride > 1:
            self.down = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.lif2 = neuron.ParametricLIFNode(init_tau=2.0)

    def forward(self, x):
        out = self.bn2(self.conv2(self.lif1(self.bn1(self.conv1(x)))))
        out = out + (x if self.down is None else self.down(x))
        return self.lif2(out)


def jelly_resnet():
    """The shape of ResNet-18 at the start and the end, a few channels wide."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4),
        neuron.ParametricLIFNode(init_tau=2.0),
        Block(4, 4, 1), Block(4, 8, 2), Block(8, 8, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5), neuron.ParametricLIFNode(init_tau=2.0),
    )  # fmt: skip


class TorchVgg(nn.Module):
    """As in the tutorials of snnTorch: a loop over ticks in forward, membranes by hand, pools as functions."""

    def __init__(self, reset="zero", beta=0.5):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1)
        self.lif1 = snntorch.Leaky(beta=beta, reset_mechanism=reset)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.lif2 = snntorch.Leaky(beta=beta, reset_mechanism=reset, threshold=0.75)
        self.fc = nn.Linear(8 * 2 * 2, 4)
        self.lif3 = snntorch.Leaky(beta=beta, reset_mechanism=reset)

    def forward(self, x):
        mem1, mem2, mem3 = self.lif1.init_leaky(), self.lif2.init_leaky(), self.lif3.init_leaky()
        spikes, membranes = [], []
        for step in range(TICKS):
            spk1, mem1 = self.lif1(self.conv1(x[step]), mem1)
            spk2, mem2 = self.lif2(self.conv2(F.max_pool2d(spk1, 2)), mem2)
            pooled = F.max_pool2d(spk2, 2)
            spk3, mem3 = self.lif3(self.fc(pooled.flatten(1)), mem3)
            spikes.append(spk3)
            membranes.append(mem3)
        return torch.stack(spikes), torch.stack(membranes)


def torch_mlp():
    """With hidden states, as snnTorch calls them."""
    leaky = {"beta": 0.75, "init_hidden": True, "reset_mechanism": "zero"}
    return nn.Sequential(
        nn.Flatten(), nn.Linear(128, 24), snntorch.Leaky(**leaky), nn.Linear(24, 5),
        snntorch.Leaky(**leaky, output=True),
    )  # fmt: skip


def jelly_soft():
    """Soft resets: IF, and LIF with two leaks."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), neuron.IFNode(v_reset=None),
        nn.Conv2d(6, 8, 3, padding=1), neuron.LIFNode(tau=2.0, v_reset=None),
        nn.Conv2d(8, 4, 3, stride=2), neuron.LIFNode(tau=8.0, v_reset=None, decay_input=False),
    )  # fmt: skip


def torch_default(beta=0.625, **given):
    """The default reset of snnTorch, a subtraction a tick late."""
    leaky = {"beta": beta, "init_hidden": True, **given}
    return nn.Sequential(
        nn.Flatten(), nn.Linear(128, 24), snntorch.Leaky(**leaky), nn.Linear(24, 5),
        snntorch.Leaky(**leaky, output=True),
    )  # fmt: skip


def torch_lossless():
    """The same where nothing leaks."""
    return torch_default(1.0)


def torch_at_once():
    """Resets by subtraction in the tick of the spike."""
    return torch_default(reset_delay=False)
