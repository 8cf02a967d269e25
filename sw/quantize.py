"""Fixed point: from a trained ticket to the integers that the array loads (docs/formats.md).

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

A ticket whose metadata say `scale: grid` keeps numbers that are exact already. Where all weights and the bias of
a filter, before gain and threshold, are multiples of one power of two, the scale is the largest
2^m threshold / gain below. They are then integers without rounding, threshold_int is ceil(s), and a neuron that fires
only above its threshold has floor(s) + 1.
"""

from __future__ import annotations

import numpy as np

from hw.config import Config
from hw.neuron import Neuron, trained
from sw.floats import FLOAT_PASSES, FloatLayer, FloatNetwork, FloatSource, read
from sw.integers import HostLayer, IntegerLayer, IntegerNetwork, IntegerSource, part
from sw.layers import Encoding, Network
from sw.lowering import Steps, finish, name
from sw.ticket import Ticket

__all__ = [
    "HostLayer",
    "IntegerLayer",
    "IntegerNetwork",
    "IntegerSource",
    "check_neuron",
    "largest_scale",
    "part",
    "quantize",
    "quantize_layer",
    "quantize_network",
    "quantizing",
    "ticket_config",
]


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


def check_neuron(network: Network, config: Config) -> None:
    """Raises ValueError where a network was trained with other neurons than the hardware has."""
    wanted, neuron = _neuron(network), config.neuron
    if (wanted.factor, wanted.reset_to) != (neuron.factor, neuron.reset_to):
        raise ValueError(
            f"the ticket was trained with leak = {wanted.factor}, the hardware has {neuron.factor} "
            f"(leak_mode = {config.leak_mode!r}, leak_shift = {config.leak_shift})"
        )


def quantizing(ticket: Ticket, config: Config) -> Steps[IntegerNetwork]:
    """The passes from a ticket to the integers that `config` runs.

    Raises ValueError where the ticket was trained for another leak, and where no scale avoids overflow.
    """
    check_neuron(ticket.network, config)
    network = read(ticket)
    for one in FLOAT_PASSES:
        yield name(one)
        network = one(network)
    yield f"quantize to {config.weight_bits} bits"
    return quantize_network(network, config, grid=ticket.metadata.get("scale") == "grid")


def quantize(ticket: Ticket, config: Config) -> IntegerNetwork:
    """The integer network that `config` runs; raises as `quantizing` does."""
    return finish(quantizing(ticket, config))


def quantize_network(
    network: FloatNetwork, config: Config, *, grid: bool = False
) -> IntegerNetwork:
    """The integers of a network without norms and groups, with a gain and a threshold of 1.

    grid: numbers that are multiples of a power of two stay exact.
    Raises ValueError where no scale avoids overflow.
    """
    layers, host = network.layers, None
    if network.input.encoding is Encoding.IMAGE:
        first, *layers = layers  # type: ignore[assignment]
        host = HostLayer(first.layer, first.sources[0].weight, first.sources[0].bias)
    return IntegerNetwork(
        input=network.input,
        host=host,
        array=tuple(quantize_layer(layer, config, grid=grid) for layer in layers),
        ticks=config.ticks,
        neuron=config.neuron,
    )


def quantize_layer(one: FloatLayer, config: Config, *, grid: bool = False) -> IntegerLayer:
    """Integers of a layer, all of whose sources share one scale a filter.

    Without neurons it is read out raw every tick: no threshold, no leak, one scale for all its rows.
    """
    raw, filters = one.layer.neuron is None, one.layer.filters
    bias = np.sum([part.bias for part in one.sources], axis=0)
    learned = [part for part in one.sources if not part.source.identity]
    identities = [part for part in one.sources if part.source.identity]
    rows = [
        (part.weight.reshape(filters, -1), part.mask.reshape(filters, -1))
        for part in (*learned, *identities)
    ]
    weights, masks = (np.concatenate(arrays, axis=1) for arrays in zip(*rows, strict=True))
    values = weights[masks]  # in row order, filter after filter
    ends = np.cumsum(np.count_nonzero(masks, axis=1))
    scale = largest_scale(
        values,
        ends,
        bias,
        config,
        classifier=raw,
        positions=one.sources[0].positions,
        name=one.layer.name,
    )
    exact = np.zeros(filters, bool)
    if grid:
        scale, exact = _on_grid(scale, values, ends, bias, one.unit, together=raw)
    return IntegerLayer(
        layer=one.layer,
        sources=tuple(
            IntegerSource(
                part.source, _integers(part, scale), part.mask, part.weight, part.parameters
            )
            for part in one.sources
        ),
        bias=np.rint(bias * scale).astype(np.int64),
        threshold=None if one.layer.neuron is None else _thresholds(scale, one, config, exact),
        scale=scale,
        float_bias=bias,
    )


GRID = 1e-6  # how far from an integer a multiple of the grid may be: rounding of float64 alone


def _on_grid(
    scale: np.ndarray,
    values: np.ndarray,
    ends: np.ndarray,
    bias: np.ndarray,
    unit: float,
    *,
    together: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Scales (K,), and where they are exact: the largest 2^m unit below that makes integers of a filter's numbers."""
    rough = np.exp2(np.floor(np.log2(scale / unit))) * unit
    products = np.abs(values) * np.repeat(rough, np.diff(ends, prepend=0))
    off = np.abs(products - np.rint(products)) > GRID
    biases = np.abs(bias) * rough
    exact = (_per_filter(off, ends) == 0) & (np.abs(biases - np.rint(biases)) <= GRID)
    if together:
        exact = np.full(len(scale), exact.all())
    return np.where(exact, rough, scale), exact


def _thresholds(
    scale: np.ndarray, one: FloatLayer, config: Config, exact: np.ndarray
) -> np.ndarray:
    """int64 (K,): the least integer potential that fires. Where potentials are not `exact`, it is rounded, too."""
    near = np.rint(scale)
    whole = np.where(exact & (np.abs(scale - near) > GRID), scale, near)
    if one.layer.neuron is not None and one.layer.neuron.fires == "above":
        found = np.floor(whole) + 1
    else:
        found = np.ceil(whole)
    return np.minimum(found, (1 << (config.accumulator_bits - 1)) - 1).astype(np.int64)


def _integers(part: FloatSource, scale: np.ndarray) -> np.ndarray:
    """int32, as the source's weights."""
    nnz = np.count_nonzero(part.mask.reshape(len(part.mask), -1), axis=1)
    integers = np.zeros(part.weight.shape, np.int64 if part.source.identity else np.int32)
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
