"""Which machine runs which layer of an imported network, and why not; what `uticket check` prints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw.config import LANES, MACHINES, Config
from hw.neuron import NEURONS, trained
from hw.widths import ROUND_BITS
from sw.importers.graph import Choice, Options, Refused
from sw.importers.lowered import Lowered
from sw.importers.neurons import nearest_leaks, shortest
from sw.integers import HostLayer, IntegerLayer, IntegerNetwork, IntegerSource
from sw.layers import Layer, Network, Shape, Source
from sw.limits import DoesNotFit, check_layer
from sw.order import Ordered
from sw.placement import place

LINEAR = ("(Affine)", "(Linear)")
"""How nodes end that are linear layers, which small maps make into convolutions (sw/importers/lower.py)."""


@dataclass(frozen=True)
class Fit:
    """A layer: what it is on each machine, or why it is not."""

    name: str
    nodes: tuple[str, ...]
    becomes: str
    why_not: dict[str, str | None]  # by machine; None: it runs
    choices: tuple[Choice, ...]
    approximate: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON of `uticket check`."""
        choices = [vars(choice) for choice in self.choices]
        return {
            "name": self.name,
            "from": list(self.nodes),
            "becomes": self.becomes,
            **self.why_not,
            "choices": choices,
            "approximate": list(self.approximate),
        }


@dataclass(frozen=True)
class Report:
    """Of a whole network."""

    layers: tuple[Fit, ...]
    choices: tuple[Choice, ...] = ()  # of the network as a whole

    @property
    def verdict(self) -> str:
        """exact, approximate or refused: a network runs where one machine runs all of its layers."""
        if all(any(fit.why_not[machine] for fit in self.layers) for machine in MACHINES):
            return "refused"
        return "approximate" if any(fit.approximate for fit in self.layers) else "exact"

    @property
    def differences(self) -> str:
        """What is approximate: each text once, with the layers of which it is true."""
        where: dict[str, list[str]] = {}
        for one in self.layers:
            for text in one.approximate:
                where.setdefault(text, []).append(one.name)
        return "; ".join(f"{', '.join(names)}: {text}" for text, names in where.items())

    @property
    def reason(self) -> str | None:
        """Why it is refused, one line: by the event machine, which has more."""
        if self.verdict != "refused":
            return None
        return next(why for fit in self.layers if (why := fit.why_not["event"]))

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `uticket check`."""
        return {
            "verdict": self.verdict,
            "layers": [fit.to_dict() for fit in self.layers],
            "choices": [vars(choice) for choice in self.choices],
        }


def refusal(error: Refused) -> Report:
    """Of a network that did not become layers: the node at which it failed."""
    why: dict[str, str | None] = dict.fromkeys(MACHINES, str(error))
    node = error.node or "network"
    return Report((Fit(node, (node,), "nothing", why, ()),))


def fit(
    lowered: Lowered,
    options: Options,
    choices: tuple[Choice, ...],
    hardware: Config | None = None,
) -> Report:
    """What both machines say of each layer, in the sizes of `hardware`, by default the preset `paper`."""
    network = lowered.network
    shapes = network.shapes()
    found = why_not(network, options.ticks, hardware)
    fits = []
    for layer, row in zip(network.layers, lowered.rows, strict=True):
        spread = any(text.endswith(LINEAR) for text in row.nodes)
        what = becomes(layer, shapes, host=layer is network.host, linear=spread)
        fits.append(
            Fit(layer.name, row.nodes, what, found[layer.name], row.choices, row.approximate)
        )
    return Report(tuple(fits), choices)


def why_not(
    network: Network, ticks: int, hardware: Config | None = None
) -> dict[str, dict[str, str | None]]:
    """By layer and machine: why it does not run; None: it runs. hardware: as of `fit`."""
    shapes = network.shapes()
    found: dict[str, dict[str, str | None]] = {}
    for machine in MACHINES:
        unsized = None  # why the machine is not there in such sizes
        try:
            config = replace(hardware or Config(ticks=min(ticks, LANES)), machine=machine)
        except ValueError as error:
            config, unsized = Config(machine=machine), str(error)
        for layer in network.layers:
            why = unsized or _neuron(layer, network, machine) or _ticks(ticks, machine)
            if why is None and layer is not network.host:
                why = _shape(layer, shapes, config)
            found.setdefault(layer.name, {})[machine] = why
        if not any(found[layer.name][machine] for layer in network.layers):
            where, why = _place(network, ticks, config)
            if why:
                found[where][machine] = why
    return found


def lacks(network: Network, ticks: int, machine: str) -> str:
    """All that a machine lacks for a network's ticks and neurons, each once with its layers; else nothing."""
    where: dict[str, list[str]] = {}
    for layer in network.layers:
        why = _neuron(layer, network, machine)
        if why:
            where.setdefault(_wanted(why, layer), []).append(layer.name)
    told = [f"{', '.join(names)}: {why}" for why, names in where.items()]
    why = _ticks(ticks, machine)
    return "; ".join(([why.partition("; nearest: ")[0]] if why else []) + told)


def _wanted(why: str, layer: Layer) -> str:
    """A reason without its layer, and without what comes nearest."""
    return why.removeprefix(f"layer {layer.name}: ").partition("; nearest: ")[0]


def _ticks(ticks: int, machine: str) -> str | None:
    most = LANES if machine == "sweep" else LANES << ROUND_BITS
    if ticks <= most:
        return None
    return f"{ticks} ticks wanted; the array has up to {most}; nearest: --ticks {most}"


def _neuron(layer: Layer, network: Network, machine: str) -> str | None:
    """Why a machine does not have a layer's neuron."""
    neuron = layer.neuron
    if neuron is None:
        return None
    swept = machine == "sweep"
    where, there = f"layer {layer.name}", "1, 2^-k and 1 - 2^-k" if swept else "k / 256"
    kind = neuron.hardware
    if trained(neuron.leak) is None or (swept and kind and kind.name not in NEURONS):
        near = " or ".join(f"{leak:g}" for leak in nearest_leaks(neuron.leak, swept=swept))
        wanted = shortest(neuron.leak)
        return f"{where}: leak {wanted} wanted; the array has {there}; nearest: {near}" + (
            "" if swept else " (--round-leak; import also needs --accept)"
        )
    if kind is None:
        return f"{where}: {neuron} wanted; no machine has it"
    if not swept:
        return None
    for what, value in (("reset", neuron.reset), ("start", neuron.start)):
        if value != "zero":
            return f"{where}: {what} = {value} wanted; the array has zero; nearest: machine event"
    first = next(one for one in network.layers if one.neuron)
    if first.neuron and first.neuron.leak != neuron.leak:
        return (
            f"{where}: leak {neuron.leak:g}, and layer {first.name} has {first.neuron.leak:g}; "
            "the array has one leak for all layers; nearest: machine event"
        )
    return None


def _shape(layer: Layer, shapes: dict[str, Shape], config: Config) -> str | None:
    try:
        check_layer(replace(layer, sources=tuple(map(_plain, layer.sources))), shapes, config)
    except DoesNotFit as error:
        return str(error)
    return None


def _place(network: Network, ticks: int, config: Config) -> tuple[str, str | None]:
    """Whether all maps find their place: else the layer that does not, and why."""
    none = np.zeros(0)
    array = []
    for layer in network.array:
        described = tuple(map(_plain, layer.sources))
        parts = tuple(IntegerSource(source, none, none, none, 0) for source in described)
        threshold = None if layer.neuron is None else none
        plain = replace(layer, sources=described)
        array.append(IntegerLayer(plain, parts, none, threshold, none, none))
    host = None if network.host is None else HostLayer(network.host, none, none)
    outline = IntegerNetwork(network.input, host, tuple(array), ticks)
    try:
        place(Ordered(outline, {}, outline.array), config)
    except DoesNotFit as error:
        text = str(error)
        if "spike buffer" in text:
            text += f"; nearest: --hardware with a buffer_depth above {config.buffer_depth}"
        names = [layer.name for layer in network.array if text.startswith(f"layer {layer.name}:")]
        return (names or [network.array[0].name])[0], text
    return "", None


def _plain(source: Source) -> Source:
    """Without groups: the quantizer spreads them over all channels."""
    return replace(source, groups=1)


def becomes(layer: Layer, shapes: dict[str, Shape], *, host: bool, linear: bool = False) -> str:
    """A layer in words. linear: whether its kernel is what became of a linear layer's weights."""
    parts = []
    for source in layer.sources:
        if source.identity:
            parts.append(f"spikes of {source.map}")
            continue
        kind, means = "linear", ""
        if source.kernel is not None and linear:
            means = f" (as a {source.kernel[0]}x{source.kernel[1]} convolution)"
        elif source.kernel is not None:
            kind = f"{source.kernel[0]}x{source.kernel[1]} convolution"
            kind += f", stride {source.stride}" if source.stride > 1 else ""
            kind += f", {source.groups} groups" if source.groups > 1 else ""
        parts.append(f"{kind} of {source.map}{means}")
    text = " + ".join(parts) + f", {layer.filters} filters"
    text += ", mean over the map" if layer.reduce else ""
    text += f" -> {shapes[layer.name]}"
    text += " spikes" if layer.neuron else " sums"
    text += ", 2x2 maximum" if layer.pool else ""
    return text + (", in software" if host else "")
