"""Where maps lie in the spike buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hw.config import BANKS, Config
from hw.tiling import Storage, Tiling
from hw.widths import CHANNEL_BITS
from sw.integers import IntegerNetwork
from sw.layers import Layer, Pool, Shape
from sw.limits import (
    MAX_LAYERS,
    DoesNotFit,
    check_layer,
    check_map,
    kernel_blocks,
    kernel_sides,
    rounds_of,
)
from sw.order import Ordered


@dataclass(frozen=True)
class Region:
    """A map in the spike buffer: `words` of each bank from address `base` on."""

    base: int
    words: int
    height: int
    width: int
    channels: int
    rounds: int = 1
    """Of ticks, or images of a batch: the words of each lie one behind the other."""

    @property
    def side(self) -> int:
        """The longer one: a map is stored as in a square of it."""
        return max(self.height, self.width)

    @property
    def round_words(self) -> int:
        """Words of each bank that a round takes."""
        return self.words // self.rounds


@dataclass(frozen=True)
class Descriptor:
    """A layer's descriptor, hw.program.LAYER: what the array is told of it."""

    filters: int
    channels: int  # of the first source
    side: int  # of the map of neurons, before pooling or averaging
    half: int  # 1: tiles of half a side, for a stride of 2
    pool: int
    raw: int
    fast: int
    padded: int
    output_base: int
    output_side: int
    identity: int
    average: int
    input: dict[str, int]  # base, side, strided of the first source
    shortcut: dict[str, int]  # of the second
    neuron: dict[str, int] = field(default_factory=dict)  # hw.program.NEURON, where it is told
    blocks: int = 0  # log2 of the 3x3 blocks along a side of the first source's kernel
    tall: int = 0  # maps that are no squares are higher than wide
    more_rounds: int = 0
    anew: int = 0  # rounds are images of a batch (sw/event/batch.py)
    last_tick: int = 0
    extension: dict[str, int] = field(default_factory=dict)  # hw.program.EXTENSION, if there is one

    @property
    def rounds(self) -> int:
        """Of ticks, or images."""
        return self.more_rounds + 1

    @property
    def positions(self) -> int:
        """Of the map of neurons."""
        height, width = self.sides
        return height * width

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the map of neurons."""
        return self._sides(self.side, "short")

    def source_sides(self, number: int) -> tuple[int, int]:
        """Height and width of a source's map."""
        name = ("input", "shortcut")[number]
        return self._sides((self.input, self.shortcut)[number]["side"], f"{name}_short")

    def _sides(self, long: int, name: str) -> tuple[int, int]:
        short = self.extension.get(name, 0) or long
        return (long, short) if self.tall else (short, long)

    def tiling(self, config: Config) -> Tiling:
        """Of the map of neurons."""
        height, width = self.sides
        return Tiling(
            config=config,
            height=height,
            width=width,
            output=Storage(config, *self._sides(self.output_side, "output_short")),
            half=bool(self.half),
            pool=bool(self.pool),
            each=self.more_rounds > 0,
        )


@dataclass(frozen=True)
class Placed:
    """Where a network's maps lie, and what the array is told of each layer."""

    ordered: Ordered
    regions: dict[str, Region]  # by map
    descriptors: dict[str, Descriptor]  # by layer


def place(ordered: Ordered, config: Config) -> Placed:
    """Maps find their regions in the spike buffer. Raises DoesNotFit for what the hardware cannot run."""
    network = ordered.network
    rounds = rounds_of(network.ticks, config)
    if len(network.array) > MAX_LAYERS:
        raise DoesNotFit(f"the network has {len(network.array)} layers; allowed: {MAX_LAYERS}")
    shapes = network.description.shapes()
    check_map("the input", shapes[network.first_map], config)
    for integer in network.array:
        check_layer(integer.layer, shapes, config)
    regions = allocate(_lives(network, config, shapes, rounds), config)
    check_input(regions[network.first_map], config)
    descriptors = {i.name: _descriptor(i.layer, regions, shapes, config) for i in network.array}
    return Placed(ordered, regions, descriptors)


def _descriptor(
    layer: Layer, regions: dict[str, Region], shapes: dict[str, Shape], config: Config
) -> Descriptor:
    own, output = layer.own, regions.get(layer.name)
    inputs = [regions[source.map] for source in layer.sources]
    strided = [source.stride == 2 and not source.identity for source in layer.sources]
    second = len(inputs) - 1  # without a shortcut its fields say what the input's do
    return Descriptor(
        filters=layer.filters,
        channels=shapes[own.map].channels,
        side=max(layer.neurons(shapes).height, layer.neurons(shapes).width),
        half=int(any(strided)),
        pool=int(layer.pool is Pool.MAX2),
        raw=int(output is None),
        fast=int(max(region.side for region in inputs) <= config.small_side),
        padded=int(own.padding > 0 or max(kernel_sides(own, shapes)) == 1),
        blocks=kernel_blocks(own, shapes),
        output_base=output.base if output else 0,
        output_side=output.side if output else 1,
        identity=len(layer.identities),
        average=int(layer.reduce is not None),
        input=_source(inputs[0], strided[0]),
        shortcut=_source(inputs[second], second > 0 and strided[second]),
    )


def _source(region: Region, strided: bool) -> dict[str, int]:
    return {"base": region.base, "side": region.side, "strided": int(strided)}


def check_input(region: Region, config: Config) -> None:
    """Raises DoesNotFit for an input whose rounds are more channels than its header can say."""
    channels = region.channels
    if region.rounds > 1 and Storage(config, region.side, region.side).single:
        channels += -channels % BANKS
    if region.rounds * channels >= 1 << CHANNEL_BITS:
        raise DoesNotFit(
            f"the input has {channels} channels in {region.rounds} rounds of ticks, "
            f"{region.rounds * channels} in all; the array has up to {(1 << CHANNEL_BITS) - 1}"
        )


@dataclass(frozen=True)
class Life:
    """A map, and the layers by number that it lives through: from the one that writes it to the last that reads it."""

    name: str
    region: Region
    birth: int
    death: int
    parts: str = "rounds of ticks"
    """What its region has several of, if it has."""


def _lives(
    network: IntegerNetwork, config: Config, shapes: dict[str, Shape], rounds: int
) -> list[Life]:
    """All maps in the order in which they are written, not placed yet; the input's birth is -1."""
    born = {network.first_map: -1}
    dies: dict[str, int] = {}
    for step, integer in enumerate(network.array):
        if integer.threshold is not None:
            born[integer.name] = step
        dies |= {part.source.map: step for part in integer.sources}
    lives = []
    for name, birth in born.items():
        shape = shapes[name]
        side = max(shape.height, shape.width)
        words = rounds * Storage(config, side, side).bank_words(shape.channels)
        region = Region(0, words, shape.height, shape.width, shape.channels, rounds)
        lives.append(Life(name, region, birth, dies.get(name, birth)))
    return lives


def allocate(lives: Sequence[Life], config: Config, kept: Sequence[int] = ()) -> dict[str, Region]:
    """A region for every map, none overlapping another that lives at the same time.

    Maps take turns at both ends of the buffer, so that in a chain of layers, where only an input and
    an output live at a time, any two that fit together find their place. Where that leaves no room for one, those before
    it are tried elsewhere.
    kept: of each layer, so many words at the lower end are no map's that lives there, by default none. The first map, the
    input, then lies at the lower end itself.
    Raises DoesNotFit for what the buffer has no room for.
    """
    regions: dict[str, Region] = {}
    # Maps from a number on, beside those that live, for which there is no room.
    hopeless: set[tuple[int, frozenset[Region]]] = set()
    failures: list[DoesNotFit] = []

    def placed(number: int) -> bool:
        if number == len(lives):
            return True
        life = lives[number]
        alive = [regions[other.name] for other in lives[:number] if other.death >= life.birth]
        known = number, frozenset(alive)
        if known in hopeless:
            return False
        low = max(kept[max(life.birth, 0) : life.death + 1], default=0)
        bases = _bases(life.region.words, alive, low, config.buffer_depth)
        if kept and number == 0:  # the input, where the next image's comes
            bases = bases[:1]
        if not bases and not failures:
            failures.append(_no_room(life, alive, config))
        for base in bases[::-1] if number % 2 else bases:
            regions[life.name] = replace(life.region, base=base)
            if placed(number + 1):
                return True
        hopeless.add(known)
        return False

    if not placed(0):
        raise failures[0]
    return regions


def _bases(words: int, alive: Sequence[Region], low: int, depth: int) -> list[int]:
    """Where so many words fit beside the maps that live, at both ends of each gap, from `low` on; ascending."""
    beside = sorted(alive, key=lambda region: region.base)
    starts = [0, *(region.base + region.words for region in beside)]
    ends = [*(region.base for region in beside), depth]
    gaps = [(max(start, low), end) for start, end in zip(starts, ends, strict=True)]
    fitting = ((start, end - words) for start, end in gaps if end - start >= words)
    return sorted({base for pair in fitting for base in pair})


def _no_room(life: Life, alive: Sequence[Region], config: Config) -> DoesNotFit:
    region, bits = life.region, BANKS * config.word_bits
    used = sum(other.words for other in alive)
    return DoesNotFit(
        f"layer {life.name}: its map of {region.channels} channels of {region.height}x{region.width}"
        f"{f' in {region.rounds} {life.parts}' if region.rounds > 1 else ''} "
        f"needs {region.words * bits} bits of the spike buffer beside {used * bits} in use; "
        f"there are {config.buffer_depth * bits}"
    )
