"""The golden model of a network in floats, with or without norms: what each pass before the integers must keep."""

from __future__ import annotations

import numpy as np

from sw.floats import FloatLayer, FloatNetwork, FloatSource
from sw.golden import max_pool, patches
from sw.layers import Encoding, Pool, Reduce


def run(network: FloatNetwork, spikes: np.ndarray) -> dict[str, np.ndarray]:
    """What every layer of the array hands on, by name, for input spikes uint8 (T, C, H, W).

    Spikes, uint8 (T, K, H, W); without neurons sums, float64 (T, K, H, W).
    """
    layers = network.layers
    if network.input.encoding is Encoding.IMAGE:
        layers = layers[1:]
    maps = {layers[0].sources[0].source.map: spikes}
    for one in layers:
        maps[one.layer.name] = run_layer(one, [maps[part.source.map] for part in one.sources])
    return {one.layer.name: maps[one.layer.name] for one in layers}


def run_layer(one: FloatLayer, given: list[np.ndarray]) -> np.ndarray:
    """One layer. given: the map of each source, uint8 (T, C, H, W)."""
    layer = one.layer
    sums = sum(
        _sums(part, spikes, layer.reduce) for part, spikes in zip(one.sources, given, strict=True)
    )
    if layer.neuron is None:
        return np.asarray(sums)
    left = np.full(np.shape(sums)[1:], layer.neuron.initial)
    fired = np.empty(np.shape(sums), np.uint8)
    for t, x in enumerate(np.asarray(sums)):
        v = layer.neuron.found(left) + layer.neuron.gain * x
        fired[t] = v >= layer.neuron.level
        left = np.where(fired[t], layer.neuron.after(v), v)
    return max_pool(fired) if layer.pool is Pool.MAX2 else fired


def _sums(part: FloatSource, spikes: np.ndarray, reduce: Reduce | None) -> np.ndarray:
    """What a source adds to its neurons, float64 (T, K, H, W)."""
    source, filters = part.source, len(part.bias)
    if source.identity:
        seen = spikes[:, :, :: source.stride, :: source.stride]
        return seen * part.weight[:, None, None] + part.bias[:, None, None]
    columns, sides = patches(spikes, source, np.float64)
    columns = columns.reshape(source.groups, -1, columns.shape[1])
    weight = part.weight.reshape(source.groups, filters // source.groups, -1)
    sums = (weight @ columns).reshape(filters, len(spikes), *sides).transpose(1, 0, 2, 3)
    if reduce is Reduce.MEAN:
        sums = sums.mean(axis=(2, 3), keepdims=True)
    if reduce is Reduce.SUM:
        sums = sums.sum(axis=(2, 3), keepdims=True)
    sums = sums + part.bias[:, None, None]
    if part.norm is None:
        return sums
    norm = part.norm
    factor = norm.weight / np.sqrt(norm.var.astype(np.float64) + norm.eps)
    return (sums - norm.mean[:, None, None]) * factor[:, None, None] + norm.bias[:, None, None]
