"""A graph run as its file says, in float64 and node by node: what the integers are compared with."""

from __future__ import annotations

import numpy as np

from sw.importers.graph import (
    INPUT,
    Add,
    BatchNorm,
    Conv,
    Flatten,
    Graph,
    Ignored,
    Linear,
    Operation,
    Pooling,
    Scale,
    Spiking,
)
from sw.importers.taps import dilated


def run(graph: Graph, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Every node's value, float64 (T, ...), for inputs (T, C, H, W): an image is the same every tick."""
    values = {INPUT: inputs.astype(np.float64)}
    for node in graph.nodes:
        given = [values[name] for name in node.inputs]
        values[node.name] = _value(node.operation, given)
    return values


def _value(operation: Operation, given: list[np.ndarray]) -> np.ndarray:
    x = given[0]
    if isinstance(operation, Add):
        return np.sum(given, axis=0)
    if isinstance(operation, Ignored):
        return x
    if isinstance(operation, Flatten):
        return x.reshape(len(x), -1)
    if isinstance(operation, Scale):
        return x * _over(operation.factor, x)
    if isinstance(operation, BatchNorm):
        factor = operation.weight / np.sqrt(operation.var.astype(np.float64) + operation.eps)
        return (x - _over(operation.mean, x)) * _over(factor, x) + _over(operation.bias, x)
    if isinstance(operation, Linear):
        sums = x.reshape(len(x), -1) @ operation.weight.T.astype(np.float64)
        return sums if operation.bias is None else sums + operation.bias
    if isinstance(operation, Conv):
        return _conv(operation, x)
    if isinstance(operation, Pooling):
        return _pool(operation, x)
    return _fire(operation, x)


def _over(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Numbers a channel, beside (T, K, ...); or one for all, or one a neuron."""
    if values.shape == x.shape[1:2] and x.ndim == 4:
        return values.reshape(-1, 1, 1)
    return values if values.size > 1 else values.reshape(())


def _windows(x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    """(T, C, H', W', kh, kw)."""
    views = np.lib.stride_tricks.sliding_window_view(x, kernel, (2, 3))  # type: ignore[call-overload]
    return views[:, :, :: stride[0], :: stride[1]]


def _conv(conv: Conv, x: np.ndarray) -> np.ndarray:
    weight = dilated(conv.weight.astype(np.float64), conv.dilation)
    down, across = conv.padding
    padded = np.pad(x, ((0, 0), (0, 0), (down, down), (across, across)))
    kernel = (weight.shape[2], weight.shape[3])
    windows = _windows(padded, kernel, conv.stride)
    groups = np.split(windows, conv.groups, axis=1)
    filters = np.split(weight, conv.groups, axis=0)
    parts = [
        np.einsum("tcyxij,kcij->tkyx", g, f, optimize=True)
        for g, f in zip(groups, filters, strict=True)
    ]
    sums = np.concatenate(parts, axis=1)
    return sums if conv.bias is None else sums + conv.bias.reshape(-1, 1, 1)


def _pool(pool: Pooling, x: np.ndarray) -> np.ndarray:
    kernel = pool.kernel or (x.shape[2], x.shape[3])
    stride = pool.stride if pool.kernel else kernel
    down, across = pool.padding
    fill = -np.inf if pool.kind == "max" else 0.0
    edges = ((0, 0), (0, 0), (down, down), (across, across))
    padded = np.pad(x, edges, constant_values=fill)
    windows = _windows(padded, kernel, stride)
    if pool.kind == "max":
        return windows.max(axis=(4, 5))
    return windows.mean(axis=(4, 5)) if pool.kind == "mean" else windows.sum(axis=(4, 5))


def _fire(neuron: Spiking, x: np.ndarray) -> np.ndarray:
    gain, threshold, offset = (
        _over(np.asarray(a), x) for a in (neuron.gain, neuron.threshold, neuron.offset)
    )
    v = np.zeros(x.shape[1:]) + (threshold / 2 if neuron.start == "half" else 0)
    spikes, owed = np.empty(x.shape), np.zeros(x.shape[1:])
    for t, current in enumerate(x):
        v = neuron.leak * v + gain * current + offset - owed
        fires = v > threshold if neuron.above else v >= threshold
        spikes[t] = fires
        if neuron.reset == "late":
            owed = fires * threshold
        else:
            v = np.where(fires, v - threshold if neuron.reset == "subtract" else 0.0, v)
    return spikes
