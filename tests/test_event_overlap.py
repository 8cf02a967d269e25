"""The next image's input beside the last layers: no word is written that a layer may still need, and all channels come."""

from dataclasses import replace

import numpy as np
import pytest

from hw.tiling import Storage
from sw.event.overlap import overlapped
from sw.event.program import EventLayer, EventProgram
from sw.limits import DoesNotFit
from sw.placement import Life, Region, allocate
from tb.random_programs import Shape, build, random_rows, row_of
from tests.test_event_cycles import CONFIGS, SMALL


def words_of(program: EventProgram, first: int, end: int) -> set[tuple[int, int]]:
    """(bank, address) of every word that channels of the input, as they are sent, lie in."""
    region, storage = (
        program.input,
        Storage(program.config, program.input.side, program.input.side),
    )
    sent = program.stored(
        np.zeros(
            (program.ticks, region.channels, region.height, region.width),
            np.uint8,
        )
    ).shape[1]
    found = set()
    for channel in range(first, min(end, sent)):
        for y, x in np.ndindex(storage.words_down, storage.words_across):
            bank, address, quarter = storage.place(channel, y, x)
            banks = range(4) if quarter is not None else [bank]
            found |= {(each, region.base + address) for each in banks}
    return found


def regions_alive(layers: tuple[EventLayer, ...], since: int) -> list[Region]:
    """Maps that layers from `since` on read or write."""
    return [
        region
        for layer in layers[since:]
        for region in (*layer.inputs, layer.output)
        if region is not None
    ]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.banks}-banks")
def test_no_word_is_written_that_is_still_needed(config):
    early = 0
    for kind in ({"max_side": 20}, {"max_side": 12, "ticks": 2 * config.ticks, "rectangle": True}):
        for row in random_rows(config, 5, **kind):
            program = row.program
            sent = 0
            counts = iter(program.early)
            for number, layer in enumerate(program.layers):
                for k in range(len(layer.segments)):
                    count = next(counts)
                    came = words_of(program, sent, sent + count)
                    # as many segments behind its first, the layer itself is at work; else the one before may be
                    running = number if k >= config.segment_depth else max(number - 1, 0)
                    for region in regions_alive(program.layers, running):
                        taken = range(region.base, region.base + region.words)
                        assert not any(address in taken for _, address in came), row.name
                    sent += count
                    early += bool(count)
            assert sent == program.stored(row.images[0]).shape[1], row.name
    assert early > 10  # in some programs the channels come in several parts


def test_maps_lie_apart_and_the_program_is_else_the_same():
    for row in random_rows(SMALL, 6, max_side=20):
        lives: list[tuple[range, Region]] = []
        layers = row.program.layers
        for number, layer in enumerate(layers):
            if layer.output is not None:
                reads = [k for k, one in enumerate(layers) if layer.output in one.inputs]
                lives.append((range(number, max([*reads, number]) + 1), layer.output))
            assert layer.descriptor.input["base"] == layer.inputs[0].base
            assert layer.descriptor.shortcut["base"] == layer.inputs[-1].base
            assert layer.descriptor.output_base == (layer.output.base if layer.output else 0)
        for i, (when, where) in enumerate(lives):
            for other, there in lives[:i]:
                if set(when) & set(other):
                    apart = where.base + where.words <= there.base
                    assert apart or there.base + there.words <= where.base, row.name


def test_a_network_without_room_is_told_why():
    case = build(SMALL, (Shape(filters=6),), side=5, channels=3)
    with pytest.raises(DoesNotFit, match="input: 0 of its 3 channels can come before the last"):
        row_of(case)
    with pytest.raises(ValueError, match="the program takes no input early"):
        case.program.row([case.spikes])
    shapes = Shape(filters=8), Shape(filters=8), Shape(filters=8)
    small = replace(SMALL, buffer_depth=64)
    tight = build(small, shapes, side=12, channels=8)
    with pytest.raises(DoesNotFit, match="A larger buffer_depth may have room"):
        overlapped(tight.program)
    assert sum(row_of(build(SMALL, shapes, side=12, channels=8)).program.early) == 8


def test_maps_are_tried_elsewhere_where_the_first_choice_leaves_no_room():
    """Four maps of a buffer of 16 words, which both ends in turns do not fit."""
    sizes = {"a": (4, -1, 1), "b": (4, 0, 2), "c": (4, 1, 3), "d": (8, 2, 3)}
    lives = [
        Life(name, Region(0, words, 4, 4, 16), birth, death)
        for name, (words, birth, death) in sizes.items()
    ]
    regions = allocate(lives, replace(SMALL, buffer_depth=16))
    for one in lives:
        for other in lives:
            mine, its = regions[one.name], regions[other.name]
            if one is not other and one.birth <= other.birth <= one.death:
                assert mine.base + mine.words <= its.base or its.base + its.words <= mine.base


def test_the_input_lies_where_the_next_images_comes():
    """At the lower end, even where the others would only fit beside an input at the upper end."""
    sizes = {"input": (6, -1, 0), "b": (3, 0, 2), "c": (8, 1, 3), "d": (2, 2, 3)}
    lives = [
        Life(name, Region(0, words, 1, 1, 1), birth, death)
        for name, (words, birth, death) in sizes.items()
    ]
    small = replace(SMALL, buffer_depth=16)
    with pytest.raises(DoesNotFit):
        allocate(lives, small, [0, 2, 2, 4])
    assert allocate(lives, small, [0, 0, 0, 2])["input"].base == 0
