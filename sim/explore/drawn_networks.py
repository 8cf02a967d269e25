"""Networks with drawn masks, as the array gets them: for sweeps over sparsity, where no ticket is.

The filters of a layer differ in density log-normally, as those of trained masks do; identically
distributed filters are far too even. Weights are 1: cycles depend on masks alone.
"""

from __future__ import annotations

import zlib

import numpy as np

from hw.neuron import Shift
from sw.balance import balance
from sw.networks import Layer, build, shortcut_convolutions
from sw.quantize import IntegerLayer, IntegerNetwork

NOTHING = np.zeros(0)


def synthetic_network(
    name: str,
    *,
    sparsity: float,
    policy: str,
    n_pe: int,
    ticks: int = 4,
    spread: float = 0.25,
    seed: int = 1,
) -> IntegerNetwork:
    """The network `name` with masks of this sparsity; its convolutions are balanced for n_pe PEs.

    Masks before balancing depend on name, sparsity, spread and seed alone. spread: sigma of the
    log-normal densities. Raises ValueError for an unknown network or policy.
    """
    layers = build(name)
    draw = np.random.default_rng([seed, zlib.crc32(name.encode()), round(sparsity * 1e9)])
    move = np.random.default_rng([seed, n_pe])
    hosts = shortcut_convolutions(layers)
    masks = {}
    for layer in layers[1:]:
        mask = drawn_mask(layer, sparsity, spread, draw)
        if layer.kind == "conv":
            mask = balance(mask, n_pe=n_pe, policy=policy, rng=move)
        masks[layer.name] = mask
    return IntegerNetwork(
        layers=layers,
        first_weight=np.zeros(layers[0].weight_shape),
        first_bias=np.zeros(layers[0].out_channels),
        array=tuple(
            _integer(layer, masks[layer.name], raw=layer is layers[-1] or layer.name in hosts)
            for layer in layers[1:]
        ),
        dataset="cifar10",
        ticks=ticks,
        neuron=Shift(2),
    )


def drawn_mask(
    layer: Layer, sparsity: float, spread: float, rng: np.random.Generator
) -> np.ndarray:
    """A mask of a layer; each filter's density is the mean's times a log-normal factor of mean 1."""
    factor = np.exp(rng.normal(0, spread, layer.out_channels) - spread**2 / 2)
    density = np.minimum((1 - sparsity) * factor, 1).astype(np.float32)
    size = int(np.prod(layer.weight_shape[1:]))
    mask = rng.random((layer.out_channels, size), dtype=np.float32) < density[:, None]
    return mask.reshape(layer.weight_shape)


def _integer(layer: Layer, mask: np.ndarray, *, raw: bool) -> IntegerLayer:
    filters = layer.out_channels
    return IntegerLayer(
        layer=layer,
        weight=mask.view(np.int8),
        mask=mask,
        bias=np.zeros(filters, np.int64),
        threshold=None if raw else np.ones(filters, np.int64),
        scale=np.ones(filters),
        float_weight=NOTHING,
        float_bias=NOTHING,
        shortcut=np.ones(filters, np.int64) if layer.shortcut == "identity" else None,
    )
