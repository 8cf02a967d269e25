"""Sparse convolutions of spikes and LIF neurons, many images at a time, compiled by Numba.

A map of spikes is int8 (C, H + 2, W + 2, lanes), lanes = ticks * images: images are innermost, so that
a weight is added for whole vectors of them, and the border of zeros is the padding. Sums are (K, H, W,
lanes) of the weights' type, int32 or float32; no compiler changes their order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from hw.neuron import Neuron, after

BORDER = 1  # positions around a map
Leak = Callable[
    [Any, Any, Any], Any
]  # compiled: what a tick finds of a potential; see `integer_leak`
Reset = Callable[[Any, Any], Any]  # compiled: the potential after firing, of it and the level
compiled = numba.njit(nogil=True)


def empty_map(channels: int, height: int, width: int, lanes: int) -> np.ndarray:
    """A map without spikes."""
    return np.zeros((channels, height + 2 * BORDER, width + 2 * BORDER, lanes), np.int8)


@functools.cache
def integer_leak(neuron: Neuron) -> Leak:
    """What a tick finds of the potential that the one before left, threshold and level: `neuron.leak` less `neuron.owed`."""
    kept, amount = compiled(neuron.kept), neuron.amount
    if neuron.reset_to == "late":
        return compiled(lambda u, threshold, level: kept(u, amount) - (u >= threshold) * level)
    return compiled(lambda u, threshold, level: kept(u, amount))


@functools.cache
def float_leak(factor: float, reset_to: str, dtype: type[np.floating]) -> Leak:
    """The same of a trained neuron: its factor is `dtype`'s."""
    share = dtype(factor)
    if reset_to == "late":
        return compiled(lambda u, threshold, level: share * u - (u >= threshold) * level)
    return compiled(lambda u, threshold, level: share * u)


@functools.cache
def reset(reset_to: str) -> Reset:
    """The potential after firing, of it and the level that a subtraction takes away."""
    return compiled(after(reset_to))


@compiled
def convolve(x, width, stride, first, offset, weight, sums):  # noqa: ANN001, ANN201
    """Add weights times spikes to `sums`.

    x: a map, flat, of `width` positions a row, its border included. first (K + 1,): where each
    filter's weights begin. offset: of each weight in x, for the output position (0, 0).
    """
    filters, height, out_width, lanes = sums.shape
    runs, run = (1, out_width * lanes) if stride == 1 else (out_width, lanes)  # adjacent in x
    for y in range(height):  # all filters visit the same rows, which stay in the cache
        rows = x[y * stride * width * lanes :]
        for k in range(filters):
            of_k = slice(first[k], first[k + 1])
            row = sums[k, y].reshape((runs, run))
            _add(row, rows, stride * lanes, offset[of_k], weight[of_k])


@compiled
def _add(sums, x, step, offset, weight):  # noqa: ANN001, ANN202
    """Add one filter's weights to a row of it, (runs, run), a run every `step` of x: four at a time."""
    runs, run = sums.shape
    whole = len(weight) // 4 * 4
    for j in range(0, whole, 4):
        wa, wb, wc, wd = weight[j], weight[j + 1], weight[j + 2], weight[j + 3]
        for r in range(runs):
            row, rest = sums[r], x[r * step :]
            a, b = rest[offset[j] :][:run], rest[offset[j + 1] :][:run]
            c, d = rest[offset[j + 2] :][:run], rest[offset[j + 3] :][:run]
            for i in range(run):
                row[i] += wa * a[i] + wb * b[i] + wc * c[i] + wd * d[i]
    for j in range(whole, len(weight)):
        wa = weight[j]
        for r in range(runs):
            row, a = sums[r], x[offset[j] + r * step :][:run]
            for i in range(run):
                row[i] += wa * a[i]


@compiled
def fire(sums, threshold, level, start, leak, reset, ticks, pool, spikes):  # noqa: ANN001, ANN201
    """U = leak(u, threshold, level) + sum, u >= threshold (K,) fires, u = reset(u, level (K,)), into the map `spikes`.

    start (K,): u before the first tick. pool: 2 for 2x2 OR-pooling, an odd last row or column dropped; else 1.
    """
    filters, height, width, lanes = sums.shape
    batch = lanes // ticks
    left = np.empty(batch, sums.dtype)
    for k in range(filters):
        for y in range(height // pool * pool):
            for x in range(width // pool * pool):
                left[:] = start[k]
                row = sums[k, y, x].reshape((ticks, batch))
                out = spikes[k, y // pool + BORDER, x // pool + BORDER].reshape((ticks, batch))
                for t in range(ticks):
                    for b in range(batch):
                        u = leak(left[b], threshold[k], level[k]) + row[t, b]
                        out[t, b] |= u >= threshold[k]
                        left[b] = reset(u, level[k]) if u >= threshold[k] else u


@compiled
def replay(current, leak, least, start, reset, spikes):  # noqa: ANN001, ANN201
    """The first layer's neurons in float64: the same `current` (neurons,) every tick, spikes (T, neurons).

    least: the least potential that fires, 1 or what comes after it. start: the potential before the first tick.
    """
    v = np.full_like(current, start)
    for t in range(len(spikes)):
        for i in range(len(current)):
            u = leak(v[i], least, 1.0) + current[i]
            spikes[t, i] = u >= least
            v[i] = reset(u, 1.0) if u >= least else u
