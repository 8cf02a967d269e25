"""Kernels rewritten into others with the same sums: over pooled maps, of other sides and paddings. All exact."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sw.layers import Shape

ARRAY_KERNEL = 3  # the largest of the array; smaller ones are filled up with zeros


@dataclass(frozen=True)
class View:
    """A map seen through a pool of means or sums: windows of `kernel`, each a sum times `factor`."""

    kernel: tuple[int, int] = (1, 1)
    factor: float = 1.0

    def output(self, shape: Shape) -> Shape:
        """The pooled map's."""
        down, across = self.kernel
        return Shape(shape.channels, shape.height // down, shape.width // across)


@dataclass(frozen=True)
class Taps:
    """How each filter sees a map: weight (K, C / groups, kh, kw) float64; pairs are (down, across)."""

    weight: np.ndarray
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width."""
        return self.weight.shape[2], self.weight.shape[3]

    def by_input(self, numbers: Sequence[float]) -> np.ndarray:
        """Numbers of the map's channels, (C,), beside the weights that see them: (K, C / groups, 1, 1)."""
        grouped = np.reshape(numbers, (self.groups, -1, 1, 1))
        return np.repeat(grouped, len(self.weight) // self.groups, axis=0)

    def output(self, shape: Shape) -> tuple[int, int]:
        """Height and width of the map of sums."""
        sides = zip(
            (shape.height, shape.width), self.kernel, self.padding, self.stride, strict=True
        )
        down, across = ((side + 2 * pad - k) // stride + 1 for side, k, pad, stride in sides)
        return down, across


def dilated(weight: np.ndarray, dilation: tuple[int, int]) -> np.ndarray:
    """A kernel with zeros between its taps."""
    if dilation == (1, 1):
        return weight
    down, across = dilation
    height, width = weight.shape[2:]
    wide = np.zeros(
        (*weight.shape[:2], (height - 1) * down + 1, (width - 1) * across + 1), weight.dtype
    )
    wide[:, :, ::down, ::across] = weight
    return wide


def through(taps: Taps, view: View) -> Taps:
    """What reads a pooled map reads the map itself: each tap becomes a window."""
    down, across = view.kernel
    weight = np.repeat(np.repeat(taps.weight, down, axis=2), across, axis=3) * view.factor
    stride, padding = taps.stride, taps.padding
    return Taps(
        weight,
        (stride[0] * down, stride[1] * across),
        (padding[0] * down, padding[1] * across),
        taps.groups,
    )


def reaches_rest(taps: Taps, view: View, shape: Shape) -> bool:
    """Whether a kernel of `through` reads rows or columns that the pool drops, where its padding should be."""
    last_ends = (
        (count - 1) * stride - pad + kernel
        for count, stride, pad, kernel in zip(
            taps.output(shape), taps.stride, taps.padding, taps.kernel, strict=True
        )
    )
    sides = zip((shape.height, shape.width), view.kernel, last_ends, strict=True)
    return any(side % window and end > side - side % window for side, window, end in sides)


def square(taps: Taps, shape: Shape) -> Taps:
    """With one padding on all sides, and small kernels as 3x3, by taps of zero; else as it was.

    A side more finds what 3x3 does not: 2x2 of stride 2 on a map of 9x8.
    """
    if taps.kernel == (1, 1) and taps.padding == (0, 0):
        return taps
    wanted, least = taps.output(shape), max(ARRAY_KERNEL, *taps.kernel)
    for side, more in itertools.product((least, least + 1), (0, 1)):
        pad = max(taps.padding) + more
        before = [pad - own for own in taps.padding]
        after = [side - k - lead for k, lead in zip(taps.kernel, before, strict=True)]
        if min(before) < 0 or min(after) < 0:
            continue
        edges = ((0, 0), (0, 0), (before[0], after[0]), (before[1], after[1]))
        grown = replace(taps, weight=np.pad(taps.weight, edges), padding=(pad, pad))
        if grown.output(shape) == wanted:
            return grown
    return taps
