"""The event machine's pass that encodes: from a network in its place to an `EventProgram`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hw.config import STREAM_WORDS, Config
from hw.event.program import SUBS, ring_rows
from sw.encoding import identity_matrix
from sw.event.encode import Weights, encode_group, list_word
from sw.event.program import EventLayer, EventProgram, EventSegment
from sw.integers import IntegerLayer, IntegerSource
from sw.layers import Shape
from sw.limits import BLOCK, rounds_of
from sw.placement import Descriptor, Placed, Region

CENTRE = 4
"""Of the nine taps of a 3x3 kernel: what a 1x1 kernel is, where slices begin a position before their tile."""


def encode(placed: Placed, config: Config) -> EventProgram:
    """Every layer's lists, slice headers and values."""
    ordered, compiled = placed.ordered, []
    ticks = ordered.network.ticks
    rounds, shapes = rounds_of(ticks, config), ordered.network.description.shapes()
    for integer, loaded in zip(ordered.network.array, ordered.loaded, strict=True):
        descriptor = placed.descriptors[integer.name]
        packed = all(_packs(source, descriptor, config) for source in _sources(loaded, descriptor))
        neuron = {} if integer.threshold is None else integer.neuron.code
        inputs = [placed.regions[source.map] for source in integer.layer.sources]
        descriptor = replace(
            descriptor,
            half=0,
            fast=int(packed),
            neuron=neuron,
            more_rounds=rounds - 1,
            last_tick=(ticks - 1) % config.ticks,
            **extension(
                _sides(integer.layer.neurons(shapes)), inputs, placed.regions.get(integer.name)
            ),
        )
        segments = layer_segments(
            layer_weights(loaded, descriptor, inputs),
            descriptor.filters,
            descriptor.tiling(config).count * rounds,
            config,
        )
        compiled.append(
            EventLayer(
                integer,
                ordered.orders[integer.name],
                descriptor,
                tuple(inputs),
                placed.regions.get(integer.name),
                segments,
            )
        )
    region = placed.regions[ordered.network.first_map]
    return EventProgram(config, region, tuple(compiled), ticks)


def _sides(shape: Shape) -> tuple[int, int]:
    return shape.height, shape.width


def extension(
    neurons: tuple[int, int], inputs: Sequence[Region], output: Region | None
) -> dict[str, Any]:
    """What the third beat says, if there are several rounds, or maps that are no squares; whether these are tall.

    neurons: height and width of their map.
    """
    regions = [(one.height, one.width) for one in (*inputs, output) if one is not None]
    maps = [neurons, *regions]
    if inputs[0].rounds == 1 and all(height == width for height, width in maps):
        return {}
    first, last = inputs[0], inputs[-1]
    return {
        "tall": int(any(height > width for height, width in maps)),
        "extension": {
            "input_words": first.round_words,
            "shortcut_words": last.round_words,
            "output_words": output.round_words if output else 0,
            "short": min(neurons),
            "input_short": min(first.height, first.width),
            "shortcut_short": min(last.height, last.width),
            "output_short": min(output.height, output.width) if output else 1,
        },
    }


def _sources(loaded: IntegerLayer, descriptor: Descriptor) -> list[dict[str, int]]:
    """What the descriptor says of each map that is read."""
    return [descriptor.input, descriptor.shortcut][: len(loaded.sources)]


def _inset(source: dict[str, int], descriptor: Descriptor) -> bool:
    """Whether its slices start at their tile."""
    return not source["strided"] and not descriptor.padded


def _packs(source: dict[str, int], descriptor: Descriptor, config: Config) -> bool:
    """Whether four channels of it fit a slice."""
    if source["strided"]:
        return source["side"] <= config.tile_side
    if descriptor.blocks:
        return False
    return source["side"] <= config.small_side and not _inset(source, descriptor)


def layer_weights(
    loaded: IntegerLayer, descriptor: Descriptor, inputs: Sequence[Region]
) -> Weights:
    """A layer's weights, filters in their loaded order: which beat, channel of it and tap each one is.

    inputs: the map of each source.
    """
    result = [
        _source_weights(part, descriptor, region, shortcut=number > 0)
        for number, (part, region) in enumerate(zip(loaded.sources, inputs, strict=True))
    ]
    columns_of = zip(*(vars(weights).values() for weights in result), strict=True)
    return Weights(*(np.concatenate(arrays) for arrays in columns_of))


def _source_weights(
    part: IntegerSource, descriptor: Descriptor, region: Region, *, shortcut: bool
) -> Weights:
    """Of one of a layer's sources, whose map is `region`. shortcut: it is the second one."""
    source = descriptor.shortcut if shortcut else descriptor.input
    weight, mask = part.weight, part.mask
    if part.source.identity:
        weight, mask = identity_matrix(part)
    kernel = part.source.kernel or (region.height, region.width)
    shape = (len(weight), region.channels, *kernel)
    weight, mask = weight.reshape(shape), mask.reshape(shape)
    filters, channel, rows, columns = np.nonzero(mask)
    values = weight[filters, channel, rows, columns].astype(np.int64)
    strided, phase = source["strided"], np.zeros(len(filters), np.int64)
    if kernel == (1, 1):
        taps = np.full(len(filters), 0 if _inset(source, descriptor) else CENTRE)
    elif strided:
        down, row = _phase(rows, part.source.padding)
        right, column = _phase(columns, part.source.padding)
        taps, phase = BLOCK * row + column, 2 * down + right
    else:
        down, row = np.divmod(rows, BLOCK)
        right, column = np.divmod(columns, BLOCK)
        taps = BLOCK * row + column
    subs = np.zeros(len(filters), np.int64)
    if descriptor.fast and strided and not shortcut:  # the phases of one channel
        index, subs = channel, phase
    elif descriptor.fast:
        index, subs = channel // SUBS, channel % SUBS
    elif strided:
        index = 4 * channel + phase
    elif descriptor.blocks and not shortcut:
        index = ((channel << descriptor.blocks) + down << descriptor.blocks) + right
    else:
        index = channel
    beats = index + list_word(index=0, shortcut=shortcut)
    return Weights(filters, beats, subs, taps, values)


def _phase(at: np.ndarray, padding: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a kernel's row (or column) in a layer of stride 2: the phase that it reads, and its tap there.

    Row k of the kernel at output y reads row 2 y + k - padding of the map: row 2 j + f is row j of phase f, and tap t of
    a phase reads row y + t - 1.
    """
    shifted = at - padding
    return shifted % 2, shifted // 2 + 1


def layer_segments(
    weights: Weights, filters: int, visits: int, config: Config
) -> tuple[EventSegment, ...]:
    """Groups of n_pe filters; the parts of one that exceeds a ring are loaded again for every visit.

    visits: the layer's tiles, each as often as there are rounds of ticks.
    """
    n_pe, ring_words = config.n_pe, ring_rows(config) * STREAM_WORDS
    order = np.argsort(weights.filters, kind="stable")
    weights = weights.of(order)
    segments: list[EventSegment] = []
    for group in range(-(-filters // n_pe)):
        low, high = np.searchsorted(weights.filters, [group * n_pe, (group + 1) * n_pe])
        own = weights.of(np.arange(low, high))
        parts = encode_group(replace(own, filters=own.filters - group * n_pe), n_pe, ring_words)
        if len(parts) == 1:
            segments.append(EventSegment(group, parts[0], True, True, False))
            continue
        for _ in range(visits):
            for part in parts:
                segments.append(EventSegment(group, part, part is parts[-1], False, False))
    segments[-1] = replace(segments[-1], end=True)
    return tuple(segments)
