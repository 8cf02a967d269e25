"""Random small networks for the array, compiled: layers of every shape, drawn from a seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw.config import Config
from sw.compile import Program
from sw.event.overlap import overlapped
from sw.event.program import EventProgram
from sw.floats import FloatLayer, FloatSource, identity_source
from sw.integers import IntegerLayer, IntegerNetwork, part
from sw.layers import LIF, Encoding, Input, Pool, Reduce, Source, conv, linear
from sw.layers import Shape as Map
from sw.limits import KERNELS, DoesNotFit, paddings
from sw.machines import compile_network
from sw.quantize import quantize_layer
from sw.trained_neuron import TrainedNeuron
from tests.random_networks import random_neuron, random_spikes


@dataclass(frozen=True)
class Case:
    """A compiled network and one image's input spikes."""

    name: str
    network: IntegerNetwork
    program: Program
    spikes: np.ndarray  # uint8 (T, C, H, W)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One layer: what `tests.random_networks.conv` takes, and how dense its weights are."""

    filters: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    pool: str | None = None
    density: float = 0.3
    empty: tuple[int, ...] = ()  # filters without weights
    shortcut: tuple[str, int] | None = None  # kind, and how many layers back its input is, from 1
    neuron: TrainedNeuron = LIF  # of the event machine; the sweep machine has its own

    def __str__(self) -> str:
        pool = {None: "", "max2": "p", "avg": "a"}[self.pool]
        added = f"+{self.shortcut[0]}{self.shortcut[1]}" if self.shortcut else ""
        shape = f"{self.filters}k{self.kernel}s{self.stride}p{self.padding}{pool}"
        return f"{shape}d{self.density:g}{added}"


class _Drawn:
    """Layers drawn one behind the other; rng: of their weights. sides: of the map that the first one reads."""

    def __init__(
        self,
        config: Config,
        ticks: int,
        rng: np.random.Generator,
        rate: float,
        channels: int,
        sides: tuple[int, int],
    ) -> None:
        self.config, self.ticks, self.rng, self.rate = config, ticks, rng, rate
        self.array: list[IntegerLayer] = []
        self.maps = [("first", channels, sides)]  # name, channels and sides of every map so far

    def add(self, shape: Shape) -> None:
        """A convolution. Raises DoesNotFit where its maps do not fit each other."""
        (before, width, given), k = self.maps[-1], len(self.array)
        layer = conv(
            f"layer{k}",
            (width, shape.filters),
            before,
            kernel=shape.kernel,
            stride=shape.stride,
            padding=shape.padding,
            pool=Pool.MAX2 if shape.pool == "max2" else None,
            reduce=Reduce.MEAN if shape.pool == "avg" else None,
            neuron=shape.neuron,
        )
        out = layer.own.output(*given)
        if min(out) < 1:
            raise DoesNotFit(f"{layer.name}: no output")
        more: list[FloatSource] = []
        if shape.shortcut is not None:
            added = self._shortcut(shape, out)
            layer = replace(layer, sources=(*layer.sources, added))
            more = [identity_source(added, 0.75) if added.identity else self._folded(added, shape)]
        own = self._folded(layer.own, shape, out[0] * out[1] if shape.pool == "avg" else 1)
        self._quantized(FloatLayer(layer, (own, *more)))
        halves = out[0] // 2, out[1] // 2
        scaled = {None: out, "max2": halves, "avg": (1, 1)}[shape.pool]
        if min(scaled) < 1:
            raise DoesNotFit(f"{layer.name}: pools to nothing")
        self.maps.append((layer.name, shape.filters, scaled))

    def add_classifier(self, classes: int) -> None:
        """Over the whole last map."""
        before, width, (height, across) = self.maps[-1]
        fc = linear("fc", (width * height * across, classes), before)
        mask = self.rng.random(fc.own.weight_shape(classes)) < 0.5
        weight, bias = self.rng.normal(0, 1, mask.shape) * mask, self.rng.normal(0, 1, classes)
        self._quantized(FloatLayer(fc, (FloatSource(fc.own, weight, mask, bias),)))

    def _shortcut(self, shape: Shape, out: tuple[int, int]) -> Source:
        """The second source of the next layer, whose map has sides `out`."""
        (kind, back), k = shape.shortcut or ("", 0), len(self.array)
        if back > len(self.maps):
            raise DoesNotFit(f"layer{k}: no map {back} layers back")
        source, channels, sides = self.maps[-back]
        added = Source(
            name=f"shortcut{k}",
            map=source,
            channels=channels,
            kernel=(1, 1),
            stride=1 if sides == out or kind == "identity" else 2,
            identity=kind == "identity",
        )
        if added.output(*sides) != out or (added.identity and channels != shape.filters):
            raise DoesNotFit(f"layer{k}: a shortcut of another shape")
        return added

    def _folded(self, source: Source, shape: Shape, positions: int = 1) -> FloatSource:
        mask = self.rng.random(source.weight_shape(shape.filters)) < shape.density
        mask[list(shape.empty)] = False
        # Sums of a few weights reach the threshold of 1, so that some neurons fire and some do not.
        fan_in = max(1.0, mask.sum() / len(mask) * self.rate)
        drawn = self.rng.normal(0.05, 1 / np.sqrt(fan_in), mask.shape)
        bias = self.rng.normal(0.1, 0.4, len(mask))
        return FloatSource(
            source, drawn * mask / np.sqrt(positions), mask, bias, positions=positions
        )

    def _quantized(self, layer: FloatLayer) -> None:
        self.array.append(quantize_layer(layer, self.config, ticks=self.ticks))


def build(
    config: Config,
    shapes: tuple[Shape, ...],
    *,
    side: int | tuple[int, int],
    channels: int,
    classes: int = 0,
    seed: int = 0,
    rate: float = 0.2,
    ticks: int | None = None,
) -> Case:
    """A case: `shapes` in a row on a map of `channels` and `side`, a classifier behind if `classes`.

    side: or height and width. ticks: of the network, by default as many as there are lanes.
    Raises DoesNotFit where the array cannot hold it.
    """
    ticks, sides = ticks or config.ticks, side if isinstance(side, tuple) else (side, side)
    drawn = _Drawn(config, ticks, np.random.default_rng(seed), rate, channels, sides)
    for shape in shapes:
        drawn.add(shape)
    if classes:
        drawn.add_classifier(classes)
    whole = IntegerNetwork(
        input=Input(shape=(channels, *sides), encoding=Encoding.SPIKES),
        host=None,
        array=tuple(drawn.array),
        ticks=ticks,
    )
    network = part(whole, [integer.name for integer in drawn.array], Map(channels, *sides))
    program = compile_network(network, config)
    spikes = random_spikes(drawn.rng, (ticks, channels, *sides), rate)
    name = f"{ticks}t-" if ticks != config.ticks else ""
    name += (
        f"{channels}c{sides[0]}x{sides[1]}-"
        + "-".join(map(str, shapes))
        + (f"-fc{classes}" if classes else "")
    )
    return Case(name, network, program, spikes)


SHORTCUTS = (None, None, None, *((kind, k) for kind in ("conv", "identity") for k in (1, 2, 3)))


def random_case(
    config: Config,
    seed: int,
    *,
    max_side: int = 64,
    max_layers: int = 4,
    ticks: int | None = None,
    rectangle: bool = False,
    large: bool = False,
) -> Case:
    """A random case that fits, all from the seed. ticks: as of `build`. rectangle: its map is no square.

    large: kernels above 3x3, too, and a classifier on whatever map is the last.
    """
    rng = np.random.default_rng(seed)
    while True:
        side = int(rng.choice([rng.integers(1, 9), rng.integers(1, max_side + 1)]))
        sides = (side, side)
        if rectangle:
            other = 1 + (side + int(rng.integers(max_side - 1))) % max_side
            sides = (side, other) if rng.random() < 0.5 else (other, side)
        channels = int(rng.integers(1, 2 * config.n_pe + 3))
        shapes: list[Shape] = []
        widths = [channels]
        for _ in range(rng.integers(1, max_layers + 1)):
            filters = int(rng.integers(1, 2 * config.n_pe + 3))
            shortcut = SHORTCUTS[rng.integers(len(SHORTCUTS))]
            if shortcut is not None and shortcut[0] == "identity" and shortcut[1] <= len(widths):
                filters = widths[-shortcut[1]]
            widths.append(filters)
            kernel = int(rng.choice([1, 3], p=[0.3, 0.7]))
            if large and rng.random() < 0.5:
                kernel = int(rng.choice([5, 7]))
            padding = int(rng.integers(0, 2)) * (kernel // 2) if kernel > 1 else 0
            stride = int(rng.choice([1, 2], p=[0.7, 0.3])) if kernel < 5 else 1
            if large and stride == 2 and rng.random() < 0.5:
                kernel = int(rng.choice([k for k in KERNELS[2] if k > 3]))
                padding = int(rng.choice(paddings(kernel, 2)))
            shapes.append(
                Shape(
                    filters=filters,
                    kernel=kernel,
                    stride=stride,
                    padding=padding,
                    pool=str(rng.choice(["max2", "avg", ""], p=[0.25, 0.1, 0.65])) or None,
                    density=float(rng.choice([0.0, 0.02, 0.1, 0.4, 1.0])),
                    empty=tuple(np.flatnonzero(rng.random(filters) < 0.1).tolist()),
                    shortcut=shortcut,
                    neuron=random_neuron(rng) if config.machine == "event" else LIF,
                )
            )
        ends = large or (not rectangle and _ends_in_one(side, shapes))
        try:
            return build(
                config,
                tuple(shapes),
                side=sides if rectangle else side,
                channels=channels,
                classes=int(rng.integers(1, 2 * config.n_pe)) if ends else 0,
                seed=int(rng.integers(1 << 31)),
                rate=float(rng.choice([0.0, 0.1, 0.3, 1.0], p=[0.1, 0.4, 0.4, 0.1])),
                ticks=ticks,
            )
        except DoesNotFit:
            continue


@dataclass(frozen=True)
class Row:
    """Images one after the other through a program that takes the next one's input early."""

    name: str
    network: IntegerNetwork
    program: EventProgram
    images: list[np.ndarray]  # of each its spikes, uint8 (T, C, H, W)


def row_of(case: Case, count: int = 3, *, parts: bool = False) -> Row:
    """A case's image and others, silent and loud ones among them.

    parts: channels come later than they could, in several parts. Raises DoesNotFit where the buffer cannot hold two images.
    """
    rng = np.random.default_rng(int(case.spikes.sum()))
    images = [case.spikes]
    for _ in range(1, count):
        images.append(random_spikes(rng, case.spikes.shape, float(rng.choice([0.0, 0.2, 0.5]))))
    assert isinstance(case.program, EventProgram)
    program = overlapped(case.program)
    if parts:
        left, early = 0, []
        for coming in program.early:
            left += coming
            early.append(int(rng.integers(left + 1)))
            left -= early[-1]
        early[-1] += left
        program = replace(program, early=tuple(early))
    return Row(f"{case.name}, {program.early} early", case.network, program, images)


def random_rows(config: Config, count: int, **kinds: Any) -> Iterator[Row]:
    """So many of the random cases of `random_case` that have room for two images, every other in parts."""
    found = 0
    for seed in itertools.count():
        try:
            row = row_of(random_case(config, seed, **kinds), parts=found % 2 > 0)
        except DoesNotFit:
            continue
        yield row
        found += 1
        if found == count:
            return


def _ends_in_one(side: int, shapes: list[Shape]) -> bool:
    """Whether the last map is of one position: a classifier can follow."""
    for s in shapes:
        side = (side + 2 * s.padding - s.kernel) // s.stride + 1
        side = {None: side, "max2": side // 2, "avg": 1}[s.pool]
    return side == 1
