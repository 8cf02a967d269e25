"""Resident weights: late layers' weights are loaded once for a batch of images, as far as the spike buffer holds their maps.

Early layers run image after image, each a program of its own. The last image's program goes on with the late layers. These
visit each tile once an image, as if images were rounds of ticks, but that neurons start anew in each. A map that an early layer
writes and a late one reads has a part of its region for each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw.config import STREAM_WORDS, WORD_BITS
from hw.event.program import stream_lanes
from hw.widths import ROUND_BITS
from sw.event.compile import extension
from sw.event.overlap import map_lives, placed_layer, with_room
from sw.event.program import EventLayer, EventProgram, EventSegment
from sw.limits import DoesNotFit
from sw.placement import Life, Region, allocate, check_input

MOST = 1 << ROUND_BITS
"""Images of a batch."""


@dataclass(frozen=True)
class Batch:
    """What runs a batch of images: programs one after the other, then the same for the next batch."""

    size: int
    resident: int
    """Number of the first layer whose weights are loaded once."""
    programs: tuple[EventProgram, ...]
    """One an image, the last with the late layers; a single one where all layers are late."""

    @property
    def layers(self) -> tuple[EventLayer, ...]:
        """Those whose weights stay."""
        return self.programs[-1].layers[self.resident :]

    @property
    def early(self) -> bool:
        """Whether inputs but the first come while layers of the image before run."""
        return bool(self.programs[0].early)

    @property
    def beats(self) -> int:
        """Of all layers, without inputs."""
        return sum(layer_beats(one, program) for program in self.programs for one in program.layers)

    def inputs(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What each program takes in, of images' spikes (T, C, H, W), whole batches of them."""
        if self.resident:
            return list(images)
        firsts = range(0, len(images), self.size)
        return [np.concatenate(images[first : first + self.size]) for first in firsts]


def batched(program: EventProgram, size: int) -> Batch:
    """The programs of a batch, of those that fit with the fewest beats. Those come first whose inputs come early but for the first.

    size: images, 2 to 64. Raises DoesNotFit where the buffer has no room for any late layer's maps, and for a network of
    more ticks than there are lanes; ValueError for another size.
    """
    if not 2 <= size <= MOST:
        raise ValueError(f"a batch of {size} images; allowed: 2 to {MOST}")
    if program.ticks > program.config.ticks:
        raise DoesNotFit(
            f"a batch: the network has {program.ticks} ticks; allowed: {program.config.ticks}, as many as there are lanes"
        )
    found: Batch | None = None
    why: DoesNotFit | None = None  # of the last layer alone, which needs least
    for first in reversed(range(len(program.layers))):
        try:
            tried = batch_from(program, size, first)
        except DoesNotFit as error:
            why = why or error
            continue
        if found is None or (not tried.early, tried.beats) < (not found.early, found.beats):
            found = tried
    if found is None:
        raise DoesNotFit(
            f"a batch of {size} images: {why}. A smaller batch or a larger buffer_depth may have room"
        )
    return found


def batch_from(program: EventProgram, size: int, first: int) -> Batch:
    """A batch whose layers from number `first` on are loaded once.

    The next image's input comes while early layers run, if the buffer has room for that, and if it has room until the
    batch's end, the next batch's first, too. Raises DoesNotFit where it has not even room without.
    """
    lives = _lives(program, size, first)
    regions, early, over = _regions(program, lives, first)
    check_input(regions[lives[0].name], program.config)
    late = tuple(_late(layer, regions, size, program) for layer in program.layers[first:])
    if not first:
        whole = replace(program, input=regions[lives[0].name], layers=late, images=size)
        return Batch(size, first, (whole,))
    last = (*early, *(0 for layer in late for _ in layer.segments)) if over else ()
    programs = []
    for image in range(size):
        own = {name: _part(region, image) for name, region in regions.items()}
        layers = tuple(placed_layer(layer, own) for layer in program.layers[:first])
        ends = image == size - 1
        programs.append(
            replace(
                program,
                input=own[lives[0].name],
                layers=(*layers, *late) if ends else layers,
                early=early if not ends else last,
            )
        )
    return Batch(size, first, tuple(programs))


def _regions(
    program: EventProgram, lives: Sequence[Life], first: int
) -> tuple[dict[str, Region], tuple[int, ...], bool]:
    """Of all maps; when the next image's channels come, if they can; and whether the next batch's first can, too."""
    if lives[0].death < first:  # else each image's input has a part of its own
        segments = sum(len(layer.segments) for layer in program.layers[:first])
        try:
            regions, over = with_room(program, lives, len(program.layers))
            if not any(over[segments:]):
                return regions, over[:segments], True
        except DoesNotFit:
            pass
        try:
            return *with_room(program, lives, first), False
        except DoesNotFit:
            pass
    return allocate(lives, program.config), (), False


def _lives(program: EventProgram, size: int, first: int) -> list[Life]:
    """Of all maps. Those that late layers read have room for all images; if early layers write them, from the start on."""
    lives = []
    for life in map_lives(program):
        if life.death >= first:
            many = replace(life.region, words=size * life.region.words, rounds=size)
            birth = life.birth if life.birth >= first else -1
            life = replace(life, region=many, birth=birth, parts="images")
        lives.append(life)
    return sorted(lives, key=lambda life: life.birth)  # the input stays the first


def _part(region: Region, image: int) -> Region:
    """An image's part of a map that there is one of for each, or the map."""
    if region.rounds == 1:
        return region
    base = region.base + image * region.round_words
    return replace(region, base=base, words=region.round_words, rounds=1)


def _late(
    layer: EventLayer, regions: dict[str, Region], size: int, program: EventProgram
) -> EventLayer:
    """A layer whose weights stay for all images."""
    placed = placed_layer(layer, regions)
    descriptor = replace(
        placed.descriptor,
        anew=1,
        more_rounds=size - 1,
        last_tick=program.ticks - 1,
        **extension(layer.descriptor.sides, placed.inputs, placed.output),
    )
    segments = _repeated(layer.segments, layer.tiling(program.config).count, size)
    return replace(placed, descriptor=descriptor, segments=segments)


def _repeated(segments: Sequence[EventSegment], tiles: int, size: int) -> tuple[EventSegment, ...]:
    """Parts of a group that exceeds a ring are loaded for each visit: of every tile, by every image."""
    result: list[EventSegment] = []
    groups: dict[int, list[EventSegment]] = {}
    for segment in segments:
        groups.setdefault(segment.group, []).append(replace(segment, end=False))
    for parts in groups.values():
        if parts[0].all_tiles:
            result += parts
        else:
            result += parts[: len(parts) // tiles] * (tiles * size)
    result[-1] = replace(result[-1], end=True)
    return tuple(result)


def layer_beats(layer: EventLayer, program: EventProgram) -> int:
    """Of its descriptor and segments."""
    config = program.config
    lanes, words = stream_lanes(config), config.stream_bits // WORD_BITS
    count = 3 if layer.descriptor.extension else 2
    for segment in layer.segments:
        count += 1 - (-len(segment.part.places) // words)
        for first in range(0, config.n_pe, lanes):
            team = slice(first, first + lanes)
            count += 1
            for streams in (segment.part.headers, segment.part.values):
                count += -(-max(map(len, streams[team])) // STREAM_WORDS)
    return count
