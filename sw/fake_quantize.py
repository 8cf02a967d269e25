"""Training with quantized weights: what the hardware will load, with a straight-through gradient.

The forward and the backward pass see `fake_quantized` weights; the optimizer moves the float weights
behind them by that gradient, unchanged (Bengio et al. 2013).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


def fake_quantized(
    weight: torch.Tensor, mask: torch.Tensor, *, weight_bits: int, classifier: bool
) -> torch.Tensor:
    """Weights (K, ...) as integers of `weight_bits` over a scale, by the rules of sw/quantize.py.

    A filter's scale (a classifier's: one for all) is the largest for which no |integer| exceeds
    2^(weight_bits - 1) - 1; in the mask 0 becomes +-1. Batch norm, folded in later, scales a whole
    filter and so changes no integer. Not looked at: the accumulator, which bounds no scale of 8 bits
    or less but that of a filter whose weights are next to nothing.
    """
    limit = 2 ** (weight_bits - 1) - 1
    values = weight.detach().double() * mask
    rows = values.abs().flatten(1)
    largest = (rows.max() if classifier else rows.amax(1)).expand(len(rows))
    largest = largest.view(-1, *[1] * (weight.ndim - 1))
    # |integer| is limit + 1/2 at the largest weight, which rounds down: the scale is a hair smaller.
    integers = torch.round(values * ((limit + 0.5) / largest)).clamp(-limit, limit)
    one = torch.where(values < 0, -1.0, 1.0)
    integers = torch.where(integers == 0, one, integers) * mask
    result = torch.where(largest > 0, integers * (largest / (limit + 0.5)), 0.0)
    return result.to(weight.dtype)


@contextmanager
def quantized(
    weights: Mapping[str, torch.Tensor], masks: Mapping[str, torch.Tensor], *, weight_bits: int
) -> Iterator[None]:
    """Inside the block, which may hold a backward pass, the weights are quantized in place.

    weights: layer -> parameter, the classifier last. Afterwards they are what they were, and their
    gradients those of the quantized weights.
    """
    kept = {name: w.detach().clone() for name, w in weights.items()}
    classifier = list(weights)[-1]
    with torch.no_grad():
        for name, w in weights.items():
            w.copy_(
                fake_quantized(
                    w, masks[name], weight_bits=weight_bits, classifier=name == classifier
                )
            )
    try:
        yield
    finally:
        with torch.no_grad():
            for name, w in weights.items():
                w.copy_(kept[name])
