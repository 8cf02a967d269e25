"""A trainable spiking network built from a description in `networks.py`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from sw.layers import Layer, Pool, Reduce, Source
from sw.neurons import lif


class SpikingNetwork(nn.Module):
    """Direct encoding, batch norm after each convolution, LIF, max-pool on spikes, shortcuts.

    `weights[name]` are the sources' convolutions or linear maps, `norms[name]` their batch norms.
    """

    def __init__(self, layers: Sequence[Layer], *, fused: bool = False) -> None:
        """fused: neurons compiled (`neurons.lif`); the same but for the order of roundings."""
        super().__init__()
        self.layers, self.fused = tuple(layers), fused
        self.weights = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        for layer in self.layers:
            for source in layer.learned:
                self._add(source, layer.filters)

    def _add(self, source: Source, filters: int) -> None:
        """The parameters of a source."""
        if source.kernel is None:
            self.weights[source.name] = nn.Linear(source.channels, filters)
            return
        conv = nn.Conv2d(
            source.channels,
            filters,
            source.kernel,
            source.stride,
            source.padding,
            groups=source.groups,
        )
        # fan-out: fan-in initialization makes late layers small, and global pruning empties them
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(conv.bias)
        self.weights[source.name] = conv
        self.norms[source.name] = nn.BatchNorm2d(filters)

    @property
    def prunable(self) -> dict[str, torch.Tensor]:
        """Weights of every source that the array runs: all after the first layer."""
        names = (source.name for layer in self.layers[1:] for source in layer.learned)
        return {name: self.weights[name].weight for name in names}

    def forward(self, images: torch.Tensor, ticks: int) -> torch.Tensor:
        """Classifier outputs (T, B, classes) for float images (B, C, H, W)."""
        first = self.layers[0]
        current = self.norms[first.name](self.weights[first.name](images))
        spikes = {first.name: self._fire(current.expand(ticks, *current.shape), first)}
        for layer in self.layers[1:]:
            sums: dict[str, torch.Tensor] = {}
            for source in layer.learned:
                sums[source.name] = self._sums(layer, source, spikes[source.map], ticks)
            current = sums[layer.name]
            for source in layer.sources[1:]:
                current = current + (spikes[source.map] if source.identity else sums[source.name])
            if layer.neuron is None:
                return current.float()
            spikes[layer.name] = self._fire(current, layer)
        raise ValueError("the network has no classifier: its last layer must have no neurons")

    def _sums(self, layer: Layer, source: Source, x: torch.Tensor, ticks: int) -> torch.Tensor:
        """What a source adds, (T, B, K, H, W), or (T, B, K) of a linear one."""
        if source.kernel is None:
            return self.weights[source.name](x.flatten(2))
        flat = x.flatten(0, 1)
        if layer.reduce is Reduce.MEAN:
            flat = flat.mean((2, 3), keepdim=True)
        elif layer.reduce is Reduce.SUM:
            flat = flat.sum((2, 3), keepdim=True)
        flat = self.norms[source.name](self.weights[source.name](flat))
        return flat.unflatten(0, (ticks, -1))

    def _fire(self, current: torch.Tensor, layer: Layer) -> torch.Tensor:
        spikes = lif(current, fused=self.fused)
        if layer.pool is Pool.MAX2:
            spikes = F.max_pool2d(spikes.flatten(0, 1), 2).unflatten(0, spikes.shape[:2])
        return spikes


@torch.no_grad()
def input_sparsity(network: SpikingNetwork, images: torch.Tensor, ticks: int) -> dict[str, float]:
    """Share of zeros in the input of each layer after the first, over all ticks and `images`.

    images: normalized floats (B, C, H, W). The network is left in evaluation mode.
    """
    shares: dict[str, float] = {}
    hooks = [
        network.weights[name].register_forward_pre_hook(
            lambda _, inputs, name=name: shares.update(
                {name: 1 - inputs[0].count_nonzero().item() / inputs[0].numel()}
            )
        )
        for name in network.prunable
    ]
    network.eval()
    try:
        network(images, ticks)
    finally:
        for hook in hooks:
            hook.remove()
    return shares


def loss(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over ticks of the cross entropy of outputs (T, B, classes) (as the authors of the paper train)."""
    ticks = outputs.shape[0]
    return F.cross_entropy(outputs.flatten(0, 1), labels.repeat(ticks))


def predict(outputs: torch.Tensor) -> torch.Tensor:
    """Class of each image: argmax of the sum over ticks, lowest index on ties."""
    return outputs.sum(0).argmax(1)
