"""Fixed point: from a trained ticket to the integers that the array loads (design, section 3).

Batch norm, bias and the input gain 1 - leak of v = leak v + (1 - leak) x are folded into float64
weights and a bias, so that a neuron fires at v >= 1. Filter k is then multiplied by its scale s[k]
and rounded (`numpy.rint`, half to even):

    weight_int = rint(s w), but never 0 inside the mask     bias_int = rint(s b)
    threshold_int = rint(s)

The scale is the largest float64 for which
  (a) every |weight_int| <= 2^(weight_bits - 1) - 1;
  (b) with A = sum |weight_int| + |bias_int|, hi = leak(hi) + A and lo = leak(lo) - A, from 0, stay
      inside accumulator_bits for all ticks: no input whatever overflows;
  (c) threshold_int < 2^(accumulator_bits - 1).
Each of these can only break, never heal, as a scale grows (rounding, sums and leaks are monotonic),
so the largest is well defined, and bisection over the float64 numbers finds it exactly: its
successor in float64 breaks one of the three.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw.config import LEAK_MODES, Config
from sw.networks import Layer
from sw.ticket import Parameters, Ticket


@dataclass(frozen=True)
class IntegerLayer:
    """A layer as the array runs it, in the network's own channel order."""

    layer: Layer
    weight: np.ndarray  # int32, layer.weight_shape
    mask: np.ndarray  # bool, the same shape; weight != 0 exactly where True
    bias: np.ndarray  # int64 (K,)
    threshold: np.ndarray | None  # int64 (K,); None for the classifier
    scale: np.ndarray  # float64 (K,), integers per unit of membrane potential
    float_weight: np.ndarray  # float64, folded
    float_bias: np.ndarray  # float64 (K,), folded


@dataclass(frozen=True)
class IntegerNetwork:
    """A quantized network: the first layer in float64 for software, the others for the array."""

    layers: tuple[Layer, ...]  # all, the first included
    first_weight: np.ndarray  # float64 (K, C, kh, kw), folded
    first_bias: np.ndarray  # float64 (K,), folded
    array: tuple[IntegerLayer, ...]  # everything after the first convolution
    dataset: str
    ticks: int
    leak_mode: str  # as in hw.config.Config
    leak_shift: int  # bits

    def leak(self, u: Any) -> Any:
        """What is left of integer potentials (an array) after a tick, see hw.config.Config.leak."""
        return Config(leak_mode=self.leak_mode, leak_shift=self.leak_shift).leak(u)

    @property
    def float_leak(self) -> float:
        """The factor on the first layer's float potentials."""
        return leak_factor(Config(leak_mode=self.leak_mode, leak_shift=self.leak_shift))


def leak_factor(config: Config) -> float:
    """The share of a potential that a tick leaves, as training sees it: 0.25 for a shift by 2."""
    part = 2.0**-config.leak_shift
    return {"shift": part, "complement": 1 - part, "none": 1.0}[config.leak_mode]


def ticket_config(ticket: Ticket) -> Config:
    """The hardware that a ticket is meant for: its ticks, weight bits and leak.

    Raises ValueError for a leak that no shift makes, or values that the hardware does not have.
    """
    leak = ticket.metadata["leak"]
    modes = [Config(leak_mode=m, leak_shift=k) for m in LEAK_MODES for k in range(1, 9)]
    fitting = [c for c in modes if leak_factor(c) == leak]
    if not fitting:
        raise ValueError(f"the ticket's leak = {leak}, allowed: 1, 2^-k and 1 - 2^-k, k = 1 to 8")
    return replace(
        fitting[0], ticks=ticket.metadata["ticks"], weight_bits=ticket.metadata["weight_bits"]
    )


def quantize(ticket: Ticket, config: Config) -> IntegerNetwork:
    """The integer network that `config` runs.

    Raises ValueError where the ticket was trained for another leak, for layers that the array cannot
    run, and where no scale avoids overflow.
    """
    leak = ticket.metadata["leak"]
    if leak != leak_factor(config):
        raise ValueError(
            f"the ticket was trained with leak = {leak}, the hardware has {leak_factor(config)} "
            f"(leak_mode = {config.leak_mode!r}, leak_shift = {config.leak_shift})"
        )
    for layer in ticket.layers:
        if layer.shortcut is not None or layer.pool not in (None, "max2"):
            raise ValueError(
                f"layer {layer.name}: shortcut = {layer.shortcut!r}, pool = {layer.pool!r}; "
                "the array runs no shortcuts and pools with max2 only"
            )
    first, *rest = ticket.parameters
    first_weight, first_bias = fold(first, leak=leak)
    array = []
    for p in rest:
        classifier = p is rest[-1]
        weight, bias = fold(p, leak=None if classifier else leak)
        array.append(quantize_layer(p.layer, weight, p.mask, bias, config, classifier=classifier))
    return IntegerNetwork(
        layers=ticket.layers,
        first_weight=first_weight,
        first_bias=first_bias,
        array=tuple(array),
        dataset=ticket.metadata["dataset"],
        ticks=config.ticks,
        leak_mode=config.leak_mode,
        leak_shift=config.leak_shift,
    )


def fold(p: Parameters, *, leak: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias (K,) in float64, batch norm and the input gain folded in.

    leak: of the neurons that follow; their gain is 1 - leak, or 1 without any leak (leak = 1).
    None: no neurons follow (the classifier), hence no gain.
    """
    weight, bias = p.weight.astype(np.float64), p.bias.astype(np.float64)
    factor = np.ones(len(bias))
    if p.norm is not None:
        factor = p.norm.weight / np.sqrt(p.norm.var.astype(np.float64) + p.norm.eps)
        bias = (bias - p.norm.mean) * factor + p.norm.bias
    gain = 1.0 if leak is None or leak == 1 else 1 - leak
    per_filter = (gain * factor).reshape(-1, *[1] * (weight.ndim - 1))
    return weight * per_filter * p.mask, gain * bias


def quantize_layer(
    layer: Layer,
    weight: np.ndarray,
    mask: np.ndarray,
    bias: np.ndarray,
    config: Config,
    *,
    classifier: bool = False,
) -> IntegerLayer:
    """Integers of one layer out of folded float64 weights (layer.weight_shape) and bias (K,).

    A classifier is read out raw every tick: no threshold, no leak, one scale for all its rows.
    """
    values = weight[mask]  # in row order, filter after filter
    ends = np.cumsum(np.count_nonzero(mask.reshape(len(mask), -1), axis=1))
    scale = largest_scale(values, ends, bias, config, classifier=classifier, name=layer.name)
    integers = np.zeros(weight.shape, np.int32)
    integers[mask] = _round_weights(values, np.repeat(scale, np.diff(ends, prepend=0)))
    return IntegerLayer(
        layer=layer,
        weight=integers,
        mask=mask,
        bias=np.rint(bias * scale).astype(np.int64),
        threshold=None if classifier else np.rint(scale).astype(np.int64),
        scale=scale,
        float_weight=weight,
        float_bias=bias,
    )


def largest_scale(
    values: np.ndarray,
    ends: np.ndarray,
    bias: np.ndarray,
    config: Config,
    *,
    classifier: bool,
    name: str,
) -> np.ndarray:
    """The largest scale of each filter, float64 (K,).

    values: float64, the folded weights in the mask, filter after filter; whatever else a neuron adds
    up (an identity shortcut) is one more value of its filter. ends (K,): where each filter's stop.
    Raises ValueError where even the smallest integers (+-1) can overflow.
    """
    # Positive float64 numbers sort like their bit patterns: bisect those.
    count = len(ends)
    low = np.full(count, 1, np.int64)  # the smallest positive number
    high = np.full(count, np.float64(2.0**config.accumulator_bits).view(np.int64))  # breaks (c)

    def fits(bits: np.ndarray) -> np.ndarray:
        ok = _fits(bits.view(np.float64), values, ends, bias, config, classifier=classifier)
        return np.full(count, ok.all()) if classifier else ok

    refused = np.flatnonzero(~fits(low))
    if len(refused):
        raise ValueError(
            f"layer {name}, filter {refused[0]}: {np.diff(ends, prepend=0)[refused[0]]} weights can "
            f"overflow {config.accumulator_bits} bits whatever the scale"
        )
    while np.any(high - low > 1):
        middle = low + (high - low) // 2
        ok = fits(middle)
        low, high = np.where(ok, middle, low), np.where(ok, high, middle)
    return low.view(np.float64)


def _fits(
    scale: np.ndarray,
    values: np.ndarray,
    ends: np.ndarray,
    bias: np.ndarray,
    config: Config,
    *,
    classifier: bool,
) -> np.ndarray:
    """Whether each filter's scale satisfies (a), (b) and (c): boolean (K,), in int64 arithmetic."""
    nnz = np.diff(ends, prepend=0)
    bound = 1 << (config.accumulator_bits - 1)
    limit = (1 << (config.weight_bits - 1)) - 1
    products = np.rint(np.abs(values) * np.repeat(scale, nnz))
    magnitude = np.clip(products, 1, limit + 1).astype(np.int64)  # limit + 1 stands for any above
    extent = np.minimum(np.rint(np.abs(bias) * scale), bound).astype(np.int64)
    extent += _per_filter(magnitude, ends)
    a = _per_filter(magnitude > limit, ends) == 0
    b = _stays_inside(extent, config, ticks=1 if classifier else config.ticks)
    return a & b & (np.rint(scale) < bound)


def _per_filter(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sums of each filter's values, in int64 (K,); see `largest_scale` for `ends`."""
    return np.diff(np.concatenate([[0], np.cumsum(values, dtype=np.int64)])[ends], prepend=0)


def _stays_inside(extent: np.ndarray, config: Config, *, ticks: int) -> np.ndarray:
    """Whether potentials driven by at most +-`extent` (int64) a tick stay inside the accumulator."""
    bound = 1 << (config.accumulator_bits - 1)
    hi: Any = np.zeros_like(extent)
    lo: Any = np.zeros_like(extent)
    inside = np.ones(extent.shape, bool)
    for _ in range(ticks):
        hi, lo = config.leak(hi) + extent, config.leak(lo) - extent
        inside &= (hi < bound) & (lo >= -bound)
    return inside


def _round_weights(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """rint(scale value), 0 replaced by +-1 (+1 for a value of exactly 0)."""
    rounded = np.rint(values * scale)
    return np.where(rounded == 0, np.where(values < 0, -1, 1), rounded)
