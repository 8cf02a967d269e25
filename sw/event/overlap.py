"""The next image's input comes while this one's last layers run: where its channels lie, and when each one is sent.

The input lies at the lower end of the spike buffer, for every image the same. Once its last reader has ended, the next one's
channels may follow there, as far as no map that is still to be read or written lies in their words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hw.config import BANKS
from hw.tiling import Storage
from sw.event.program import EventLayer, EventProgram
from sw.limits import DoesNotFit
from sw.placement import Life, Region, allocate


def overlapped(program: EventProgram) -> EventProgram:
    """The program with its maps placed so that the next image's input comes early, and with what comes when.

    Raises DoesNotFit where the buffer has no room for both images.
    """
    lives = map_lives(program)
    regions, early = with_room(program, lives, len(program.layers))
    layers = tuple(placed_layer(layer, regions) for layer in program.layers)
    return replace(program, input=regions[lives[0].name], layers=layers, early=early)


def with_room(
    program: EventProgram, lives: Sequence[Life], layers: int
) -> tuple[dict[str, Region], tuple[int, ...]]:
    """Where maps lie so that the next image's input can come while the first `layers` run, and its channels at each segment.

    lives: of all maps, the input first. Raises DoesNotFit where the buffer has no room for both images.
    """
    room = _room(program, lives, layers)
    early = _early(_allowed(program, room), stored_channels(program.input, program))
    kept = [_words(channels, program.input, program) for channels in room]
    return allocate(lives, program.config, kept), early


def stored_channels(region: Region, program: EventProgram) -> int:
    """Channels of the input as it is sent: of each round of ticks, from a new word on."""
    apart = Storage(program.config, region.side, region.side).single and region.rounds > 1
    channels = region.channels + (-region.channels % BANKS if apart else 0)
    return channels * region.rounds


def _words(channels: int, region: Region, program: EventProgram) -> int:
    """Words of each bank that so many of the input's channels, as they are sent, take."""
    storage = Storage(program.config, region.side, region.side)
    each = stored_channels(region, program) // region.rounds
    whole, rest = divmod(channels, each)
    return whole * region.round_words + storage.bank_words(rest)


def map_lives(program: EventProgram) -> list[Life]:
    """Of all maps, in the order in which they are written; the input first."""
    written = {layer.name: number for number, layer in enumerate(program.layers)}
    lives: dict[str, Life] = {}
    for number, layer in enumerate(program.layers):
        for source, region in zip(layer.integer.layer.sources, layer.inputs, strict=True):
            birth = written.get(source.map, -1)
            lives[source.map] = Life(source.map, region, birth, number)
        if layer.output is not None:
            lives[layer.name] = Life(layer.name, layer.output, number, number)
    return sorted(lives.values(), key=lambda life: life.birth)


def _room(program: EventProgram, lives: Sequence[Life], layers: int) -> list[int]:
    """Channels of the next image's input that may lie in the buffer while each layer runs, as many and as early as fit."""
    every = stored_channels(program.input, program)
    room = [0] * layers
    for number in range(lives[0].death + 1, layers):
        least, most = room[number - 1], every
        while least < most:
            tried = (least + most + 1) // 2
            kept = [*room[:number], *[tried] * (layers - number)]
            try:
                words = [_words(channels, program.input, program) for channels in kept]
                allocate(lives, program.config, words)
                least = tried
            except DoesNotFit:
                most = tried - 1
        room[number:] = [least] * (layers - number)
    return room


def _allowed(program: EventProgram, room: Sequence[int]) -> list[int]:
    """Channels that may have come by each segment of all layers.

    The loader takes a layer's descriptor when the layer before has started, and a header when the segment as many
    before as the queue holds is at work, or has been.
    """
    allowed = []
    for number, layer in enumerate(program.layers[: len(room)]):
        before = room[number - 1] if number else 0
        held = program.config.segment_depth
        allowed += [before if k < held else room[number] for k in range(len(layer.segments))]
    return allowed


def _early(allowed: Sequence[int], every: int) -> tuple[int, ...]:
    """Channels at each segment: all that are allowed, since it is early layers that wait least for the stream."""
    if allowed[-1] < every:
        raise DoesNotFit(
            f"the next image's input: {allowed[-1]} of its {every} channels can come before the last layer's weights, into "
            "words that no layer still needs; allowed: all. A larger buffer_depth may have room"
        )
    return tuple(now - before for before, now in zip([0, *allowed], allowed, strict=False))


def placed_layer(layer: EventLayer, regions: dict[str, Region]) -> EventLayer:
    """A layer whose maps lie elsewhere."""
    inputs = tuple(regions[source.map] for source in layer.integer.layer.sources)
    output = regions[layer.name] if layer.output else None
    descriptor = replace(
        layer.descriptor,
        input={**layer.descriptor.input, "base": inputs[0].base},
        shortcut={**layer.descriptor.shortcut, "base": inputs[-1].base},
        output_base=output.base if output else 0,
    )
    return replace(layer, descriptor=descriptor, inputs=inputs, output=output)
