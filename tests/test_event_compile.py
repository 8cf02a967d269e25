"""The event machine's compiler: what it writes can be read back, and adds up to the golden model's spikes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.config import Config
from hw.event.program import LIST_WORDS, ring_rows
from sw import golden
from sw.event.encode import LAST, SHORTCUT, SKIP, SUB, Weights, encode_group
from sw.event.order import balanced_order
from tb.random_programs import Shape, build, random_case

SMALL = Config(
    machine="event",
    n_pe=4,
    ticks=2,
    tile_side=4,
    scratchpad_depth=128,
    buffer_depth=128,
    segment_depth=4,
)


def random_weights(rng, *, n_pe, beats, density, packed):
    """A group's weights, beats in any order."""
    subs = 4 if packed else 1
    filters, beat, sub, tap = np.nonzero(rng.random((n_pe, beats, subs, 9)) < density)
    values = rng.integers(1, 1 << 15, len(filters)) * rng.choice([-1, 1], len(filters))
    order = rng.permutation(len(filters))
    return Weights(filters, beat * 3, sub, tap, values).of(order)


def rows(weights):
    """The weights as a sorted list."""
    return sorted(zip(*(array.tolist() for array in vars(weights).values()), strict=True))


def decode_part(part):
    """The inverse of `encode_group`, for one part. Raises ValueError where headers and values do not match."""
    weights = []
    for number, (headers, values) in enumerate(zip(part.headers, part.values, strict=True)):
        cursor, place, opens = 0, 0, True
        found = []
        for word in headers.tolist():
            pattern = word & 511
            if pattern == 0:
                cursor += word >> SUB
                continue
            if opens:
                place = cursor + (word >> SKIP)
                cursor = place + 1
            opens = bool(word >> LAST & 1)
            if place >= len(part.places):
                raise ValueError(f"place {place} of a list of {len(part.places)}")
            found += [(place, word >> SUB & 3, k) for k in range(9) if pattern >> k & 1]
        if len(found) != len(values):
            raise ValueError(f"{len(values)} values for {len(found)} weights")
        for (place, sub, tap), value in zip(found, values.view(np.int16).tolist(), strict=True):
            weights.append((number, int(part.places[place]), sub, tap, value))
    columns = np.array(weights, np.int64).reshape(-1, 5).T
    return Weights(*columns)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    n_pe=st.integers(1, 6),
    beats=st.integers(1, 400),
    density=st.sampled_from([0.0, 0.002, 0.05, 0.5, 1.0]),
    packed=st.booleans(),
)
def test_what_is_encoded_is_decoded(seed, n_pe, beats, density, packed):
    weights = random_weights(
        np.random.default_rng(seed), n_pe=n_pe, beats=beats, density=density, packed=packed
    )
    ring_words = 64
    parts = encode_group(weights, n_pe, ring_words)
    found = [row for part in parts for row in rows(decode_part(part))]
    assert sorted(found) == rows(weights)
    for part in parts:
        assert len(part.places) <= LIST_WORDS
        assert len(set(part.places.tolist())) == len(part.places)
        assert all(len(words) <= ring_words for words in (*part.headers, *part.values))
    if (
        len(parts) > 1
    ):  # the next part must have room while this one works, unless it is a single beat
        several = [part for part in parts if len(part.places) > 1]
        assert all(len(w) <= ring_words // 2 for p in several for w in (*p.headers, *p.values))


def test_a_weight_of_zero_is_refused():
    one = np.ones(1, np.int64)
    with pytest.raises(ValueError, match="is 0 or exceeds 16 bits"):
        encode_group(Weights(0 * one, one, 0 * one, one, 0 * one), 2, 64)
    with pytest.raises(ValueError, match="is 0 or exceeds 16 bits"):
        encode_group(Weights(0 * one, one, 0 * one, one, one << 15), 2, 64)


def test_the_order_keeps_pes_together():
    """Shares of their weights that PEs have done differ less than in the order of the channels."""
    rng = np.random.default_rng(3)
    counts = (rng.random((200, 16)) < 0.2) * rng.integers(1, 5, (200, 16))
    order = balanced_order(counts)
    assert sorted(order.tolist()) == list(range(200))

    def spread(which):
        done = np.cumsum(counts[which] / counts.sum(axis=0), axis=0)
        return np.ptp(done, axis=1).mean()

    assert spread(order) < 0.5 * spread(np.arange(200))


def tap_window(layer, maps, config, place, sub, tap):
    """What a tap of a beat's channel sees of every position of the layer, (T, H, W), by slicing the maps."""
    descriptor, shortcut = layer.descriptor, place >> SHORTCUT & 1
    index = place & ((1 << SHORTCUT) - 1)
    spikes = maps[layer.integer.sources[shortcut].source.map]
    strided = (descriptor.input, descriptor.shortcut)[shortcut]["strided"]
    step = 2 if strided else 1
    phase = 0
    if strided and not (layer.packed and shortcut):
        channel, phase = (index, sub) if layer.packed else divmod(index, 4)
    else:
        channel = 4 * index + sub if layer.packed else index
    first = 0 if not strided and not descriptor.padded else -1
    down = across = 0
    if descriptor.blocks and not shortcut:
        along = 1 << descriptor.blocks
        channel, (down, across) = index // along**2, divmod(index % along**2, along)
        first = -layer.integer.own.source.padding
    tiling = layer.tiling(config)
    result = np.zeros((len(spikes), tiling.height, tiling.width), np.int64)
    for y in range(tiling.height):
        for x in range(tiling.width):
            row = (y + tap // 3 + 3 * down + first) * step + phase // 2
            column = (x + tap % 3 + 3 * across + first) * step + phase % 2
            if 0 <= row < spikes.shape[2] and 0 <= column < spikes.shape[3]:
                result[:, y, x] = spikes[:, channel, row, column]
    return result


def computed(layer, maps, config):
    """The layer's sums from what its segments hold, int64 (T, K, H, W), filters in their loaded order."""
    filters = len(layer.order)
    tiling = layer.tiling(config)
    sums = np.zeros(
        (len(next(iter(maps.values()))), filters, tiling.height, tiling.width), np.int64
    )
    groups = {}
    for segment in layer.segments:  # parts are repeated for every tile
        for row in rows(decode_part(segment.part)):
            groups.setdefault(segment.group, set()).add(row)
    for group, weights in groups.items():
        for pe, place, sub, tap, value in weights:
            sums[:, group * config.n_pe + pe] += value * tap_window(
                layer, maps, config, place, sub, tap
            )
    return sums + layer.integer.bias[layer.order][None, :, None, None]


def spikes_of(layer, sums, config):
    """Neurons and pooling of the golden model's definition, (T, K, H', W')."""
    threshold = layer.integer.threshold[layer.order]
    if layer.descriptor.average:
        bias = layer.integer.bias[layer.order]
        whole = (sums - bias[None, :, None, None]).sum(axis=(2, 3)) + bias
        sums = whole[:, :, None, None]
    neuron = layer.integer.neuron
    u = np.zeros_like(sums[0]) + neuron.initial(threshold[:, None, None])
    out = np.zeros(sums.shape, np.uint8)
    for t, current in enumerate(sums):
        out[t], u = neuron.step(u, current, threshold[:, None, None], np.where)
    if layer.descriptor.pool:
        down, across = (side // 2 for side in out.shape[2:])
        even = out[:, :, : 2 * down, : 2 * across]
        out = even.reshape(*even.shape[:2], down, 2, across, 2).max(axis=(3, 5))
    return out


@pytest.mark.parametrize("seed", range(30))
def test_its_weights_add_up_to_the_golden_models_spikes(seed):
    config = replace(SMALL, stream_bits=(64, 128, 256)[seed % 3])
    kinds = {"rectangle": seed % 2 > 0, "large": seed % 3 > 0}
    case = random_case(config, seed, max_side=12, max_layers=3, **kinds)
    expected = golden.run(case.network, case.spikes)
    maps = {name: result.output for name, result in expected.items()}
    maps[case.network.first_map] = case.spikes
    for layer in case.program.layers:
        sums = computed(layer, maps, config)
        want = expected[layer.name].output[:, layer.order]
        if layer.output is None:
            assert np.array_equal(sums.reshape(len(want), -1), want)
        else:
            assert np.array_equal(spikes_of(layer, sums, config), want)


def test_a_wide_stream_has_fewer_beats():
    lengths = []
    for bits in (64, 128, 256):
        case = build(replace(SMALL, stream_bits=bits), (Shape(filters=8),), side=6, channels=9)
        beats = case.program.beats(case.spikes)
        assert beats.shape[1] == bits // 64
        lengths.append(len(case.program.layer_beats))
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 1.8 * lengths[2]
    assert ring_rows(SMALL) == 16
