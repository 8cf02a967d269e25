"""Training with quantized weights: what the hardware will load, with a straight-through gradient.

The forward and the backward pass see rounded weights; the optimizer moves the float weights behind
them by that gradient, unchanged (Bengio et al. 2013).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from sw.model import SpikingNetwork

Masks = Mapping[str, torch.Tensor]  # of the layers after the first, bool


@contextmanager
def quantized(network: SpikingNetwork, masks: Masks, *, weight_bits: int) -> Iterator[None]:
    """Inside the block, which may hold a backward pass, the weights are quantized in place.

    Afterwards they are what they were, and their gradients those of the quantized weights.
    """
    kept = {name: w.detach().clone() for name, w in network.prunable.items()}
    with torch.no_grad():
        scale = scales(network, masks, weight_bits=weight_bits)
        for name, w in network.prunable.items():
            w.copy_(rounded(w, masks[name], scale[name], weight_bits=weight_bits))
    try:
        yield
    finally:
        with torch.no_grad():
            for name, w in network.prunable.items():
                w.copy_(kept[name])


def scales(network: SpikingNetwork, masks: Masks, *, weight_bits: int) -> dict[str, torch.Tensor]:
    """Integers per unit of weight, of each filter, float64 (K,), by the rules of sw/quantize.py.

    The largest for which no |integer| exceeds 2^(weight_bits - 1) - 1; a classifier has one for all
    its rows. Folding batch norm in scales a filter and so changes no integer, except where a
    shortcut shares the filter's scale. Not looked at: the accumulator, which bounds no scale of 8
    bits or less but that of a filter whose weights are next to nothing. inf: no weight but zeros.
    """
    result: dict[str, torch.Tensor] = {}
    for layer in network.array:
        parts = [source.name for source in layer.sources if not source.identity]
        magnitude = {
            name: (network.prunable[name].double() * masks[name]).abs().flatten(1).amax(1)
            for name in parts
        }
        factor = {name: torch.ones_like(m) for name, m in magnitude.items()}
        if len(layer.sources) > 1:
            for name in parts:
                norm = network.norms[name]
                factor[name] = (norm.weight / (norm.running_var + norm.eps).sqrt()).double().abs()
        largest = torch.stack([magnitude[name] * factor[name] for name in parts]).amax(0)
        if layer.identities:  # a weight of 1
            largest = largest.clamp(min=1)
        if layer is network.layers[-1]:
            largest = largest.max().expand(len(largest))
        # |integer| is limit + 1/2 at the largest weight, which `rounded` rounds down: the scale is
        # meant a hair smaller.
        limit = 2 ** (weight_bits - 1) - 1
        result |= {name: factor[name] * (limit + 0.5) / largest for name in parts}
    return result


def rounded(
    weight: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor, *, weight_bits: int
) -> torch.Tensor:
    """Weights (K, ...) as integers over a scale (K,), in the mask never 0 but +-1 (+1 for 0)."""
    limit = 2 ** (weight_bits - 1) - 1
    values = weight.double() * mask
    scale = scale.view(-1, *[1] * (weight.ndim - 1))
    integers = torch.round(values * scale).clamp(-limit, limit)
    one = torch.where(values < 0, -1.0, 1.0)
    integers = torch.where(integers == 0, one, integers) * mask
    usable = torch.isfinite(scale) & (scale > 0)
    return torch.where(usable, integers / scale, values).to(weight.dtype)
