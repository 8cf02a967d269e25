"""Eight networks that the frameworks make, of real shapes and few channels, seeded: for tests/test_zoo.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sinabs.layers
import snntorch
import torch
from sinabs.activation import SingleSpike
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn
from torch.nn import functional as F

from sw.importers import live
from sw.importers.graph import Options
from sw.importers.torch import from_module


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A network, what it takes, and how often its integers fire as its framework does."""

    make: Callable[[], nn.Module]
    shape: tuple[int, int, int]
    ticks: int
    spikes: bool = False  # it takes frames for each tick; else images
    share: float = 0.999  # of spikes that are equal, at least
    mean: float = 0.0  # of currents, and their deviation
    deviation: float = 1.0
    exact_norms: bool = False  # batch norms shift by multiples of a power of two, and scale by 1
    sparsity: float = 0.0  # of each layer after the first, by magnitude

    def images(self, count: int, seed: int = 0) -> np.ndarray:
        """uint8 (N, C, H, W), or frames of 0 and 1, (N, T, C, H, W): blobs, so that neighbours are alike."""
        rng = np.random.default_rng(seed)
        size = (count, self.ticks, *self.shape) if self.spikes else (count, *self.shape)
        noise = torch.tensor(rng.normal(size=size), dtype=torch.float32)
        if self.spikes:  # what is there stays for some ticks
            noise = noise.cumsum(1) / torch.arange(1, self.ticks + 1).reshape(-1, 1, 1, 1) ** 0.5
        if min(self.shape[1:]) > 4:
            noise = F.avg_pool2d(noise.flatten(0, -4), 5, 1, 2).reshape(size)
        noise = (noise / noise.std()).numpy()
        if self.spikes:
            return (noise > 1.2).astype(np.uint8)
        return np.clip(100 * noise, 0, 255).astype(np.uint8)

    @property
    def options(self) -> Options:
        """Of its import."""
        return Options(shape=self.shape, ticks=self.ticks, spikes=self.spikes)

    def module(self) -> nn.Module:
        """The framework's, its weights drawn; see `settled`."""
        return settled(self, self.make())


GRID = 1 << 10  # weights without a norm behind them are multiples of one part of it


def settled(entry: Entry, module: nn.Module) -> nn.Module:
    """Weights drawn, and scaled in one pass over images so that every layer's currents have the entry's mean and deviation.

    By batch norms, where convolutions have them, which take their statistics; else by the weights, on a grid.
    """
    generator = torch.Generator().manual_seed(1)
    known = from_module(module, entry.options).live
    assert known is not None
    normed = any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
    hooks, drawn_before = [], False
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.train()
            part.momentum = None  # all ticks count the same
            nn.init.constant_(part.weight, entry.deviation)
            nn.init.constant_(part.bias, entry.mean)
        if isinstance(part, nn.Conv2d | nn.Linear):
            fan_in = part.weight[0].numel()
            drawn = torch.randn(part.weight.shape, generator=generator) / fan_in**0.5
            if entry.sparsity and drawn_before:
                limit = np.quantile(drawn.abs().numpy(), entry.sparsity)
                drawn *= drawn.abs() > limit
            drawn_before = True
            part.weight.data = drawn
            if part.bias is not None:
                nn.init.constant_(part.bias, 0)
            if not normed or isinstance(part, nn.Linear):
                hooks.append(part.register_forward_hook(scaling(entry)))
    images = entry.images(4, seed=1)
    x = torch.tensor(images if entry.spikes else images / 255, dtype=torch.float32)
    with torch.no_grad():
        live.reset(module, len(images), entry.ticks)
        live.feed(module, known, x, entry.ticks)
    for hook in hooks:
        hook.remove()
    if entry.exact_norms:
        parts = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.BatchNorm2d)]
        for conv, norm in zip(parts[::2], parts[1::2], strict=True):
            into_weights(conv, norm)
    return module.eval()


def into_weights(conv: nn.Module, norm: nn.Module) -> None:
    """What a norm scales by goes into the convolution before it; weights and shifts are rounded to the grid."""
    factor = norm.weight.data / (norm.running_var + norm.eps).sqrt()
    conv.weight.data = torch.round(conv.weight * factor.reshape(-1, 1, 1, 1) * GRID) / GRID
    norm.running_mean = torch.round(norm.running_mean * factor * GRID) / GRID
    norm.eps = 2.0**-10
    nn.init.constant_(norm.running_var, 1 - norm.eps)
    nn.init.constant_(norm.weight, 1)


def scaling(entry: Entry) -> Callable:
    """A hook that scales a layer's weights: no tick's currents have a larger deviation than the entry's, by a tenth."""
    done: list[bool] = []

    def hook(part: nn.Module, _: Any, out: torch.Tensor) -> torch.Tensor | None:
        biased = part.bias is not None
        if not out.std() or (done and out.std() < 1.1 * entry.deviation):
            return None
        before = part.bias if done and biased else torch.zeros(())
        done.append(True)
        factor = entry.deviation / out.std()
        part.weight.data = torch.round(part.weight * factor * GRID) / GRID
        if biased:
            nn.init.constant_(part.bias, round(entry.mean * GRID) / GRID)
        return (out - before.mean()) * factor + (entry.mean if biased else 0)

    return hook


def normed(make: Callable, inputs: int, outputs: int, stride: int = 1, **conv: Any) -> list:
    """A 3x3 convolution, its norm, and neurons, of SpikingJelly."""
    given = {"kernel_size": 3, "stride": stride, "padding": 1, "bias": False} | conv
    return [layer.Conv2d(inputs, outputs, **given), layer.BatchNorm2d(outputs), make()]


def several(*parts: nn.Module) -> nn.Module:
    """In SpikingJelly's multi-step mode."""
    module = nn.Sequential(*parts)
    functional.set_step_mode(module, "m")
    return module


def lif() -> nn.Module:
    return neuron.LIFNode(tau=2.0)


class Csnn(nn.Module):
    """SpikingJelly's example for Fashion-MNIST: an image goes in, its copies are the ticks; firing rates come out."""

    def __init__(self, ticks: int = 4, channels: int = 8) -> None:
        super().__init__()
        self.ticks = ticks
        self.conv_fc = nn.Sequential(
            *normed(neuron.IFNode, 1, channels), layer.MaxPool2d(2, 2),
            *normed(neuron.IFNode, channels, channels), layer.MaxPool2d(2, 2),
            layer.Flatten(),
            layer.Linear(channels * 7 * 7, channels * 4 * 4, bias=False), neuron.IFNode(),
            layer.Linear(channels * 4 * 4, 10, bias=False), neuron.IFNode(),
        )  # fmt: skip
        functional.set_step_mode(self, "m")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_fc(x.unsqueeze(0).repeat(self.ticks, 1, 1, 1, 1)).mean(0)


class TorchConv(nn.Module):
    """snnTorch's convolutional tutorial, its pools behind the neurons: 5x5 kernels, a loop over ticks, its default reset."""

    def __init__(self, beta: float = 0.9, ticks: int = 25) -> None:
        super().__init__()
        self.ticks = ticks
        self.conv1, self.lif1 = nn.Conv2d(1, 12, 5), snntorch.Leaky(beta=beta)
        self.conv2, self.lif2 = nn.Conv2d(12, 16, 5), snntorch.Leaky(beta=beta)
        self.fc1, self.lif3 = nn.Linear(16 * 4 * 4, 10), snntorch.Leaky(beta=beta)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2, mem3 = self.lif1.init_leaky(), self.lif2.init_leaky(), self.lif3.init_leaky()
        spikes = []
        for _ in range(self.ticks):
            spk1, mem1 = self.lif1(self.conv1(x), mem1)
            spk2, mem2 = self.lif2(self.conv2(F.max_pool2d(spk1, 2)), mem2)
            spk3, mem3 = self.lif3(self.fc1(F.max_pool2d(spk2, 2).flatten(1)), mem3)
            spikes.append(spk3)
        return torch.stack(spikes)


def dvs_gesture() -> nn.Module:
    """As SpikingJelly's DVSGestureNet, for frames of 64x64."""
    blocks = [
        part for inputs in (2, 8, 8, 8) for part in (*normed(lif, inputs, 8), layer.MaxPool2d(2, 2))
    ]
    return several(
        *blocks, layer.Flatten(), layer.Dropout(0.5), layer.Linear(8 * 4 * 4, 64), lif(),
        layer.Dropout(0.5), layer.Linear(64, 11), lif(),
    )  # fmt: skip


def nmnist() -> nn.Module:
    """The convolutional network of the NIR paper, as sinabs has it: IF neurons, sums for pools, 34x34."""

    def iaf() -> nn.Module:
        return sinabs.layers.IAFSqueeze(batch_size=1, spike_fn=SingleSpike)

    return nn.Sequential(
        nn.Conv2d(2, 16, 5, stride=2, padding=1), iaf(),
        nn.Conv2d(16, 16, 3, padding=1), iaf(), sinabs.layers.SumPool2d(2),
        nn.Conv2d(16, 8, 3, padding=1), iaf(), sinabs.layers.SumPool2d(2),
        nn.Flatten(), nn.Linear(8 * 4 * 4, 256), iaf(), nn.Linear(256, 10), iaf(),
    )  # fmt: skip


def vgg9() -> nn.Module:
    """Seven convolutions, two linear layers."""
    return several(
        *normed(lif, 3, 8), *normed(lif, 8, 8), layer.MaxPool2d(2, 2),
        *normed(lif, 8, 16), *normed(lif, 16, 16), layer.MaxPool2d(2, 2),
        *normed(lif, 16, 24), *normed(lif, 24, 24), *normed(lif, 24, 24), layer.MaxPool2d(2, 2),
        layer.Flatten(), layer.Linear(24 * 4 * 4, 64), lif(), layer.Linear(64, 10), lif(),
    )  # fmt: skip


def mlp() -> nn.Module:
    """784-256-10 of Norse; leaks of a half."""
    from norse.torch import LIFBoxCell, SequentialState  # warns, which a test can ignore
    from norse.torch.functional.lif_box import LIFBoxParameters

    half = LIFBoxParameters(tau_mem_inv=torch.tensor(500.0))  # at dt = 1 ms
    return SequentialState(
        nn.Flatten(), nn.Linear(784, 256), LIFBoxCell(half), nn.Linear(256, 10), LIFBoxCell(half)
    )


def depthwise_separable() -> nn.Module:
    """As MobileNet: a kernel a channel, then 1x1; soft resets."""

    def soft() -> nn.Module:
        return neuron.IFNode(v_reset=None)

    def both(inputs: int, outputs: int, stride: int) -> list:
        each = normed(soft, inputs, inputs, stride, groups=inputs)
        return each + normed(soft, inputs, outputs, kernel_size=1, padding=0)

    return several(
        *normed(soft, 3, 8), *both(8, 16, 1), *both(16, 32, 2), *both(32, 32, 2),
        layer.AdaptiveAvgPool2d(1), layer.Flatten(), layer.Linear(32, 10), soft(),
    )  # fmt: skip


class Block(nn.Module):
    """Of a residual network: two convolutions, to whose current its input or a 1x1 convolution of it is added."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.sn1 = normed(lif, inputs, outputs, stride)
        self.conv2, self.bn2, self.sn2 = normed(lif, outputs, outputs)
        shortcut = normed(lif, inputs, outputs, stride, kernel_size=1, padding=0)[:2]
        self.downsample = nn.Sequential(*shortcut) if stride > 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(self.sn1(self.bn1(self.conv1(x)))))
        return self.sn2(out + (x if self.downsample is None else self.downsample(x)))


def resnet18(widths: tuple[int, int, int, int] = (64, 128, 256, 512)) -> nn.Module:
    """As SpikingJelly's spiking ResNet-18, whose shortcuts add currents, with the start that images of 32x32 have."""
    blocks = []
    inputs = widths[0]
    for width in widths:
        blocks += [Block(inputs, width, 1 if width == widths[0] else 2), Block(width, width, 1)]
        inputs = width
    return several(
        *normed(lif, 3, widths[0]), *blocks,
        layer.AdaptiveAvgPool2d(1), layer.Flatten(), layer.Linear(inputs, 10),
    )  # fmt: skip


BETA = 230 / 256  # what 0.9 becomes
ZOO = {
    "SpikingJelly CSNN": Entry(make=Csnn, shape=(1, 28, 28), ticks=4, deviation=0.4),
    "snnTorch 5x5": Entry(make=lambda: TorchConv(BETA), shape=(1, 28, 28), ticks=25, deviation=0.2),
    "DVS Gesture": Entry(make=dvs_gesture, shape=(2, 64, 64), ticks=16, spikes=True, deviation=1.0),
    "sinabs N-MNIST": Entry(
        make=nmnist, shape=(2, 34, 34), ticks=10, spikes=True, share=1, deviation=0.4
    ),
    "VGG-9": Entry(make=vgg9, shape=(3, 32, 32), ticks=6, deviation=1.2),
    "MLP": Entry(make=mlp, shape=(784, 1, 1), ticks=4, spikes=True, share=1, deviation=1.2),
    "depthwise separable": Entry(
        make=depthwise_separable, shape=(3, 32, 32), ticks=4, deviation=0.6
    ),
    "ResNet-18": Entry(
        make=lambda: resnet18((8, 16, 24, 32)),
        shape=(3, 32, 32),
        ticks=4,
        share=1,
        deviation=1.2,
        exact_norms=True,
    ),
}
