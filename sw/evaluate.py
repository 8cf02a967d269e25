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
from threadpoolctl import threadpool_limits

from sw import golden, sparse
from sw.integers import IntegerLayer, IntegerNetwork, IntegerSource
from sw.layers import Layer, Pool, Source
from sw.sparse import BORDER, Leak, Reset

BATCH = 16  # images: four ticks of them, a byte each, fill a line of the cache


@dataclass(frozen=True)
class Numbers:
    """A source with weights in one arithmetic, int32 or float32, without the weights that are gone."""

    source: Source
    first: np.ndarray  # int64 (K + 1,): where each filter's weights begin
    index: tuple[np.ndarray, ...]  # input channel, row and column in the kernel of each weight
    weight: np.ndarray  # filter after filter


@dataclass(frozen=True)
class LayerNumbers:
    """A layer in one arithmetic."""

    layer: Layer
    learned: tuple[Numbers, ...]
    identities: tuple[tuple[Source, np.ndarray], ...]  # (K,): what a spike of each adds
    bias: np.ndarray  # (K,)
    neurons: NeuronNumbers | None  # None: its sums are its result


@dataclass(frozen=True)
class NeuronNumbers:
    """The neurons of a layer in one arithmetic. threshold, level, start: (K,), see `sparse.fire`."""

    threshold: np.ndarray
    level: np.ndarray
    start: np.ndarray
    leak: Leak
    reset: Reset


@dataclass(frozen=True)
class Arithmetic:
    """A network after its first layer, in int32 or float32."""

    first_map: str
    layers: tuple[LayerNumbers, ...]


def integers(network: IntegerNetwork) -> Arithmetic:
    """What the array computes; no sum leaves 24 bits (quantize.py)."""
    layers = tuple(
        _layer(i, np.int32, "weight", i.bias, _integer_neurons(i)) for i in network.array
    )
    return Arithmetic(network.first_map, layers)


def floats(network: IntegerNetwork) -> Arithmetic:
    """The network before it was rounded: it fires at v >= 1, or above 1."""
    layers = tuple(
        _layer(i, np.float32, "float_weight", i.float_bias, _float_neurons(i))
        for i in network.array
    )
    return Arithmetic(network.first_map, layers)


def _integer_neurons(integer: IntegerLayer) -> NeuronNumbers | None:
    if integer.threshold is None:
        return None
    neuron, threshold = integer.neuron, integer.threshold.astype(np.int32)
    return NeuronNumbers(
        threshold=threshold,
        level=threshold - np.int32(neuron.above),
        start=np.zeros_like(threshold) + neuron.initial(threshold),
        leak=sparse.integer_leak(neuron),
        reset=sparse.reset(neuron.reset_to),
    )


def _float_neurons(integer: IntegerLayer) -> NeuronNumbers | None:
    if integer.threshold is None:
        return None
    neuron, one = integer.neuron, np.float32(1)
    trained = integer.layer.neuron
    above = trained is not None and trained.fires == "above"
    fires = np.nextafter(one, np.float32(2)) if above else one  # the least potential that does
    level = np.full(integer.layer.filters, one)
    return NeuronNumbers(
        threshold=level * fires,
        level=level,
        start=level * np.float32(0.5 if neuron.start == "half" else 0),
        leak=sparse.float_leak(neuron.factor, neuron.reset_to, np.float32),
        reset=sparse.reset(neuron.reset_to),
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
    expected = golden.run(network, spikes)[network.array[-1].name].output
    if not np.array_equal(found, expected.reshape(*expected.shape[:2], -1).sum(axis=2)):
        raise RuntimeError("the batched integer network differs from the golden model")


def predict(results: np.ndarray) -> np.ndarray:
    """Class of each image, int64 (N,), from the last layer's result (N, T, K): lowest index on ties."""
    total = np.int64 if results.dtype == np.int32 else np.float64
    return results.sum(axis=1, dtype=total).argmax(axis=1)


def first_layer(network: IntegerNetwork, images: np.ndarray) -> np.ndarray:
    """The spikes of `golden.first_layer_spikes`, as int8 (T, K, H, W, N): images are innermost."""
    if network.host is None:
        return np.moveaxis(golden.first_layer_spikes(network, images), 0, -1).astype(np.int8)
    currents = np.stack(list(golden.first_layer_currents(network, images)), axis=-1)
    spikes = np.empty((network.ticks, *currents.shape), np.int8)
    neuron = network.host.neuron
    sparse.replay(
        currents.ravel(),
        sparse.float_leak(neuron.leak, neuron.reset, np.float64),
        neuron.level,
        neuron.initial,
        sparse.reset(neuron.reset),
        spikes.reshape(network.ticks, -1),
    )
    if network.host.layer.pool is Pool.MAX2:
        ticks, filters, height, width, batch = spikes.shape
        even = spikes[:, :, : height // 2 * 2, : width // 2 * 2]
        spikes = even.reshape(ticks, filters, height // 2, 2, width // 2, 2, batch).max(axis=(3, 5))
    return spikes


def outputs(network: Arithmetic, spikes: np.ndarray) -> np.ndarray:
    """The last layer's result (N, T, K) for the array's input (T, K, H, W, N): sums, or spikes counted."""
    ticks, channels, height, width, batch = spikes.shape
    image = sparse.empty_map(channels, height, width, ticks * batch)
    inside = image[:, BORDER:-BORDER, BORDER:-BORDER]
    inside.reshape(channels, height, width, ticks, batch)[...] = np.moveaxis(spikes, 0, 3)
    maps: dict[str, np.ndarray] = {network.first_map: image}
    for numbers in network.layers:
        sums = _layer_sums(numbers, maps)
        if numbers.neurons is None:
            result = sums
        else:
            maps[numbers.layer.name] = fired = _fired(numbers.layer, numbers.neurons, sums, ticks)
            result = fired[:, BORDER:-BORDER, BORDER:-BORDER].astype(np.int32)
    return result.sum(axis=(1, 2), dtype=result.dtype).reshape(-1, ticks, batch).transpose(2, 1, 0)


def _layer(
    integer: IntegerLayer,
    dtype: type[np.number],
    field: str,
    bias: np.ndarray,
    neurons: NeuronNumbers | None,
) -> LayerNumbers:
    """field: which weights."""
    filters = integer.layer.filters

    def each(value: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, dtype), filters)

    return LayerNumbers(
        layer=integer.layer,
        learned=tuple(
            _numbers(part, getattr(part, field)[part.mask].astype(dtype))
            for part in integer.sources
            if not part.source.identity
        ),
        identities=tuple((part.source, each(getattr(part, field))) for part in integer.identities),
        bias=each(bias),
        neurons=neurons,
    )


def _numbers(part: IntegerSource, weight: np.ndarray) -> Numbers:
    kernel = part.source.kernel or (1, 1)
    filter_, *index = np.nonzero(part.mask.reshape(*part.mask.shape[:2], *kernel))
    return Numbers(
        source=part.source,
        first=np.searchsorted(filter_, np.arange(len(part.mask) + 1)),
        index=tuple(index),
        weight=weight,
    )


def _layer_sums(numbers: LayerNumbers, maps: dict[str, np.ndarray]) -> np.ndarray:
    """Biases and what all sources add, (K, H, W, lanes); an averaging layer's over the whole map."""
    own = numbers.learned[0].source
    x = maps[own.map]
    height, width = own.output(*(side - 2 * BORDER for side in x.shape[1:3]))
    filters, lanes = len(numbers.bias), x.shape[3]
    sums = np.zeros((filters, height, width, lanes), numbers.learned[0].weight.dtype)
    average = numbers.layer.reduce is not None
    bias = numbers.bias.reshape(-1, 1, 1, 1)
    if not average:
        sums[...] = bias
    _add(numbers.learned[0], x, sums)
    for part in numbers.learned[1:]:
        more = np.zeros_like(sums)
        _add(part, maps[part.source.map], more)
        sums += more
    for source, adds in numbers.identities:
        inside = maps[source.map][:, BORDER:-BORDER, BORDER:-BORDER]
        sums += inside[:, :: source.stride, :: source.stride] * adds.reshape(-1, 1, 1, 1)
    if average:
        sums = sums.sum(axis=(1, 2), keepdims=True, dtype=sums.dtype)
        sums += bias
    return sums


def _add(numbers: Numbers, x: np.ndarray, sums: np.ndarray) -> None:
    """Weights times spikes of one source, onto (K, H, W, lanes)."""
    source, (channel, row, column) = numbers.source, numbers.index
    edge = BORDER - source.padding
    if edge < 0:
        grow = -edge
        x = np.pad(x, ((0, 0), (grow, grow), (grow, grow), (0, 0)))
        edge = 0
    _, padded_height, padded_width, lanes = x.shape
    if source.kernel is None:  # a position of the flattened map is a channel of its own
        wide = padded_width - 2 * BORDER
        channel, position = np.divmod(channel, (padded_height - 2 * BORDER) * wide)
        row, column = np.divmod(position, wide)
    offset = ((channel * padded_height + row + edge) * padded_width + column + edge) * lanes
    sparse.convolve(
        x.ravel(), padded_width, source.stride, numbers.first, offset, numbers.weight, sums
    )


def _fired(layer: Layer, neurons: NeuronNumbers, sums: np.ndarray, ticks: int) -> np.ndarray:
    """The map of spikes, pooled, of neurons that get `sums`."""
    filters, height, width, lanes = sums.shape
    pool = 2 if layer.pool is Pool.MAX2 else 1
    result = sparse.empty_map(filters, height // pool, width // pool, lanes)
    n = neurons
    sparse.fire(sums, n.threshold, n.level, n.start, n.leak, n.reset, ticks, pool, result)
    return result
