"""Fixed point: from a trained ticket to the integers that the array loads (design, section 3).

Batch norm, bias and the input gain 1 - leak of v = leak v + (1 - leak) x are folded into float64
weights and a bias, so that a neuron fires at v >= 1; an average over P positions divides the weights
by P. What a shortcut adds has the neuron's scale: a 1x1 convolution's bias is part of its host's, an
identity is one more weight a filter, the gain. Filter k is then multiplied by its scale s[k] and
rounded (`numpy.rint`, half to even):

    weight_int = rint(s w), but never 0 inside the mask     bias_int = rint(s b)
    threshold_int = rint(s)

The scale is the largest float64 for which
  (a) every |weight_int| <= 2^(weight_bits - 1) - 1;
  (b) with A = P * sum |weight_int| + |bias_int| (P = 1 without an average), hi = leak(hi) + A and lo = leak(lo) - A, from 0, stay
      inside accumulator_bits for all ticks: no input whatever overflows;
  (c) threshold_int < 2^(accumulator_bits - 1).
Each of these can only break, never heal, as a scale grows (rounding, sums and leaks are monotonic),
so the largest is well defined, and bisection over the float64 numbers finds it exactly: its
successor in float64 breaks one of the three.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hw.config import Config
from hw.neuron import Neuron, trained
from sw import datasets, networks
from sw.networks import Layer
from sw.ticket import Parameters, Ticket


@dataclass(frozen=True)
class IntegerLayer:
    """A layer as the array runs it, in the network's own channel order."""

    layer: Layer
    weight: np.ndarray  # int32, layer.weight_shape
    mask: np.ndarray  # bool, the same shape; weight != 0 exactly where True
    bias: np.ndarray  # int64 (K,)
    threshold: np.ndarray | None  # int64 (K,); None for the classifier and shortcut convolutions
    scale: np.ndarray  # float64 (K,), integers per unit of membrane potential
    float_weight: np.ndarray  # float64, folded
    float_bias: np.ndarray  # float64 (K,), folded
    shortcut: np.ndarray | None = None  # int64 (K,): what a spike of an identity shortcut adds


@dataclass(frozen=True)
class IntegerNetwork:
    """A quantized network: the first layer in float64 for software, the others for the array."""

    layers: tuple[Layer, ...]  # all, the first included
    first_weight: np.ndarray  # float64 (K, C, kh, kw), folded
    first_bias: np.ndarray  # float64 (K,), folded
    array: tuple[IntegerLayer, ...]  # everything after the first convolution
    dataset: str
    ticks: int
    neuron: Neuron


def ticket_config(ticket: Ticket) -> Config:
    """The hardware that a ticket is meant for: its ticks, weight bits and leak.

    Raises ValueError for a leak that no shift makes, or values that the hardware does not have.
    """
    leak = ticket.metadata["leak"]
    neuron = trained(leak)
    if neuron is None:
        raise ValueError(f"the ticket's leak = {leak}, allowed: 1, 2^-k and 1 - 2^-k, k = 1 to 8")
    return Config(
        leak_mode=neuron.name,
        leak_shift=neuron.shift,
        ticks=ticket.metadata["ticks"],
        weight_bits=ticket.metadata["weight_bits"],
    )


def quantize(ticket: Ticket, config: Config) -> IntegerNetwork:
    """The integer network that `config` runs.

    Raises ValueError where the ticket was trained for another leak, and where no scale avoids
    overflow.
    """
    leak = ticket.metadata["leak"]
    neuron = config.neuron
    if leak != neuron.factor:
        raise ValueError(
            f"the ticket was trained with leak = {leak}, the hardware has {neuron.factor} "
            f"(leak_mode = {config.leak_mode!r}, leak_shift = {config.leak_shift})"
        )
    first, *rest = ticket.parameters
    first_weight, first_bias = fold(first, neuron)
    sides = networks.sides(ticket.layers, datasets.SIDE)
    hosts = networks.shortcut_convolutions(ticket.layers)
    folded = {}
    for p in rest:
        positions = 1
        if p.layer.pool == "avg":
            positions = p.layer.output_side(sides[p.layer.input]) ** 2
        weight, bias = fold(p, None if p is rest[-1] else neuron, positions=positions)
        folded[p.layer.name] = Folded(p.layer, weight, p.mask, bias, positions)
    done: dict[str, IntegerLayer] = {}
    for name, layer in folded.items():
        if name in hosts:
            continue
        shortcut = layer.layer.shortcut_input if layer.layer.shortcut == "conv" else None
        done |= quantize_layer(
            layer,
            config,
            classifier=name == rest[-1].layer.name,
            convolution=folded[shortcut] if shortcut else None,
        )
    return IntegerNetwork(
        layers=ticket.layers,
        first_weight=first_weight,
        first_bias=first_bias,
        array=tuple(done[name] for name in folded),
        dataset=ticket.metadata["dataset"],
        ticks=config.ticks,
        neuron=neuron,
    )


@dataclass(frozen=True)
class Folded:
    """A layer in float64, ready to be rounded."""

    layer: Layer
    weight: np.ndarray  # layer.weight_shape
    mask: np.ndarray  # bool, the same shape
    bias: np.ndarray  # (K,)
    positions: int = 1  # whose sums an average adds up


def fold(
    p: Parameters, neuron: Neuron | None, *, positions: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias (K,) in float64, batch norm and the input gain folded in.

    neuron: of those that follow; None: none do (the classifier), hence no gain. positions: an
    average is over as many.
    """
    gain = 1.0 if neuron is None else neuron.gain
    weight, bias = p.weight.astype(np.float64), p.bias.astype(np.float64)
    factor = np.ones(len(bias))
    if p.norm is not None:
        factor = p.norm.weight / np.sqrt(p.norm.var.astype(np.float64) + p.norm.eps)
        bias = (bias - p.norm.mean) * factor + p.norm.bias
    per_filter = (gain * factor / positions).reshape(-1, *[1] * (weight.ndim - 1))
    return weight * per_filter * p.mask, gain * bias


def quantize_layer(
    layer: Folded,
    config: Config,
    *,
    classifier: bool = False,
    convolution: Folded | None = None,
) -> dict[str, IntegerLayer]:
    """Integers of a layer, and of the convolution that is its shortcut, by name.

    A classifier is read out raw every tick: no threshold, no leak, one scale for all its rows.
    """
    name, filters = layer.layer.name, layer.layer.out_channels
    parts = [layer] if convolution is None else [layer, convolution]
    bias = np.sum([part.bias for part in parts], axis=0)
    rows = [(part.weight.reshape(filters, -1), part.mask.reshape(filters, -1)) for part in parts]
    gain = config.neuron.gain
    if layer.layer.shortcut == "identity":
        rows.append((np.full((filters, 1), gain), np.ones((filters, 1), bool)))
    weights, masks = (np.concatenate(arrays, axis=1) for arrays in zip(*rows, strict=True))
    scale = largest_scale(
        weights[masks],  # in row order, filter after filter
        np.cumsum(np.count_nonzero(masks, axis=1)),
        bias,
        config,
        classifier=classifier,
        positions=layer.positions,
        name=name,
    )
    host = IntegerLayer(
        layer=layer.layer,
        weight=_integers(layer, scale),
        mask=layer.mask,
        bias=np.rint(bias * scale).astype(np.int64),
        threshold=None if classifier else np.rint(scale).astype(np.int64),
        scale=scale,
        float_weight=layer.weight,
        float_bias=bias,
    )
    if layer.layer.shortcut == "identity":
        identity = _round_weights(np.full(filters, gain), scale).astype(np.int64)
        host = replace(host, shortcut=identity)
    if convolution is None:
        return {name: host}
    added = IntegerLayer(
        layer=convolution.layer,
        weight=_integers(convolution, scale),
        mask=convolution.mask,
        bias=np.zeros(filters, np.int64),
        threshold=None,
        scale=scale,
        float_weight=convolution.weight,
        float_bias=np.zeros(filters),
    )
    return {convolution.layer.name: added, name: host}


def _integers(layer: Folded, scale: np.ndarray) -> np.ndarray:
    """int32, layer.weight_shape."""
    nnz = np.count_nonzero(layer.mask.reshape(len(layer.mask), -1), axis=1)
    integers = np.zeros(layer.weight.shape, np.int32)
    integers[layer.mask] = _round_weights(layer.weight[layer.mask], np.repeat(scale, nnz))
    return integers


def largest_scale(
    values: np.ndarray,
    ends: np.ndarray,
    bias: np.ndarray,
    config: Config,
    *,
    classifier: bool,
    positions: int = 1,
    name: str,
) -> np.ndarray:
    """The largest scale of each filter, float64 (K,).

    values: float64, the folded weights in the mask, filter after filter; whatever else a neuron adds
    up (a shortcut) are more values of its filter. ends (K,): where each filter's stop. positions: an
    average adds up as many sums.
    Raises ValueError where even the smallest integers (+-1) can overflow.
    """
    # Positive float64 numbers sort like their bit patterns: bisect those.
    count = len(ends)
    low = np.full(count, 1, np.int64)  # the smallest positive number
    high = np.full(count, np.float64(2.0**config.accumulator_bits).view(np.int64))  # breaks (c)

    def fits(bits: np.ndarray) -> np.ndarray:
        ok = _fits(
            bits.view(np.float64),
            values,
            ends,
            bias,
            config,
            classifier=classifier,
            positions=positions,
        )
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
    positions: int,
) -> np.ndarray:
    """Whether each filter's scale satisfies (a), (b) and (c): boolean (K,), in int64 arithmetic."""
    nnz = np.diff(ends, prepend=0)
    bound = 1 << (config.accumulator_bits - 1)
    limit = (1 << (config.weight_bits - 1)) - 1
    products = np.rint(np.abs(values) * np.repeat(scale, nnz))
    magnitude = np.clip(products, 1, limit + 1).astype(np.int64)  # limit + 1 stands for any above
    extent = np.minimum(np.rint(np.abs(bias) * scale), bound).astype(np.int64)
    extent += positions * _per_filter(magnitude, ends)
    a = _per_filter(magnitude > limit, ends) == 0
    b = config.neuron.stays_inside(
        extent, bits=config.accumulator_bits, ticks=1 if classifier else config.ticks
    )
    return a & b & (np.rint(scale) < bound)


def _per_filter(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sums of each filter's values, in int64 (K,); see `largest_scale` for `ends`."""
    return np.diff(np.concatenate([[0], np.cumsum(values, dtype=np.int64)])[ends], prepend=0)


def _round_weights(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """rint(scale value), 0 replaced by +-1 (+1 for a value of exactly 0)."""
    rounded = np.rint(values * scale)
    return np.where(rounded == 0, np.where(values < 0, -1, 1), rounded)
