"""Convolutions of pruned weights in training: only the weights that are present are multiplied.

`torch` multiplies the zeros, too. Here all three products of a step (sums, gradient of the input, of the
weights) visit the present weights alone, compiled from sparse_products.cpp: a pruned round trains
more than twice as fast (benchmarks/training.py). CPU, stride 1, maps of the same size before and behind.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch

from support.errors import BadInput
from support.native import library

SOURCE = Path(__file__).with_name("sparse_products.cpp")
OPTIONS = ("-O3", "-march=native")
DENSE = 0.2  # share of the weights from which dense products are faster: about even at 0.25 on 32x32 maps, one CPU


class _Shape(ctypes.Structure):
    """As in sparse_products.cpp."""

    _fields_ = [(n, ctypes.c_int64) for n in ("images", "channels", "height", "width", "border")]


class _Weights(ctypes.Structure):
    """As in sparse_products.cpp."""

    _fields_ = [
        ("filters", ctypes.c_int64),
        ("chunks", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("first", "offset", "value")),
    ]


@cache
def _products() -> ctypes.CDLL:
    """Raises BadInput where g++ is missing or refuses the file."""
    return library(SOURCE, options=OPTIONS)


LANES = 16  # images of a block: of lanes.h
CHUNK = 8  # channels whose tile the nearest cache holds
ENOUGH = 3.0  # weights of a filter in a chunk, from which chunks pay


@cache
def cannot() -> str | None:
    """None where the products work, or one line on why not."""
    try:
        _products()
    except BadInput as error:
        return str(error)
    return None


class _Side:
    """Weights in the order of their products: by chunk of what they read, then by what they add to."""

    def __init__(
        self, to: torch.Tensor, of: torch.Tensor, tap: torch.Tensor, sizes: tuple[int, int]
    ) -> None:
        """to, of, tap (weights,): filter, channel, and row and column (weights, 2) of the map's window.

        sizes: numbers of filters and channels; for the gradient of the input they change places.
        """
        self.filters, channels = sizes
        chunk = CHUNK if len(to) * CHUNK >= ENOUGH * self.filters * channels else channels
        self.chunks = -(-channels // chunk)
        place = of // chunk * self.filters + to
        self.order = torch.argsort(place, stable=True)
        counts = place.bincount(minlength=self.chunks * self.filters)
        self.first = torch.cat((torch.zeros(1).long(), counts.cumsum(0)))
        self.channel, self.row, self.column = (
            part[self.order] for part in (of, tap[:, 0], tap[:, 1])
        )

    def offsets(self, height: int, width: int, border: int) -> torch.Tensor:
        """Of each weight in a packed map, for the output position (0, 0)."""
        row = (width + 2 * border) * LANES
        plane = (height + 2 * border) * row
        return self.channel * plane + self.row * row + self.column * LANES

    def described(self, offset: torch.Tensor, value: torch.Tensor) -> _Weights:
        """For the compiled products. The tensors must outlive it."""
        pointers = (part.data_ptr() for part in (self.first, offset, value))
        return _Weights(self.filters, self.chunks, *pointers)


class Present:
    """Which weights (K, C, R, S) of a convolution are present, in the orders that its products need."""

    def __init__(self, mask: torch.Tensor) -> None:
        """mask: boolean (K, C, R, S), R = S odd."""
        filters, channels, kernel, _ = mask.shape
        rows = mask.permute(0, 2, 3, 1).contiguous()  # as channels-last weights lie in memory
        k, *tap, c = rows.nonzero().unbind(1)
        taps = torch.stack(tap, 1)
        self.border = kernel // 2
        self.by_filter = _Side(k, c, taps, (filters, channels))
        self.index = rows.flatten().nonzero().flatten()[self.by_filter.order]
        self.by_channel = _Side(c, k, kernel - 1 - taps, (channels, filters))
        back = torch.argsort(self.by_filter.order)
        self.turn = back[self.by_channel.order]
        self._offsets: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def offsets(self, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the weights by filter, and by channel, on maps of that size."""
        key = height, width
        if key not in self._offsets:
            sides = self.by_filter, self.by_channel
            first, second = (side.offsets(height, width, self.border) for side in sides)
            self._offsets[key] = first, second
        return self._offsets[key]

    def convolve(self, x: torch.Tensor, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Sums (B, K, H, W) of x (B, C, H, W), channels last, and `weight` (K, C, R, S), in `dtype`.

        dtype: bfloat16 or float32, of the maps; sums are added in float32. Raises BadInput where `cannot`
        says why.
        """
        values = weight.permute(0, 2, 3, 1).reshape(-1)[self.index]
        sums = _Sparse.apply(x.to(dtype).permute(0, 2, 3, 1).contiguous(), values, self)
        return sums.permute(0, 3, 1, 2)


class _Sparse(torch.autograd.Function):
    """Of x (B, H, W, C) and the present weights, by filter."""

    @staticmethod
    def forward(ctx, x, values, present):  # noqa: ANN001, ANN205
        values = values.float()
        ctx.save_for_backward(x, values)
        ctx.present = present
        batch, height, width, _ = x.shape
        by_filter, _ = present.offsets(height, width)
        side = present.by_filter
        out = x.new_empty(batch, height, width, side.filters)
        _products().sparse_forward(
            *_common(x, present, side.described(by_filter, values)),
            _pointer(x),
            _pointer(out),
            _threads(),
        )
        return out

    @staticmethod
    def backward(ctx, outer):  # noqa: ANN001, ANN205
        x, values = ctx.saved_tensors
        present = ctx.present
        outer = outer.contiguous()
        by_filter, by_channel = present.offsets(*x.shape[1:3])
        turned_values = values[present.turn]
        turned = present.by_channel.described(by_channel, turned_values)
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        if of_x is None:
            turned.filters = 0
        of_values = torch.empty_like(values)
        shape, weights, half = _common(x, present, present.by_filter.described(by_filter, values))
        _products().sparse_backward(
            shape,
            weights,
            ctypes.byref(turned),
            half,
            _pointer(x),
            _pointer(outer),
            _pointer(of_x) if of_x is not None else None,
            _pointer(of_values),
            _threads(),
        )
        return of_x, of_values, None


def _common(x: torch.Tensor, present: Present, weights: _Weights) -> tuple[Any, Any, Any]:
    """The first arguments of both functions."""
    batch, height, width, channels = x.shape
    shape = _Shape(batch, channels, height, width, present.border)
    half = ctypes.c_int64(x.dtype is torch.bfloat16)
    return ctypes.byref(shape), ctypes.byref(weights), half


def _pointer(tensor: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _threads() -> ctypes.c_int64:
    return ctypes.c_int64(torch.get_num_threads())
