"""Accuracy of a ticket on whole test sets: sparse convolutions, many images at a time.

Both networks of a quantized ticket run here: the integers that the array computes with, equal to the
golden model bit for bit, and the folded float weights that they were rounded from. Work is driven by
the weights, as in the array (sw/sparse.py).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from sim.models import golden
from sw import sparse
from sw.networks import Layer
from sw.quantize import IntegerLayer, IntegerNetwork
from sw.sparse import BORDER, Leak, Reset

BATCH = 16  # images: four ticks of them, a byte each, fill a line of the cache


@dataclass(frozen=True)
class Numbers:
    """A layer in one arithmetic, int32 or float32, without the weights that are gone."""

    layer: Layer
    first: np.ndarray  # int64 (K + 1,): where each filter's weights begin
    index: tuple[np.ndarray, ...]  # input channel, row and column in the kernel of each weight
    weight: np.ndarray  # filter after filter
    bias: np.ndarray  # (K,)
    threshold: np.ndarray | None  # (K,); None: its sums are its result
    shortcut: np.ndarray | None  # (K,): what a spike of an identity shortcut adds


@dataclass(frozen=True)
class Arithmetic:
    """A network after its first layer, in int32 or float32."""

    layers: tuple[Numbers, ...]
    leak: Leak
    reset: Reset


def integers(network: IntegerNetwork) -> Arithmetic:
    """What the array computes; no sum leaves 24 bits (quantize.py)."""
    layers = (
        _numbers(i, np.int32, i.weight, i.bias, i.threshold, i.shortcut) for i in network.array
    )
    return Arithmetic(
        tuple(layers), sparse.integer_leak(network.neuron), sparse.reset(network.neuron)
    )


def floats(network: IntegerNetwork) -> Arithmetic:
    """The network before it was rounded: it fires at v >= 1, and a shortcut's spike adds the gain."""
    gain = network.neuron.gain
    layers = (_numbers(i, np.float32, i.float_weight, i.float_bias, 1, gain) for i in network.array)
    return Arithmetic(
        tuple(layers), sparse.float_leak(network.neuron), sparse.reset(network.neuron)
    )


def accuracies(
    network: IntegerNetwork,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    threads: int = 1,
    done: Callable[[], None] = lambda: None,
) -> tuple[float, float]:
    """Fractions of uint8 images (N, C, H, W) that the float and the integer network classify right.

    done: called after each of the `batches` of N images. The first image is also put through the golden model.
    Raises RuntimeError where that differs from what ran here.
    """
    kinds = floats(network), integers(network)

    def right(at: int) -> list[int]:
        spikes = first_layer(network, images[at : at + BATCH])
        results = [outputs(kind, spikes) for kind in kinds]
        if at == 0:
            _check(network, images[:1], results[1][0])
        done()
        return [int(np.sum(predict(r) == labels[at : at + BATCH])) for r in results]

    # NumPy's BLAS has its own threads, which spend more on waiting for each other than on such products
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        counts = np.sum(list(pool.map(right, range(0, len(images), BATCH))), axis=0)
    float_right, integer_right = (int(count) / len(images) for count in counts)
    return float_right, integer_right


def batches(images: int) -> int:
    """In how many parts `accuracies` takes them."""
    return -(-images // BATCH)


def _check(network: IntegerNetwork, image: np.ndarray, found: np.ndarray) -> None:
    spikes = golden.first_layer_spikes(network, image)[0]
    expected = golden.run(network, spikes)[network.layers[-1].name].output
    if not np.array_equal(found, expected):
        raise RuntimeError("the batched integer network differs from the golden model")


def predict(results: np.ndarray) -> np.ndarray:
    """Class of each image, int64 (N,), from the classifier's sums (N, T, K): lowest index on ties."""
    total = np.int64 if results.dtype == np.int32 else np.float64
    return results.sum(axis=1, dtype=total).argmax(axis=1)


def first_layer(network: IntegerNetwork, images: np.ndarray) -> np.ndarray:
    """The spikes of `golden.first_layer_spikes`, as int8 (T, K, H, W, N): images are innermost."""
    currents = np.stack(list(golden.first_layer_currents(network, images)), axis=-1)
    spikes = np.empty((network.ticks, *currents.shape), np.int8)
    sparse.replay(
        currents.ravel(),
        network.neuron.factor,
        sparse.reset(network.neuron),
        spikes.reshape(network.ticks, -1),
    )
    if network.layers[0].pool == "max2":
        ticks, filters, height, width, batch = spikes.shape
        even = spikes[:, :, : height // 2 * 2, : width // 2 * 2]
        spikes = even.reshape(ticks, filters, height // 2, 2, width // 2, 2, batch).max(axis=(3, 5))
    return spikes


def outputs(network: Arithmetic, spikes: np.ndarray) -> np.ndarray:
    """The classifier's sums (N, T, K), for spikes of the first layer (T, K, H, W, N)."""
    ticks, filters, height, width, batch = spikes.shape
    image = sparse.empty_map(filters, height, width, ticks * batch)
    inside = image[:, BORDER:-BORDER, BORDER:-BORDER]
    inside.reshape(filters, height, width, ticks, batch)[...] = np.moveaxis(spikes, 0, 3)
    maps: dict[str | None, np.ndarray] = {network.layers[0].layer.input: image}
    for numbers in network.layers:
        layer = numbers.layer
        sums = _sums(numbers, maps[layer.input])
        if layer.shortcut == "conv":
            sums += maps[layer.shortcut_input]
        elif numbers.shortcut is not None:
            added = maps[layer.shortcut_input][:, BORDER:-BORDER, BORDER:-BORDER]
            sums += added * numbers.shortcut.reshape(-1, 1, 1, 1)
        if layer.kind == "linear":
            return sums.reshape(-1, ticks, batch).transpose(2, 1, 0)
        if numbers.threshold is None:
            maps[layer.name] = sums
        else:
            maps[layer.name] = _fired(numbers, sums, network, ticks)
    raise ValueError("the network has no classifier")


def _numbers(
    integer: IntegerLayer,
    dtype: type[np.number],
    weight: np.ndarray,
    bias: np.ndarray,
    threshold: ArrayLike | None,
    shortcut: ArrayLike | None,
) -> Numbers:
    """threshold, shortcut: (K,) or one for all; of a layer that has any."""
    layer, filters = integer.layer, integer.layer.out_channels
    filter_, *index = np.nonzero(
        integer.mask.reshape(filters, layer.in_channels, *2 * [layer.kernel])
    )

    def each(value: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, dtype), filters)

    return Numbers(
        layer=layer,
        first=np.searchsorted(filter_, np.arange(filters + 1)),
        index=tuple(index),
        weight=weight[integer.mask].astype(dtype),
        bias=each(bias),
        threshold=None if integer.threshold is None else each(threshold),
        shortcut=each(shortcut) if layer.shortcut == "identity" else None,
    )


def _sums(numbers: Numbers, x: np.ndarray) -> np.ndarray:
    """Biases and weights times spikes, (K, H, W, lanes); an averaging layer's over the whole map."""
    layer, (channel, row, column) = numbers.layer, numbers.index
    _, padded_height, padded_width, lanes = x.shape
    height, width = (layer.output_side(side - 2 * BORDER) for side in x.shape[1:3])
    if layer.kind == "linear":  # a position of the flattened map is a channel of its own
        channel, position = np.divmod(
            channel, (padded_height - 2 * BORDER) * (padded_width - 2 * BORDER)
        )
        row, column = np.divmod(position, padded_width - 2 * BORDER)
        height = width = 1
    edge = BORDER - layer.padding
    offset = ((channel * padded_height + row + edge) * padded_width + column + edge) * lanes
    sums = np.empty((len(numbers.bias), height, width, lanes), numbers.weight.dtype)
    average = layer.pool == "avg"
    sums[...] = 0 if average else numbers.bias.reshape(-1, 1, 1, 1)
    sparse.convolve(
        x.ravel(), padded_width, layer.stride, numbers.first, offset, numbers.weight, sums
    )
    if average:
        sums = sums.sum(axis=(1, 2), keepdims=True, dtype=sums.dtype)
        sums += numbers.bias.reshape(-1, 1, 1, 1)
    return sums


def _fired(numbers: Numbers, sums: np.ndarray, network: Arithmetic, ticks: int) -> np.ndarray:
    """The map of spikes, pooled, of neurons that get `sums`."""
    filters, height, width, lanes = sums.shape
    pool = 2 if numbers.layer.pool == "max2" else 1
    result = sparse.empty_map(filters, height // pool, width // pool, lanes)
    sparse.fire(sums, numbers.threshold, network.leak, network.reset, ticks, pool, result)
    return result
