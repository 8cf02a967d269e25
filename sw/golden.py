"""The golden model: what the array computes, bit for bit, in NumPy alone (docs/formats.md, "What the hardware computes").

A layer's accumulator is acc = bias + sum of the weights whose input spike is 1, and what a shortcut
adds; an averaging layer adds the sums of its whole map. BLAS does the work:
sums of integers are exact in any order while none can leave the mantissa, 24 bits in float32 (as in
every layer that quantize.py lets pass), else 53 in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hw.neuron import Neuron
from sw.datasets import scaled
from sw.integers import IntegerLayer, IntegerNetwork, IntegerSource
from sw.layers import Layer, Pool, Source


@dataclass(frozen=True)
class LayerResult:
    """One image through one layer, T ticks."""

    inputs: dict[str, np.ndarray]  # by source: uint8 (T, C, H, W), 0 or 1
    output: np.ndarray
    """uint8 (T, K, H, W) after pooling; without neurons, int32 (T, K), the sums."""
    filter_accumulates: dict[str, np.ndarray]
    """By source with weights, int64 (K,): steps, (weight, position, tick) triples, whose input spike is 1;
    padding is no spike."""
    shortcut_accumulates: np.ndarray  # int64 (K,): spikes that identity shortcuts added

    @property
    def accumulates(self) -> int:
        """Of all filters and sources."""
        return sum(int(counts.sum()) for counts in self.filter_accumulates.values())


def first_layer_spikes(network: IntegerNetwork, images: np.ndarray) -> np.ndarray:
    """The array's input: uint8 images (N, C, H, W) -> spikes, uint8 (N, T, C, H, W).

    The first convolution sees the normalized image once, in float64; its neurons replay that current
    for T ticks: v = factor v + x, fire at v >= 1 (or above 1), reset (the gain is folded into x). One image
    at a time, so that a batch cannot change the order of a sum. A network that takes spikes gets
    them as they are, uint8 (N, T, C, H, W).
    Raises ValueError unless `images` are uint8 of the first layer's channels.
    """
    if network.host is None:
        shape = (network.ticks, *network.input.shape)
        if images.dtype != np.uint8 or images.shape[1:] != shape or images.max(initial=0) > 1:
            raise ValueError(
                f"spikes are {images.dtype} {images.shape}, need uint8 (N, {shape}), 0 or 1"
            )
        return images
    layer, neuron = network.host.layer, network.host.neuron
    spikes = []
    for current in first_layer_currents(network, images):
        v = np.full_like(current, neuron.initial)
        ticks = np.empty((network.ticks, *current.shape), np.uint8)
        for t in range(network.ticks):
            v = neuron.found(v) + current
            ticks[t] = v >= neuron.level
            v = np.where(v >= neuron.level, neuron.after(v), v)
        spikes.append(_pool(ticks, layer))
    return np.stack(spikes)


def first_layer_currents(network: IntegerNetwork, images: np.ndarray) -> Iterator[np.ndarray]:
    """What each image adds to the first layer's potentials every tick, float64 (K, H, W)."""
    host = network.host
    if host is None:
        raise ValueError("the network takes spikes; no layer runs in software")
    source = host.layer.own
    channels = network.input.shape[0]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != channels:
        raise ValueError(
            f"images are {images.dtype} {images.shape}, need uint8 (N, {channels}, H, W)"
        )
    kernel = host.weight.reshape(host.layer.filters, -1)
    for image in scaled(images, network.input.mean or (), network.input.std or ()):
        columns, sides = patches(image[None], source, np.float64)
        yield (kernel @ columns + host.bias[:, None]).reshape(-1, *sides)


def run(network: IntegerNetwork, spikes: np.ndarray) -> dict[str, LayerResult]:
    """Every layer of the array, by name, for one image's input spikes, uint8 (T, C, H, W)."""
    maps = {network.first_map: spikes}
    results = {}
    for integer in network.array:
        given = [maps[part.source.map] for part in integer.sources]
        results[integer.name] = result = run_layer(integer, given)
        maps[integer.name] = result.output
    return results


def run_layer(integer: IntegerLayer, maps: Sequence[np.ndarray]) -> LayerResult:
    """One layer. maps: of each source, (T, C, H, W) of 0 and 1; a linear source flattens it.

    Raises ValueError for spikes of another shape.
    """
    layer, filters = integer.layer, integer.layer.filters
    extent = np.zeros(filters, np.int64)
    for part in integer.sources:
        extent += np.abs(part.weight.reshape(filters, -1)).sum(axis=1, dtype=np.int64)
    exact = np.float32 if extent.max() < 1 << 24 else np.float64
    acc = np.zeros((), np.int64)
    accumulates: dict[str, np.ndarray] = {}
    added = np.zeros(filters, np.int64)
    for part, spikes in zip(integer.sources, maps, strict=True):
        _check_map(integer, part, spikes)
        if part.source.identity:
            seen = spikes[:, part.channels, :: part.source.stride, :: part.source.stride]
            added += seen.sum(axis=(0, 2, 3), dtype=np.int64)
            sums = seen * part.weight[:, None, None]
        else:
            columns, sides = patches(spikes, part.source, exact)
            sums = part.weight.reshape(filters, -1).astype(exact) @ columns
            sums = sums.astype(np.int64).reshape(filters, len(spikes), *sides)
            sums = sums.transpose(1, 0, 2, 3)
            met = columns.sum(axis=1, dtype=np.float64)  # spikes that meet each weight of a filter
            counts = part.mask.reshape(filters, -1).astype(np.float64) @ met
            accumulates[part.name] = counts.astype(np.int64)
        if layer.reduce is not None:
            sums = sums.sum(axis=(2, 3), keepdims=True)
        acc = acc + sums
    acc = acc + integer.bias[:, None, None]
    if integer.threshold is None:
        output = acc.astype(np.int32)
        if output.shape[2:] == (1, 1):
            output = output.reshape(len(output), filters)
    else:
        output = _pool(_fire(acc, integer.threshold, integer.neuron), layer)
    inputs = {part.name: spikes for part, spikes in zip(integer.sources, maps, strict=True)}
    return LayerResult(inputs, output, accumulates, added)


def _check_map(integer: IntegerLayer, part: IntegerSource, spikes: np.ndarray) -> None:
    _, channels, height, width = spikes.shape
    source = part.source
    given = channels * height * width if source.kernel is None else channels
    if given != source.channels:
        raise ValueError(
            f"layer {integer.name}, source {part.name} (channels = {source.channels}) cannot take "
            f"spikes {spikes.shape}"
        )


def predict(result: np.ndarray) -> int:
    """Class of one image from the last layer: the largest sum over ticks, the lowest index on ties.

    result: sums (T, K), or spikes (T, K, H, W), which are counted.
    """
    ticks, classes = result.shape[:2]
    return int(np.argmax(result.reshape(ticks, classes, -1).sum(axis=(0, 2), dtype=np.int64)))


def patches(
    x: np.ndarray, source: Source, dtype: type[np.floating]
) -> tuple[np.ndarray, tuple[int, int]]:
    """im2col: (T, C, H, W) -> (C kh kw, T H' W') of `dtype`, and the output map's sides (H', W')."""
    if source.kernel is None:
        return x.reshape(len(x), -1).T.astype(dtype), (1, 1)
    pad, stride, (tall, wide) = source.padding, source.stride, source.kernel
    height, width = source.output(*x.shape[2:])
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))).transpose(1, 0, 2, 3)
    channels, ticks = padded.shape[:2]
    columns = np.empty((channels, tall * wide, ticks, height, width), dtype)
    for i in range(tall * wide):
        y, x0 = divmod(i, wide)
        rows = slice(y, y + stride * (height - 1) + 1, stride)
        columns[:, i] = padded[:, :, rows, x0 : x0 + stride * (width - 1) + 1 : stride]
    return columns.reshape(channels * tall * wide, -1), (height, width)


def _fire(acc: np.ndarray, threshold: np.ndarray, neuron: Neuron) -> np.ndarray:
    """A tick after the other: int64 (T, K, H, W) -> uint8."""
    threshold = threshold[:, None, None]
    u = np.broadcast_to(neuron.initial(threshold), acc.shape[1:])
    spikes = np.empty(acc.shape, np.uint8)
    for t, current in enumerate(acc):
        spikes[t], u = neuron.step(u, current, threshold, np.where)
    return spikes


def max_pool(spikes: np.ndarray) -> np.ndarray:
    """2x2 OR of spikes (T, K, H, W), an odd last row or column dropped."""
    ticks, filters, height, width = spikes.shape
    even = spikes[:, :, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(ticks, filters, height // 2, 2, width // 2, 2).max(axis=(3, 5))


def _pool(spikes: np.ndarray, layer: Layer) -> np.ndarray:
    return max_pool(spikes) if layer.pool is Pool.MAX2 else spikes
