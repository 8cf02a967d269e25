"""The compiler: where maps lie, what does not fit, and what a program's beats are."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.config import PRESETS
from hw.tiling import Storage
from sw import wsp
from sw.integers import HostLayer, IntegerNetwork
from sw.layers import IMAGE, Input, Reduce, conv, identity, linear
from sw.layers import Shape as MapShape
from sw.limits import DoesNotFit, check_layer
from sw.machines import compile_network
from tests.random_networks import random_layer
from tests.soak import times

TINY = PRESETS["tiny"]


def network(layers, *, side, config=TINY, density=0.2):
    """The first layer in software, on images of `side`."""
    rng = np.random.default_rng(0)
    first, filters = layers[0], layers[0].filters
    return IntegerNetwork(
        input=Input(shape=(3, side, side), mean=(0.0,) * 3, std=(1.0,) * 3),
        host=HostLayer(first, np.zeros((filters, 3, 3, 3)), np.zeros(filters)),
        array=tuple(random_layer(rng, x, density=density, config=config) for x in layers[1:]),
        ticks=config.ticks,
    )


def chain(*channels):
    return tuple(
        conv(f"conv{k + 1}", pair, "image" if k == 0 else f"conv{k}")
        for k, pair in enumerate(zip((3, *channels), channels, strict=False))
    )


@settings(max_examples=times(40), deadline=None)
@given(channels=st.lists(st.integers(1, 7), min_size=2, max_size=6), side=st.integers(1, 32))
def test_a_chain_whose_pairs_fit_is_placed_without_overlap(channels, side):
    words = [Storage(TINY, side, side).bank_words(c) for c in channels]
    if max(a + b for a, b in pairwise(words)) > TINY.buffer_depth:
        with pytest.raises(DoesNotFit, match=r"layer conv\d+: .* bits"):
            compile_network(network(chain(*channels), side=side), TINY)
        return
    program = compile_network(network(chain(*channels), side=side), TINY)
    for layer in program.layers:
        low, high = sorted((layer.inputs[0], layer.output), key=lambda region: region.base)
        assert low.base + low.words <= high.base
        assert low.base >= 0
        assert high.base + high.words <= TINY.buffer_depth


def test_the_words_of_a_filter_are_its_weights():
    program = compile_network(network(chain(5, 6), side=8), TINY)
    (layer,) = program.layers
    for group, segment in enumerate(layer.segments):
        for pe, words in enumerate(segment.words):
            k = group * TINY.n_pe + pe
            if k >= 6:
                assert len(words) == 0
                continue
            weights, mask = wsp.decode(words, (5, 3, 3))
            assert np.array_equal(weights, layer.integer.own.weight[k])
            assert np.array_equal(mask, layer.integer.own.mask[k])


def test_a_filter_that_exceeds_the_ring_is_cut_for_every_tile():
    program = compile_network(network(chain(30, 2), side=5, density=1.0), TINY)
    (layer,) = program.layers
    parts = [s for s in layer.segments if s.open]
    assert len(parts) == 4  # tiles of 4x4 on a map of 5x5
    assert all(len(w) <= TINY.scratchpad_depth for s in layer.segments for w in s.words)
    decoded = [wsp.decode(s.words[0], (30, 3, 3))[1].sum() for s in layer.segments]
    assert sum(decoded) == 4 * 30 * 9
    assert [s.end for s in layer.segments].index(True) == len(layer.segments) - 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": 5, "padding": 2}, "layer conv2: a kernel of 5; the array has 1 and 3"),
        ({"stride": 3}, "layer conv2: a stride of 3"),
        ({"padding": 2}, "layer conv2: a padding of 2"),
        (
            {"reduce": Reduce.MEAN},
            "layer conv2: an average over a map of side 8; the array has up to 4",
        ),
        (
            {"more": (identity("i", "conv1", 4),) * 2},
            "layer conv2: 3 sources; the array has up to 2",
        ),
        (
            {
                "more": (
                    replace(identity("s", "conv1", 4), identity=False, kernel=(3, 3), padding=1),
                )
            },
            "layer conv2: a shortcut with a kernel of 3; the array has 1",
        ),
        ({"neuron": None}, "layer conv2: raw results of a map of side 8"),
    ],
)
def test_what_the_array_does_not_have_is_named(change, message):
    shapes = {IMAGE: MapShape(3, 8, 8), "conv1": MapShape(4, 8, 8)}
    layer = conv("conv2", (4, 4), "conv1", **change)
    with pytest.raises(DoesNotFit, match=message):
        check_layer(layer, shapes, TINY)


def test_a_map_that_is_no_square_is_named():
    made = network(chain(4, 4), side=8)
    wide = replace(made, input=replace(made.input, shape=(3, 8, 12)))
    with pytest.raises(DoesNotFit, match="a map of 8x12; the array has squares"):
        compile_network(wide, TINY)


def test_a_linear_layer_needs_a_map_of_one_position():
    first = chain(4)[0]
    fc = linear("fc", (16, 3), "conv1")
    with pytest.raises(DoesNotFit, match="layer fc: a linear layer on a map of side 2"):
        compile_network(network((first, fc), side=2), TINY)


def test_a_program_refuses_other_spikes():
    program = compile_network(network(chain(5, 6), side=8), TINY)
    with pytest.raises(ValueError, match="input spikes are"):
        program.beats(np.zeros((TINY.ticks, 5, 7, 7), np.uint8))


def test_streams_of_another_array_give_the_same_program():
    """Encoded once, whatever ring and tile: nothing but masks and their order goes into a stream."""
    made = network(chain(30, 7), side=5, density=0.5)
    encoded: dict = {}
    for config in (replace(TINY, scratchpad_depth=1024), TINY):  # whole filters, then in parts
        fresh = compile_network(made, config)
        again = compile_network(made, config, encoded=encoded)
        assert np.array_equal(fresh.layer_beats, again.layer_beats)
    assert list(encoded) == ["conv2"]
