"""Networks with drawn masks, as the array gets them: for sweeps over sparsity, where no ticket is.

The filters of a layer differ in density log-normally, as those of trained masks do; identically
distributed filters are far too even. Weights are 1: cycles depend on masks alone.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

from hw.neuron import PAPER, Neuron
from sw.balance import balance
from sw.integers import HostLayer, IntegerLayer, IntegerNetwork, IntegerSource
from sw.layers import Layer
from sw.networks import build, images

NOTHING = np.zeros(0)


@lru_cache(maxsize=2)
def synthetic_network(
    name: str,
    sparsity: float,
    policy: str,
    n_pe: int,
    ticks: int = 4,
    neuron: Neuron = PAPER,
    seed: int = 1,
    spread: float = 0.25,
) -> IntegerNetwork:
    """The network `name` with masks of this sparsity; its convolutions are balanced for n_pe PEs. The last two are kept.

    Masks before balancing depend on name, sparsity, spread and seed alone. spread: sigma of the
    log-normal densities. Raises ValueError for an unknown network or policy.
    """
    layers = build(name)
    draw = np.random.default_rng([seed, zlib.crc32(name.encode()), round(sparsity * 1e9)])
    move = np.random.default_rng([seed, n_pe])
    masks = {}
    for layer in layers[1:]:
        for source in layer.learned:
            mask = drawn_mask(source.weight_shape(layer.filters), sparsity, spread, draw)
            if source.kernel is not None:
                mask = balance(mask, n_pe=n_pe, policy=policy, rng=move)
            masks[source.name] = mask
    first, filters = layers[0], layers[0].filters
    host = HostLayer(first, np.zeros(first.own.weight_shape(filters)), np.zeros(filters))
    return IntegerNetwork(
        input=images("cifar10"),
        host=host,
        array=tuple(_integer(layer, masks, neuron) for layer in layers[1:]),
        ticks=ticks,
    )


def drawn_mask(
    shape: tuple[int, ...], sparsity: float, spread: float, rng: np.random.Generator
) -> np.ndarray:
    """A mask of this shape; each filter's density is the mean's times a log-normal factor of mean 1."""
    factor = np.exp(rng.normal(0, spread, shape[0]) - spread**2 / 2)
    density = np.minimum((1 - sparsity) * factor, 1).astype(np.float32)
    size = int(np.prod(shape[1:]))
    mask = rng.random((shape[0], size), dtype=np.float32) < density[:, None]
    return mask.reshape(shape)


def _integer(layer: Layer, masks: dict[str, np.ndarray], neuron: Neuron) -> IntegerLayer:
    filters = layer.filters
    ones = np.ones(filters, np.int64)
    sources = tuple(
        IntegerSource(source, ones, ones > 0, NOTHING, 0)
        if source.identity
        else IntegerSource(
            source,
            masks[source.name].view(np.int8),
            masks[source.name],
            NOTHING,
            masks[source.name].size,
        )
        for source in layer.sources
    )
    return IntegerLayer(
        layer=layer,
        sources=sources,
        bias=np.zeros(filters, np.int64),
        threshold=None if layer.neuron is None else ones,
        scale=np.ones(filters),
        float_bias=NOTHING,
        neuron=neuron,
    )
