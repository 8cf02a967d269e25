"""A network in integers: what the array computes with, and what golden model, compiler and reports read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw.neuron import PAPER, Neuron
from sw.layers import IMAGE, LIF, Encoding, Input, Layer, Network, Shape, Source
from sw.trained_neuron import TrainedNeuron


@dataclass(frozen=True)
class IntegerSource:
    """A source of a layer as the array runs it, in the network's own channel order."""

    source: Source
    weight: np.ndarray  # int32, source.weight_shape; of an identity int64 (K,): what a spike adds
    mask: np.ndarray  # bool, the same shape; weight != 0 exactly where True
    float_weight: np.ndarray  # float64, folded
    parameters: int  # weights of the trained network, zero or not
    channel: np.ndarray | None = None  # int (K,), of an identity: which channel each filter adds

    @property
    def name(self) -> str:
        """The source's."""
        return self.source.name

    @property
    def channels(self) -> np.ndarray:
        """Of an identity: which channel of its map each filter adds, int (K,)."""
        return np.arange(len(self.weight)) if self.channel is None else self.channel


@dataclass(frozen=True)
class IntegerLayer:
    """A layer as the array runs it, in the network's own channel order."""

    layer: Layer
    sources: tuple[IntegerSource, ...]  # as layer.sources
    bias: np.ndarray  # int64 (K,)
    threshold: np.ndarray | None  # int64 (K,); None: the sums are the result
    scale: np.ndarray  # float64 (K,), integers per unit of the threshold
    float_bias: np.ndarray  # float64 (K,), folded
    neuron: Neuron = PAPER
    """Of a layer with a threshold."""

    @property
    def name(self) -> str:
        """The layer's."""
        return self.layer.name

    @property
    def own(self) -> IntegerSource:
        """The first source."""
        return self.sources[0]

    @property
    def learned(self) -> tuple[IntegerSource, ...]:
        """Sources with weights, the layer's own last: the order of tickets and reports."""
        return tuple(s for s in reversed(self.sources) if not s.source.identity)

    @property
    def identities(self) -> tuple[IntegerSource, ...]:
        """Sources without weights."""
        return tuple(s for s in self.sources if s.source.identity)

    @property
    def filter_nnz(self) -> np.ndarray:
        """Non-zero weights of each filter, int64 (K,), over all learned sources: what a PE has to do."""
        masks = [s.mask.reshape(len(s.mask), -1) for s in self.learned]
        return np.sum([np.count_nonzero(mask, axis=1) for mask in masks], axis=0)


@dataclass(frozen=True)
class HostLayer:
    """A first layer in software, in float64: it sees an image once and replays its sums every tick."""

    layer: Layer
    weight: np.ndarray  # float64 (K, C, kh, kw), folded
    bias: np.ndarray  # float64 (K,), folded

    @property
    def neuron(self) -> TrainedNeuron:
        """The layer's, whose gain and threshold are folded."""
        return self.layer.neuron or LIF


@dataclass(frozen=True)
class IntegerNetwork:
    """A quantized network: what software does, and what the array does."""

    input: Input
    host: HostLayer | None  # None: spikes come in
    array: tuple[IntegerLayer, ...]
    ticks: int

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All of them."""
        array = tuple(integer.layer for integer in self.array)
        return array if self.host is None else (self.host.layer, *array)

    @property
    def description(self) -> Network:
        """Input and layers, without numbers."""
        return Network(input=self.input, layers=self.layers)

    @property
    def first_map(self) -> str:
        """The map of spikes that the array is given, by name."""
        return self.array[0].own.source.map


def part(network: IntegerNetwork, names: Sequence[str], seen: Shape) -> IntegerNetwork:
    """Some layers alone, in order, as a network that is given the spikes that the first of them reads.

    seen: the shape of that map. Raises ValueError where a layer reads another map from outside.
    """
    array = tuple(integer for integer in network.array if integer.name in names)
    first = array[0].own.source.map
    renamed = []
    for integer in array:
        for one in integer.sources:
            if one.source.map != first and one.source.map not in names:
                text = f"layer {integer.name} needs {one.source.map}, which comes before"
                raise ValueError(text)
        sources = tuple(
            replace(one, source=replace(one.source, map=IMAGE)) if one.source.map == first else one
            for one in integer.sources
        )
        layer = replace(integer.layer, sources=tuple(one.source for one in sources))
        renamed.append(replace(integer, layer=layer, sources=sources))
    spikes = Input(shape=(seen.channels, seen.height, seen.width), encoding=Encoding.SPIKES)
    return replace(network, input=spikes, host=None, array=tuple(renamed))
