"""What this array can run: shapes of maps and layers, kernels, ticks."""

from __future__ import annotations

from collections.abc import Callable

from hw.config import MAX_SIDE, Config
from hw.widths import ROUND_BITS
from sw.layers import Layer, Shape, Source

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


def check_map(where: str, shape: Shape, config: Config) -> None:
    """Raises DoesNotFit, naming `where`, for a map that the array does not have."""
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
    check_map(name, sums, config)
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


def rounds_of(ticks: int, config: Config) -> int:
    """Rounds of as many ticks as there are lanes. Raises DoesNotFit for ticks that the machine does not have."""
    if config.machine == "sweep" and ticks != config.ticks:
        raise DoesNotFit(f"the network has {ticks} ticks, the hardware {config.ticks}")
    most = config.ticks << ROUND_BITS
    if not 1 <= ticks <= most:
        raise DoesNotFit(f"the network has {ticks} ticks, the hardware up to {most}")
    return -(-ticks // config.ticks)
