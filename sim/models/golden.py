"""The golden model: what the array computes, bit for bit, in NumPy alone (design, sections 2 and 3).

A layer's accumulator is acc = bias + sum of the weights whose input spike is 1, and what a shortcut
adds; an averaging layer adds the sums of its whole map. BLAS does the work:
sums of integers are exact in any order while none can leave the mantissa, 24 bits in float32 (as in
every layer that quantize.py lets pass), else 53 in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hw.neuron import Neuron
from sw import datasets
from sw.networks import Layer
from sw.quantize import IntegerLayer, IntegerNetwork


@dataclass(frozen=True)
class LayerResult:
    """One image through one layer, T ticks."""

    input: np.ndarray  # uint8 (T, C, H, W), 0 or 1
    output: np.ndarray
    """uint8 (T, C, H, W) after pooling; raw of the classifier, int32 (T, K), and of a shortcut
    convolution, int32 (T, K, H, W)."""
    filter_accumulates: np.ndarray  # int64 (K,), see `accumulates`
    shortcut_accumulates: np.ndarray  # int64 (K,): spikes that an identity shortcut added

    @property
    def accumulates(self) -> int:
        """Steps, (weight, position, tick) triples, whose input spike is 1; padding is no spike."""
        return int(self.filter_accumulates.sum())

    @property
    def input_sparsity(self) -> float:
        """Share of zeros in the input, over all ticks."""
        return 1 - float(self.input.mean())


def first_layer_spikes(network: IntegerNetwork, images: np.ndarray) -> np.ndarray:
    """The array's input: uint8 images (N, C, H, W) -> spikes, uint8 (N, T, C, H, W).

    The first convolution sees the normalized image once, in float64; its LIF replays that current
    for T ticks: v = factor v + x, fire at v >= 1, reset (the gain is folded into x). One image
    at a time, so that a batch cannot change the order of a sum.
    Raises ValueError unless `images` are uint8 of the first layer's channels.
    """
    layer, neuron = network.layers[0], network.neuron
    spikes = []
    for current in first_layer_currents(network, images):
        v = np.zeros_like(current)
        ticks = np.empty((network.ticks, *current.shape), np.uint8)
        for t in range(network.ticks):
            v = neuron.factor * v + current
            ticks[t] = v >= 1
            v = np.where(v >= 1, neuron.reset(v, 1.0), v)
        spikes.append(_pool(ticks, layer))
    return np.stack(spikes)


def first_layer_currents(network: IntegerNetwork, images: np.ndarray) -> Iterator[np.ndarray]:
    """What each image adds to the first layer's potentials every tick, float64 (K, H, W)."""
    layer = network.layers[0]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != layer.in_channels:
        raise ValueError(
            f"images are {images.dtype} {images.shape}, need uint8 (N, {layer.in_channels}, H, W)"
        )
    kernel = network.first_weight.reshape(layer.out_channels, -1)
    for image in datasets.normalize(images, network.dataset):
        patches, sides = _patches(image[None], layer, np.float64)
        yield (kernel @ patches + network.first_bias[:, None]).reshape(-1, *sides)


def run(network: IntegerNetwork, spikes: np.ndarray) -> dict[str, LayerResult]:
    """Every layer of the array, by name, for one image's input spikes, uint8 (T, C, H, W)."""
    outputs = {network.layers[0].name: spikes}
    results = {}
    for integer in network.array:
        layer = integer.layer
        added = outputs[layer.shortcut_input] if layer.shortcut_input else None
        result = run_layer(integer, outputs[layer.input], network.neuron, added)
        results[layer.name] = result
        outputs[layer.name] = result.output
    return results


def run_layer(
    integer: IntegerLayer, spikes: np.ndarray, neuron: Neuron, added: np.ndarray | None = None
) -> LayerResult:
    """One layer: `spikes` (T, C, H, W) of 0 and 1; a linear layer flattens the map.

    neuron: as `IntegerNetwork.neuron`. added: the shortcut's, (T, K, H, W): spikes
    for an identity, sums for a convolution.
    Raises ValueError for spikes of another shape.
    """
    layer = integer.layer
    ticks, channels, height, width = spikes.shape
    need = layer.in_channels if layer.kind == "conv" else layer.in_channels // (height * width)
    if channels != need or (added is None) != (layer.shortcut is None):
        raise ValueError(
            f"layer {layer.name} (in_channels = {layer.in_channels}, shortcut = {layer.shortcut!r}) "
            f"cannot take spikes {spikes.shape}, shortcut "
            f"{None if added is None else added.shape}"
        )
    filters = layer.out_channels
    weight = integer.weight.reshape(filters, -1)
    extent = np.abs(weight).sum(axis=1, dtype=np.int64).max()
    exact = np.float32 if extent < 1 << 24 else np.float64
    patches, sides = _patches(spikes, layer, exact)
    acc = weight.astype(exact) @ patches
    acc = acc.astype(np.int64).reshape(filters, ticks, *sides).transpose(1, 0, 2, 3)
    if layer.pool == "avg":
        acc = acc.sum(axis=(2, 3), keepdims=True)
    acc = acc + integer.bias[:, None, None]
    shortcut_accumulates = np.zeros(filters, np.int64)
    if added is not None:
        if integer.shortcut is not None:
            shortcut_accumulates = added.sum(axis=(0, 2, 3), dtype=np.int64)
            added = added * integer.shortcut[:, None, None]
        acc = acc + added
    seen = patches.sum(axis=1, dtype=np.float64)  # spikes that meet each weight of a filter
    accumulates = integer.mask.reshape(filters, -1).astype(np.float64) @ seen
    if integer.threshold is not None:
        output = _pool(_fire(acc, integer.threshold, neuron), layer)
    elif layer.kind == "linear":
        output = acc.reshape(ticks, filters).astype(np.int32)
    else:
        output = acc.astype(np.int32)
    return LayerResult(spikes, output, accumulates.astype(np.int64), shortcut_accumulates)


def predict(acc: np.ndarray) -> int:
    """Class of one image from the classifier's accumulators (T, K); the lowest index on ties."""
    return int(np.argmax(acc.sum(axis=0, dtype=np.int64)))


def _patches(
    x: np.ndarray, layer: Layer, dtype: type[np.floating]
) -> tuple[np.ndarray, tuple[int, int]]:
    """im2col: (T, C, H, W) -> (C kh kw, T H' W') of `dtype`, and the output map's sides (H', W')."""
    if layer.kind == "linear":
        return x.reshape(len(x), -1).T.astype(dtype), (1, 1)
    pad, kernel, stride = layer.padding, layer.kernel, layer.stride
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))).transpose(1, 0, 2, 3)
    channels, ticks, *padded_sides = padded.shape
    height, width = ((side - kernel) // stride + 1 for side in padded_sides)
    columns = np.empty((channels, kernel * kernel, ticks, height, width), dtype)
    for i in range(kernel * kernel):
        y, x0 = divmod(i, kernel)
        rows = slice(y, y + stride * (height - 1) + 1, stride)
        columns[:, i] = padded[:, :, rows, x0 : x0 + stride * (width - 1) + 1 : stride]
    return columns.reshape(channels * kernel * kernel, -1), (height, width)


def _fire(acc: np.ndarray, threshold: np.ndarray, neuron: Neuron) -> np.ndarray:
    """A tick after the other: int64 (T, K, H, W) -> uint8."""
    u = np.zeros_like(acc[0])
    spikes = np.empty(acc.shape, np.uint8)
    for t, current in enumerate(acc):
        spikes[t], u = neuron.step(u, current, threshold[:, None, None], np.where)
    return spikes


def _pool(spikes: np.ndarray, layer: Layer) -> np.ndarray:
    """2x2 OR of spikes (T, K, H, W), an odd last row or column dropped; or nothing."""
    if layer.pool != "max2":
        return spikes
    ticks, filters, height, width = spikes.shape
    even = spikes[:, :, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(ticks, filters, height // 2, 2, width // 2, 2).max(axis=(3, 5))
