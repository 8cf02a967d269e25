"""Fixed point: from a trained ticket to the integers that the array loads (design, section 3).

Batch norm, bias, gain and threshold of v = leak v + gain x, v >= threshold, are folded into float64
weights and a bias, so that a neuron fires at v >= 1; an average over P positions divides the weights
by P. All sources of a layer have one scale: their biases are added up, and an identity is one more
weight a filter, gain / threshold. Filter k is then multiplied by its scale s[k] and
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

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hw.config import Config
from hw.neuron import Neuron, trained
from sw.layers import IMAGE, Encoding, Input, Layer, Network, Reduce, Shape, Source
from sw.ticket import Parameters, Ticket


@dataclass(frozen=True)
class IntegerSource:
    """A source of a layer as the array runs it, in the network's own channel order."""

    source: Source
    weight: np.ndarray  # int32, source.weight_shape; of an identity int64 (K,): what a spike adds
    mask: np.ndarray  # bool, the same shape; weight != 0 exactly where True
    float_weight: np.ndarray  # float64, folded
    parameters: int  # weights of the trained network, zero or not

    @property
    def name(self) -> str:
        """The source's."""
        return self.source.name


@dataclass(frozen=True)
class IntegerLayer:
    """A layer as the array runs it, in the network's own channel order."""

    layer: Layer
    sources: tuple[IntegerSource, ...]  # as layer.sources
    bias: np.ndarray  # int64 (K,)
    threshold: np.ndarray | None  # int64 (K,); None: the sums are the result
    scale: np.ndarray  # float64 (K,), integers per unit of the threshold
    float_bias: np.ndarray  # float64 (K,), folded

    @property
    def name(self) -> str:
        """The layer's."""
        return self.layer.name

    @property
    def own(self) -> IntegerSource:
        """The first source."""
        return self.sources[0]

    @property
    def learned(self) -> tuple[IntegerSource, ...]:
        """Sources with weights, the layer's own last: the order of tickets and reports."""
        return tuple(s for s in reversed(self.sources) if not s.source.identity)

    @property
    def identities(self) -> tuple[IntegerSource, ...]:
        """Sources without weights."""
        return tuple(s for s in self.sources if s.source.identity)

    @property
    def filter_nnz(self) -> np.ndarray:
        """Non-zero weights of each filter, int64 (K,), over all learned sources: what a PE has to do."""
        masks = [s.mask.reshape(len(s.mask), -1) for s in self.learned]
        return np.sum([np.count_nonzero(mask, axis=1) for mask in masks], axis=0)


@dataclass(frozen=True)
class HostLayer:
    """A first layer in software, in float64: it sees an image once and replays its sums every tick."""

    layer: Layer
    weight: np.ndarray  # float64 (K, C, kh, kw), folded
    bias: np.ndarray  # float64 (K,), folded


@dataclass(frozen=True)
class IntegerNetwork:
    """A quantized network: what software does, and what the array does."""

    input: Input
    host: HostLayer | None  # None: spikes come in
    array: tuple[IntegerLayer, ...]
    ticks: int
    neuron: Neuron

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All of them."""
        array = tuple(integer.layer for integer in self.array)
        return array if self.host is None else (self.host.layer, *array)

    @property
    def description(self) -> Network:
        """Input and layers, without numbers."""
        return Network(input=self.input, layers=self.layers)

    @property
    def first_map(self) -> str:
        """The map of spikes that the array is given, by name."""
        return self.array[0].own.source.map


def part(network: IntegerNetwork, names: Sequence[str], seen: Shape) -> IntegerNetwork:
    """Some layers alone, in order, as a network that is given the spikes that the first of them reads.

    seen: the shape of that map. Raises ValueError where a layer reads another map from outside.
    """
    array = tuple(integer for integer in network.array if integer.name in names)
    first = array[0].own.source.map
    renamed = []
    for integer in array:
        for one in integer.sources:
            if one.source.map != first and one.source.map not in names:
                text = f"layer {integer.name} needs {one.source.map}, which comes before"
                raise ValueError(text)
        sources = tuple(
            replace(one, source=replace(one.source, map=IMAGE)) if one.source.map == first else one
            for one in integer.sources
        )
        layer = replace(integer.layer, sources=tuple(one.source for one in sources))
        renamed.append(replace(integer, layer=layer, sources=sources))
    spikes = Input(shape=(seen.channels, seen.height, seen.width), encoding=Encoding.SPIKES)
    return replace(network, input=spikes, host=None, array=tuple(renamed))


def ticket_config(ticket: Ticket) -> Config:
    """The hardware that a ticket is meant for: its ticks, weight bits and leak.

    Raises ValueError for a leak that no shift makes, or values that the hardware does not have.
    """
    neuron = _neuron(ticket.network)
    return Config(
        leak_mode=neuron.name,
        leak_shift=neuron.shift,
        ticks=ticket.metadata["ticks"],
        weight_bits=ticket.metadata["weight_bits"],
    )


def _neuron(network: Network) -> Neuron:
    """The one neuron of all layers. Raises ValueError where they differ or there is no such neuron."""
    kinds = {(n.leak, n.reset): n for layer in network.layers if (n := layer.neuron) is not None}
    if len(kinds) > 1:
        found = ", ".join(f"leak {leak} and reset to {reset}" for leak, reset in kinds)
        raise ValueError(f"the ticket's layers have different neurons ({found}); allowed: one kind")
    for neuron in kinds.values():
        if neuron.hardware is not None:
            return neuron.hardware
        if trained(neuron.leak) is not None:
            raise ValueError(f"the ticket's reset = {neuron.reset!r}, allowed: 'zero'")
        raise ValueError(
            f"the ticket's leak = {neuron.leak}, allowed: 1, 2^-k and 1 - 2^-k, k = 1 to 8"
        )
    return Config().neuron  # none has neurons


def quantize(ticket: Ticket, config: Config) -> IntegerNetwork:
    """The integer network that `config` runs.

    Raises ValueError where the ticket was trained for another leak, and where no scale avoids
    overflow.
    """
    wanted, neuron = _neuron(ticket.network), config.neuron
    if (wanted.factor, wanted.reset_to) != (neuron.factor, neuron.reset_to):
        raise ValueError(
            f"the ticket was trained with leak = {wanted.factor}, the hardware has {neuron.factor} "
            f"(leak_mode = {config.leak_mode!r}, leak_shift = {config.leak_shift})"
        )
    network, shapes = ticket.network, ticket.network.shapes()
    folded: dict[str, list[Folded]] = {layer.name: [] for layer in network.layers}
    for p in ticket.parameters:
        sums = p.layer.neurons(shapes)
        positions = sums.height * sums.width if p.layer.reduce is Reduce.MEAN else 1
        weight, bias = fold(p, positions=positions)
        folded[p.layer.name].append(spread(Folded(p.source, weight, p.mask, bias, positions)))
    host = None
    if network.host is not None:
        (first,) = folded[network.host.name]
        host = HostLayer(network.host, first.weight, first.bias)
    return IntegerNetwork(
        input=network.input,
        host=host,
        array=tuple(
            quantize_layer(layer, tuple(reversed(folded[layer.name])), config)
            for layer in network.array
        ),
        ticks=config.ticks,
        neuron=neuron,
    )


@dataclass(frozen=True)
class Folded:
    """A learned source in float64, ready to be rounded."""

    source: Source
    weight: np.ndarray  # source.weight_shape
    mask: np.ndarray  # bool, the same shape
    bias: np.ndarray  # (K,)
    positions: int = 1  # whose sums an average adds up
    parameters: int = field(default=0)  # weights as trained; 0: as many as there are here

    @property
    def trained(self) -> int:
        """Weights as trained, zero or not."""
        return self.parameters or self.weight.size


def fold(p: Parameters, *, positions: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias (K,) in float64: batch norm, the neuron's gain and its threshold folded in.

    The neuron then fires at 1. Without neurons there is neither. positions: an average is over as many.
    """
    scale = 1.0 if p.layer.neuron is None else p.layer.neuron.scale
    weight, bias = p.weight.astype(np.float64), p.bias.astype(np.float64)
    factor = np.ones(len(bias))
    if p.norm is not None:
        factor = p.norm.weight / np.sqrt(p.norm.var.astype(np.float64) + p.norm.eps)
        bias = (bias - p.norm.mean) * factor + p.norm.bias
    per_filter = (scale * factor / positions).reshape(-1, *[1] * (weight.ndim - 1))
    return weight * per_filter * p.mask, scale * bias


def spread(folded: Folded) -> Folded:
    """Groups as one convolution over all channels: zeros where a filter does not look."""
    source = folded.source
    if source.groups == 1:
        return folded
    filters, inside = folded.weight.shape[:2]
    shape = (filters, source.channels, *folded.weight.shape[2:])
    weight, mask = np.zeros(shape), np.zeros(shape, bool)
    first = np.arange(filters) // (filters // source.groups) * inside
    rows, columns = np.arange(filters)[:, None], first[:, None] + np.arange(inside)
    weight[rows, columns], mask[rows, columns] = folded.weight, folded.mask
    return replace(
        folded,
        source=replace(source, groups=1),
        weight=weight,
        mask=mask,
        parameters=folded.trained,
    )


def quantize_layer(layer: Layer, learned: tuple[Folded, ...], config: Config) -> IntegerLayer:
    """Integers of a layer. learned: its sources with weights, the layer's own first.

    Without neurons it is read out raw every tick: no threshold, no leak, one scale for all its rows.
    """
    raw, filters = layer.neuron is None, layer.filters
    bias = np.sum([part.bias for part in learned], axis=0)
    rows = [(part.weight.reshape(filters, -1), part.mask.reshape(filters, -1)) for part in learned]
    adds = np.full(
        filters, 1.0 if layer.neuron is None else layer.neuron.scale
    )  # an identity's spike
    one = np.ones((filters, 1), bool)
    rows += [(adds[:, None], one) for _ in layer.identities]
    weights, masks = (np.concatenate(arrays, axis=1) for arrays in zip(*rows, strict=True))
    scale = largest_scale(
        weights[masks],  # in row order, filter after filter
        np.cumsum(np.count_nonzero(masks, axis=1)),
        bias,
        config,
        classifier=raw,
        positions=learned[0].positions,
        name=layer.name,
    )
    sources: dict[str, IntegerSource] = {
        part.source.name: IntegerSource(
            part.source, _integers(part, scale), part.mask, part.weight, part.trained
        )
        for part in learned
    }
    for source in layer.identities:
        integers = _round_weights(adds, scale).astype(np.int64)
        sources[source.name] = IntegerSource(source, integers, one[:, 0], adds, 0)
    spread_sources = tuple(sources[source.name] for source in layer.sources)
    return IntegerLayer(
        layer=replace(layer, sources=tuple(s.source for s in spread_sources)),
        sources=spread_sources,
        bias=np.rint(bias * scale).astype(np.int64),
        threshold=None if raw else np.rint(scale).astype(np.int64),
        scale=scale,
        float_bias=bias,
    )


def _integers(part: Folded, scale: np.ndarray) -> np.ndarray:
    """int32, as the source's weights."""
    nnz = np.count_nonzero(part.mask.reshape(len(part.mask), -1), axis=1)
    integers = np.zeros(part.weight.shape, np.int32)
    integers[part.mask] = _round_weights(part.weight[part.mask], np.repeat(scale, nnz))
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
