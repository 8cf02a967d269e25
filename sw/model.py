"""A trainable spiking network built from a description in `networks.py`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from sw.networks import Layer, shortcut_convolutions
from sw.neurons import lif


class SpikingNetwork(nn.Module):
    """Direct encoding, batch norm after each convolution, LIF, max-pool on spikes, shortcuts.

    `weights[name]` are the layers' convolutions or linear maps, `norms[name]` their batch norms.
    """

    def __init__(self, layers: Sequence[Layer], *, fused: bool = False) -> None:
        """fused: neurons compiled (`neurons.lif`); the same but for the order of roundings."""
        super().__init__()
        self.layers, self.fused = tuple(layers), fused
        self.weights = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        self.without_neurons = shortcut_convolutions(self.layers)
        for layer in self.layers:
            if layer.kind == "linear":
                self.weights[layer.name] = nn.Linear(layer.in_channels, layer.out_channels)
                continue
            conv = nn.Conv2d(
                layer.in_channels,
                layer.out_channels,
                layer.kernel,
                layer.stride,
                layer.padding,
            )
            # fan-out: fan-in initialization makes late layers small, and global pruning empties them
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.bias)
            self.weights[layer.name] = conv
            self.norms[layer.name] = nn.BatchNorm2d(layer.out_channels)

    @property
    def prunable(self) -> dict[str, torch.Tensor]:
        """Weights of every layer that the array runs: all after the first."""
        return {layer.name: self.weights[layer.name].weight for layer in self.layers[1:]}

    def forward(self, images: torch.Tensor, ticks: int) -> torch.Tensor:
        """Classifier outputs (T, B, classes) for float images (B, C, H, W)."""
        first = self.layers[0]
        current = self.norms[first.name](self.weights[first.name](images))
        spikes = {first.name: self._fire(current.expand(ticks, *current.shape), first)}
        sums: dict[str, torch.Tensor] = {}  # of shortcut convolutions, until they are added
        for layer in self.layers[1:]:
            x = spikes[layer.input]
            if layer.kind == "linear":
                return self.weights[layer.name](x.flatten(2)).float()
            flat = x.flatten(0, 1)
            if layer.pool == "avg":
                flat = flat.mean((2, 3), keepdim=True)
            flat = self.norms[layer.name](self.weights[layer.name](flat))
            current = flat.unflatten(0, (ticks, -1))
            if layer.name in self.without_neurons:
                sums[layer.name] = current
                continue
            if layer.shortcut_input is not None:
                added = sums if layer.shortcut == "conv" else spikes
                current = current + added[layer.shortcut_input]
            spikes[layer.name] = self._fire(current, layer)
        raise ValueError("the network has no classifier: its last layer must be linear")

    def _fire(self, current: torch.Tensor, layer: Layer) -> torch.Tensor:
        spikes = lif(current, fused=self.fused)
        if layer.pool == "max2":
            spikes = F.max_pool2d(spikes.flatten(0, 1), 2).unflatten(0, spikes.shape[:2])
        return spikes


@torch.no_grad()
def input_sparsity(network: SpikingNetwork, images: torch.Tensor, ticks: int) -> dict[str, float]:
    """Share of zeros in the input of each layer after the first, over all ticks and `images`.

    images: normalized floats (B, C, H, W). The network is left in evaluation mode.
    """
    shares: dict[str, float] = {}
    hooks = [
        network.weights[layer.name].register_forward_pre_hook(
            lambda _, inputs, name=layer.name: shares.update(
                {name: 1 - inputs[0].count_nonzero().item() / inputs[0].numel()}
            )
        )
        for layer in network.layers[1:]
    ]
    network.eval()
    try:
        network(images, ticks)
    finally:
        for hook in hooks:
            hook.remove()
    return shares


def loss(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over ticks of the cross entropy of outputs (T, B, classes) (facts: as the authors)."""
    ticks = outputs.shape[0]
    return F.cross_entropy(outputs.flatten(0, 1), labels.repeat(ticks))


def predict(outputs: torch.Tensor) -> torch.Tensor:
    """Class of each image: argmax of the sum over ticks, lowest index on ties."""
    return outputs.sum(0).argmax(1)
