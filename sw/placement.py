"""Where maps lie in the spike buffer, and what this array cannot run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hw.config import BANKS, MAX_SIDE, Config
from hw.tiling import Storage, Tiling
from hw.widths import CHANNEL_BITS, ROUND_BITS
from sw.integers import IntegerNetwork
from sw.layers import Layer, Pool, Shape, Source
from sw.order import Ordered

MAX_CHANNELS = 1024
MAX_LAYERS = 255
BLOCK = 3
"""Positions along a side of what the event machine reads of a kernel at once."""
MAX_BLOCKS = 3
"""Log2 of the blocks along a side of a kernel: linear layers on maps of up to 24."""
KERNELS = {1: (1, 3, 5, 7), 2: (1, 3, 4, 5, 6)}
"""Sides of the event machine's kernels, by stride: of a stride of 2 each phase sees at most 3x3 of it."""
INDEX_BITS = 12
"""Of a beat in the event machine's lists, hw.event.program.LIST_ENTRY."""


class DoesNotFit(ValueError):  # noqa: N818 - reads as what it says
    """A network that the hardware cannot run: which layer, what it needs, what there is."""


@dataclass(frozen=True)
class Region:
    """A map in the spike buffer: `words` of each bank from address `base` on."""

    base: int
    words: int
    height: int
    width: int
    channels: int
    rounds: int = 1
    """Of ticks: the words of each lie one behind the other."""

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
    last_tick: int = 0
    extension: dict[str, int] = field(default_factory=dict)  # hw.program.EXTENSION, if there is one

    @property
    def rounds(self) -> int:
        """Of ticks."""
        return self.more_rounds + 1

    @property
    def positions(self) -> int:
        """Of the map of neurons."""
        height, width = self._sides(self.side, "short")
        return height * width

    def source_sides(self, number: int) -> tuple[int, int]:
        """Height and width of a source's map."""
        name = ("input", "shortcut")[number]
        return self._sides((self.input, self.shortcut)[number]["side"], f"{name}_short")

    def _sides(self, long: int, name: str) -> tuple[int, int]:
        short = self.extension.get(name, 0) or long
        return (long, short) if self.tall else (short, long)

    def tiling(self, config: Config) -> Tiling:
        """Of the map of neurons."""
        height, width = self._sides(self.side, "short")
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

    regions: dict[str, Region]  # by map
    descriptors: dict[str, Descriptor]  # by layer


def place(ordered: Ordered, config: Config) -> Placed:
    """Maps find their regions in the spike buffer. Raises DoesNotFit for what the hardware cannot run."""
    network = ordered.network
    rounds = rounds_of(network.ticks, config)
    if len(network.array) > MAX_LAYERS:
        raise DoesNotFit(f"the network has {len(network.array)} layers; allowed: {MAX_LAYERS}")
    shapes = network.description.shapes()
    _check_map("the input", shapes[network.first_map], config)
    for integer in network.array:
        check_layer(integer.layer, shapes, config)
    regions = allocate(_lives(network, config, shapes, rounds), config)
    _check_input(regions[network.first_map], config)
    descriptors = {i.name: _descriptor(i.layer, regions, shapes, config) for i in network.array}
    return Placed(regions, descriptors)


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


def kernel_sides(source: Source, shapes: dict[str, Shape]) -> tuple[int, int]:
    """Height and width of a kernel; of a linear source those of its map."""
    given = shapes[source.map]
    return source.kernel or (given.height, given.width)


def kernel_blocks(source: Source, shapes: dict[str, Shape]) -> int:
    """Log2 of the blocks of 3x3 along a side, as many as a power of two, that a kernel takes.

    Of a stride of 2, whose phases are read apart, only whether it is larger than 3x3 matters.
    """
    return (-(-max(kernel_sides(source, shapes)) // BLOCK) - 1).bit_length()


def paddings(side: int, stride: int) -> tuple[int, ...]:
    """What a kernel can be padded by. Its rows behind a phase's three are refused."""
    if stride == 2 and side > BLOCK:
        return tuple(range(side - 4, BLOCK))
    return (0, side // 2) if side > 1 else (0,)


def _source(region: Region, strided: bool) -> dict[str, int]:
    return {"base": region.base, "side": region.side, "strided": int(strided)}


def _check_map(where: str, shape: Shape, config: Config) -> None:
    side = max(shape.height, shape.width)
    if shape.height != shape.width and config.machine == "sweep":
        raise DoesNotFit(f"{where}: a map of {shape.height}x{shape.width}; the array has squares")
    if not 1 <= side <= MAX_SIDE:
        raise DoesNotFit(f"{where}: a map of side {side}; the array has 1 to {MAX_SIDE}")
    if shape.channels > MAX_CHANNELS:
        raise DoesNotFit(f"{where}: {shape.channels} channels; the array has up to {MAX_CHANNELS}")


def check_layer(layer: Layer, shapes: dict[str, Shape], config: Config) -> None:
    """Raises DoesNotFit, naming layer, what it needs and what there is, where the array cannot run it."""
    name = f"layer {layer.name}"

    def need(allowed: bool, what: str) -> None:
        if not allowed:
            raise DoesNotFit(f"{name}: {what}")

    sums, output = layer.neurons(shapes), layer.output(shapes)
    _check_map(name, sums, config)
    short = min(sums.height, sums.width)
    need(min(output.height, output.width) >= 1, f"pools a map of side {short} to nothing")
    need(len(layer.sources) <= 2, f"{len(layer.sources)} sources; the array has up to 2")
    for source in layer.sources:
        _check_source(layer, source, shapes, config, need)
    total = sum(shapes[source.map].channels for source in layer.sources)
    need(
        total <= MAX_CHANNELS,
        f"{total} channels with those of its shortcut; the array has up to {MAX_CHANNELS}",
    )
    side = max(sums.height, sums.width)
    if layer.reduce is not None:
        tile = config.tile_side // layer.own.stride
        text = f"an average over a map of side {side}; the array has up to {tile}"
        need(side <= tile, text)
        text = "an average and a shortcut; the array has one or the other"
        need(len(layer.sources) == 1, text)
        need(layer.pool is None, "an average and a pool; the array has one or the other")
    if layer.neuron is None:
        text = f"raw results of a map of side {side}; the array has them of side 1"
        need(side == 1 and layer.pool is None, text)


def _check_source(
    layer: Layer,
    source: Source,
    shapes: dict[str, Shape],
    config: Config,
    need: Callable[[bool, str], None],
) -> None:
    event, given = config.machine == "event", shapes[source.map]
    blocks = kernel_blocks(source, shapes)
    most = 1 << INDEX_BITS - 2 * (blocks if source.stride == 1 else 1)
    if source.kernel is None:
        side, largest = max(given.height, given.width), BLOCK << MAX_BLOCKS if event else 1
        text = f"a linear layer on a map of side {side}; the array needs side {largest}"
        need(side <= largest, text + " or less" * event)
        need(
            len(layer.sources) == 1,
            "a linear layer with a shortcut; the array has one or the other",
        )
    else:
        tall, wide = source.kernel
        need(tall == wide, f"a kernel of {tall}x{wide}; the array has squares")
        need(source.stride in (1, 2), f"a stride of {source.stride}; the array has 1 and 2")
        sizes = KERNELS[source.stride] if event else (1, 3)
        known = ", ".join(map(str, sizes[:-1])) + f" and {sizes[-1]}"
        text = f"a kernel of {tall}" + f" and a stride of {source.stride}" * (source.stride > 1)
        need(tall in sizes, f"{text}; the array has {known}")
        pads = paddings(tall, source.stride)
        need(source.padding in pads, f"a padding of {source.padding}; allowed here: {pads}")
    text = f"{given.channels} channels of such a kernel; the array has up to {most}"
    need(not blocks or given.channels <= most, text)
    if source is not layer.own:
        need(tall == 1, f"a shortcut with a kernel of {tall}; the array has 1")
        text = f"an identity with a stride of {source.stride}; the array has 1"
        need(not source.identity or source.stride == 1, text)
        need(
            layer.own.kernel is not None,
            "a linear layer with a shortcut; the array has one or the other",
        )


def _check_input(region: Region, config: Config) -> None:
    """Raises DoesNotFit for an input whose rounds are more channels than its header can say."""
    channels = region.channels
    if region.rounds > 1 and Storage(config, region.side, region.side).single:
        channels += -channels % BANKS
    if region.rounds * channels >= 1 << CHANNEL_BITS:
        raise DoesNotFit(
            f"the input has {channels} channels in {region.rounds} rounds of ticks, "
            f"{region.rounds * channels} in all; the array has up to {(1 << CHANNEL_BITS) - 1}"
        )


def rounds_of(ticks: int, config: Config) -> int:
    """Rounds of as many ticks as there are lanes. Raises DoesNotFit for ticks that the machine does not have."""
    if config.machine == "sweep" and ticks != config.ticks:
        raise DoesNotFit(f"the network has {ticks} ticks, the hardware {config.ticks}")
    most = config.ticks << ROUND_BITS
    if not 1 <= ticks <= most:
        raise DoesNotFit(f"the network has {ticks} ticks, the hardware up to {most}")
    return -(-ticks // config.ticks)


@dataclass(frozen=True)
class Life:
    """A map, and the layers by number that it lives through: from the one that writes it to the last that reads it."""

    name: str
    region: Region
    birth: int
    death: int


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
    kept: of each layer, so many words at the lower end are no map's that lives there; ascending, by default none.
    Raises DoesNotFit for what the buffer has no room for.
    """
    regions: dict[str, Region] = {}
    hopeless: set[tuple[int, frozenset[Region]]] = (
        set()
    )  # maps from a number on beside those that live
    failures: list[DoesNotFit] = []

    def placed(number: int) -> bool:
        if number == len(lives):
            return True
        life = lives[number]
        alive = [regions[other.name] for other in lives[:number] if other.death >= life.birth]
        known = number, frozenset(alive)
        if known in hopeless:
            return False
        low = kept[life.death] if kept else 0
        bases = _bases(life.region.words, alive, low, config.buffer_depth)
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
        f"{f' in {region.rounds} rounds of ticks' if region.rounds > 1 else ''} "
        f"needs {region.words * bits} bits of the spike buffer beside {used * bits} in use; "
        f"there are {config.buffer_depth * bits}"
    )
