"""A network in floats, on its way to integers: what each pass of sw/lowering.py takes and gives.

It is a trained network all the way: neurons with a gain and a threshold, sources with a batch norm or
none. A pass moves numbers from one place to another and changes no spike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sw.layers import Input, Layer, Reduce, Source
from sw.ticket import Norm, Ticket


@dataclass(frozen=True)
class FloatSource:
    """A source of a layer."""

    source: Source
    weight: np.ndarray  # float64, source.weight_shape; of an identity (K,): what a spike adds
    mask: np.ndarray  # bool, the same shape
    bias: np.ndarray  # float64 (K,)
    norm: Norm | None = None
    positions: int = 1  # of the map whose sums a `reduce` adds up
    trained: int = 0  # weights as trained, zero or not; 0: as many as there are here

    @property
    def parameters(self) -> int:
        """Weights of the trained network, zero or not; none of an identity."""
        return 0 if self.source.identity else self.trained or self.weight.size


@dataclass(frozen=True)
class FloatLayer:
    """A layer and its numbers."""

    layer: Layer
    sources: tuple[FloatSource, ...]  # as layer.sources
    unit: float = 1.0  # what a folded 1 was before: threshold / gain

    def renewed(self, sources: tuple[FloatSource, ...], **changes: object) -> FloatLayer:
        """With other sources, and what `changes` say of the layer."""
        described = tuple(part.source for part in sources)
        layer = replace(self.layer, sources=described, **changes)  # type: ignore[arg-type]
        return replace(self, layer=layer, sources=sources)


@dataclass(frozen=True)
class FloatNetwork:
    """All layers, that of the host included."""

    input: Input
    layers: tuple[FloatLayer, ...]


def identity_source(source: Source, adds: float = 1.0) -> FloatSource:
    """An identity's numbers: what a spike adds to each filter."""
    filters = source.channels
    ones = np.ones(filters, bool)
    return FloatSource(source, np.full(filters, adds), ones, np.zeros(filters))


def read(ticket: Ticket) -> FloatNetwork:
    """A ticket's numbers in float64."""
    shapes = ticket.network.shapes()
    parameters = {p.name: p for p in ticket.parameters}
    layers = []
    for layer in ticket.network.layers:
        sums = layer.neurons(shapes)
        positions = sums.height * sums.width if layer.reduce else 1
        parts = []
        for source in layer.sources:
            if source.identity:
                parts.append(identity_source(source))
                continue
            p = parameters[source.name]
            weight, bias = p.weight.astype(np.float64), p.bias.astype(np.float64)
            parts.append(FloatSource(source, weight, p.mask, bias, p.norm, positions))
        layers.append(FloatLayer(layer, tuple(parts)))
    return FloatNetwork(ticket.network.input, tuple(layers))


def fold_norm(network: FloatNetwork) -> FloatNetwork:
    """Batch norm, gain, threshold and the mean's divisor go into weights and biases.

    Neurons then have a gain and a threshold of 1, and a mean has become a sum.
    """
    layers = []
    for one in network.layers:
        neuron = one.layer.neuron
        scale = 1.0 if neuron is None else neuron.scale
        if neuron is not None:
            neuron = replace(neuron, gain=1.0, threshold=1.0)
        reduce = None if one.layer.reduce is None else Reduce.SUM
        divided = one.layer.reduce is Reduce.MEAN
        sources = tuple(_folded(part, scale, divided=divided) for part in one.sources)
        folded = one.renewed(sources, neuron=neuron, reduce=reduce)
        layers.append(replace(folded, unit=one.unit / scale))
    return replace(network, layers=tuple(layers))


def _folded(part: FloatSource, scale: float, *, divided: bool) -> FloatSource:
    if part.source.identity:
        return replace(part, weight=scale * part.weight)
    factor, bias = np.ones(len(part.bias)), part.bias
    if part.norm is not None:
        factor = part.norm.weight / np.sqrt(part.norm.var.astype(np.float64) + part.norm.eps)
        bias = (bias - part.norm.mean) * factor + part.norm.bias
    per_filter = scale * factor / (part.positions if divided else 1)
    weight = part.weight * per_filter.reshape(-1, *[1] * (part.weight.ndim - 1)) * part.mask
    return replace(part, weight=weight, bias=scale * bias, norm=None)


def fuse_shortcut(network: FloatNetwork) -> FloatNetwork:
    """A layer and its shortcut are one filter: one bias, which its own source has."""
    layers = []
    for one in network.layers:
        own, *more = one.sources
        bias = np.sum([part.bias for part in one.sources], axis=0)
        rest = (replace(part, bias=np.zeros_like(bias)) for part in more)
        layers.append(one.renewed((replace(own, bias=bias), *rest)))
    return replace(network, layers=tuple(layers))


def spread_groups(network: FloatNetwork) -> FloatNetwork:
    """Groups become one convolution over all channels: zeros where a filter does not look."""
    layers = tuple(
        one.renewed(tuple(_spread(part) for part in one.sources)) for one in network.layers
    )
    return replace(network, layers=layers)


def _spread(part: FloatSource) -> FloatSource:
    source = part.source
    if source.groups == 1:
        return part
    filters, inside = part.weight.shape[:2]
    shape = (filters, source.channels, *part.weight.shape[2:])
    weight, mask = np.zeros(shape), np.zeros(shape, bool)
    first = np.arange(filters) // (filters // source.groups) * inside
    rows, columns = np.arange(filters)[:, None], first[:, None] + np.arange(inside)
    weight[rows, columns], mask[rows, columns] = part.weight, part.mask
    one = replace(source, groups=1)
    return replace(part, source=one, weight=weight, mask=mask, trained=part.parameters)


FLOAT_PASSES: tuple[Callable[[FloatNetwork], FloatNetwork], ...] = (
    fold_norm,
    fuse_shortcut,
    spread_groups,
)
"""In this order, between a ticket and its integers."""
