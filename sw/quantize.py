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
  (b) with A = P * sum |weight_int| + |bias_int| (P = 1 without an average), hi = leak(hi) + A and lo = leak(lo) - A, from 0 (hi
      from (rint(s) + 1) >> 1 where a neuron starts at half its threshold), stay inside accumulator_bits for all ticks:
      no input whatever overflows (of a late reset, leak(lo) is at most what a threshold of rint(s) + 1 leaves of itself);
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

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hw.config import LANES, Config
from hw.neuron import PAPER, Neuron
from sw.floats import FLOAT_PASSES, FloatLayer, FloatNetwork, FloatSource, read
from sw.integers import HostLayer, IntegerLayer, IntegerNetwork, IntegerSource
from sw.layers import Encoding, Layer, Network
from sw.lowering import Steps, finish, running
from sw.ticket import Ticket


def ticket_config(ticket: Ticket) -> Config:
    """The hardware that a ticket is meant for: its machine, ticks, weight bits and leak.

    The sweep machine where it has the ticket's ticks, and its neurons, all of one kind; else the event machine.
    Raises ValueError for a neuron that neither has, or values that the hardware does not have.
    """
    kinds = {neuron for _, neuron in _neurons(ticket.network)}
    ticks, bits = ticket.metadata["ticks"], ticket.metadata["weight_bits"]
    if ticks > LANES or len(kinds) > 1 or not all(neuron.swept for neuron in kinds):
        return Config(machine="event", ticks=min(ticks, LANES), weight_bits=bits)
    neuron = kinds.pop() if kinds else PAPER
    return Config(leak_mode=neuron.name, leak_shift=neuron.amount, ticks=ticks, weight_bits=bits)


def _neurons(network: Network) -> Iterator[tuple[str, Neuron]]:
    """Of each layer that has some: its name and its neuron. Raises ValueError where the hardware has none such."""
    for layer in network.layers:
        if layer.neuron is None:
            continue
        if layer.neuron.hardware is None:
            raise ValueError(
                f"layer {layer.name}: leak = {layer.neuron.leak}, allowed: k / 256, k = 1 to 256"
            )
        yield layer.name, layer.neuron.hardware


def check_neuron(network: Network, config: Config) -> None:
    """Raises ValueError where a network was trained with other neurons than the hardware has."""
    for where, wanted in _neurons(network):
        neuron = config.neuron
        if config.machine == "event" or (wanted.swept and wanted.factor == neuron.factor):
            continue
        if not wanted.swept:
            raise ValueError(
                f"layer {where}: {described(wanted)}; machine sweep has {SWEPT}; machine event has it"
            )
        raise ValueError(
            f"layer {where} was trained with leak = {wanted.factor}, the hardware has {neuron.factor} "
            f"(leak_mode = {config.leak_mode!r}, leak_shift = {config.leak_shift})"
        )


SWEPT = "leaks of 1, 2^-k and 1 - 2^-k, a reset to zero, a start at zero"


def described(neuron: Neuron) -> str:
    """A neuron in words."""
    return f"leak {neuron.factor:g}, reset to {neuron.reset_to}, start at {neuron.start}"


def quantizing(ticket: Ticket, config: Config) -> Steps[IntegerNetwork]:
    """The passes from a ticket to the integers that `config` runs.

    Raises ValueError where the ticket was trained for another leak, and where no scale avoids overflow.
    """
    check_neuron(ticket.network, config)
    network = yield from running(FLOAT_PASSES, read(ticket))
    yield f"quantize to {config.weight_bits} bits"
    grid = ticket.metadata.get("scale") == "grid"
    return quantize_network(network, config, grid=grid, ticks=ticket.metadata["ticks"])


def quantize(ticket: Ticket, config: Config) -> IntegerNetwork:
    """The integer network that `config` runs; raises as `quantizing` does."""
    return finish(quantizing(ticket, config))


def quantize_network(
    network: FloatNetwork, config: Config, *, grid: bool = False, ticks: int | None = None
) -> IntegerNetwork:
    """The integers of a network without norms and groups, with a gain and a threshold of 1.

    grid: numbers that are multiples of a power of two stay exact. ticks: by default as many as the hardware has lanes.
    Raises ValueError where no scale avoids overflow.
    """
    layers, host = network.layers, None
    if network.input.encoding is Encoding.IMAGE:
        first, *layers = layers  # type: ignore[assignment]
        host = HostLayer(first.layer, first.sources[0].weight, first.sources[0].bias)
    return IntegerNetwork(
        input=network.input,
        host=host,
        array=tuple(quantize_layer(layer, config, grid=grid, ticks=ticks) for layer in layers),
        ticks=ticks or config.ticks,
    )


def quantize_layer(
    one: FloatLayer, config: Config, *, grid: bool = False, ticks: int | None = None
) -> IntegerLayer:
    """Integers of a layer, all of whose sources share one scale a filter.

    Without neurons it is read out raw every tick: no threshold, no leak, one scale for all its rows.
    ticks: of the network, by default as many as the hardware has lanes.
    """
    raw, filters = one.layer.neuron is None, one.layer.filters
    neuron = _hardware(one.layer, config)
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
        neuron=neuron,
        ticks=ticks,
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
        neuron=neuron,
    )


def _hardware(layer: Layer, config: Config) -> Neuron:
    """The neuron that runs a layer: the sweep machine has one for all.

    The event machine has each layer's: of several whose leaks are equal, and differ in how they round, the configuration's.
    """
    if config.machine == "sweep" or layer.neuron is None:
        return config.neuron
    if layer.neuron.hardware is None:
        raise ValueError(f"layer {layer.name}: no hardware has its neuron, {layer.neuron}")
    found, own = layer.neuron.hardware, config.neuron
    if found.factor != own.factor:
        return found
    return replace(own, reset_to=found.reset_to, start=found.start, above=found.above)


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
    neuron: Neuron | None = None,
    ticks: int | None = None,
    classifier: bool,
    positions: int = 1,
    name: str,
) -> np.ndarray:
    """The largest scale of each filter, float64 (K,).

    values: float64, the folded weights in the mask, filter after filter; whatever else a neuron adds
    up (a shortcut) are more values of its filter. ends (K,): where each filter's stop. neuron, ticks: of the layer, by default
    the configuration's. positions: an average adds up as many sums.
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
            neuron=config.neuron if neuron is None else neuron,
            ticks=1 if classifier else ticks or config.ticks,
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
    neuron: Neuron,
    ticks: int,
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
    b = neuron.stays_inside(
        extent,
        bits=config.accumulator_bits,
        ticks=ticks,
        threshold=np.minimum(np.rint(scale), bound).astype(np.int64) + 1,
    )
    return a & b & (np.rint(scale) < bound)


def _per_filter(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sums of each filter's values, in int64 (K,); see `largest_scale` for `ends`."""
    return np.diff(np.concatenate([[0], np.cumsum(values, dtype=np.int64)])[ends], prepend=0)


def _round_weights(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """rint(scale value), 0 replaced by +-1 (+1 for a value of exactly 0)."""
    rounded = np.rint(values * scale)
    return np.where(rounded == 0, np.where(values < 0, -1, 1), rounded)
