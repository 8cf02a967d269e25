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
from sw.compile import DoesNotFit, compile_network
from sw.networks import Layer
from sw.quantize import IntegerNetwork
from tests.random_networks import conv, random_layer
from tests.soak import times

TINY = PRESETS["tiny"]


def network(layers, config=TINY, density=0.2):
    rng = np.random.default_rng(0)
    return IntegerNetwork(
        layers=layers,
        first_weight=np.zeros((layers[0].out_channels, 3, 3, 3)),
        first_bias=np.zeros(layers[0].out_channels),
        array=tuple(random_layer(rng, x, density=density, config=config) for x in layers[1:]),
        dataset="cifar10",
        ticks=config.ticks,
        neuron=config.neuron,
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
            compile_network(network(chain(*channels)), TINY, input_side=side)
        return
    program = compile_network(network(chain(*channels)), TINY, input_side=side)
    for layer in program.layers:
        low, high = sorted((layer.input, layer.output), key=lambda region: region.base)
        assert low.base + low.words <= high.base
        assert low.base >= 0
        assert high.base + high.words <= TINY.buffer_depth


def test_the_words_of_a_filter_are_its_weights():
    program = compile_network(network(chain(5, 6)), TINY, input_side=8)
    (layer,) = program.layers
    for group, segment in enumerate(layer.segments):
        for pe, words in enumerate(segment.words):
            k = group * TINY.n_pe + pe
            if k >= 6:
                assert len(words) == 0
                continue
            weights, mask = wsp.decode(words, (5, 3, 3))
            assert np.array_equal(weights, layer.integer.weight[k])
            assert np.array_equal(mask, layer.integer.mask[k])


def test_a_filter_that_exceeds_the_ring_is_cut_for_every_tile():
    program = compile_network(network(chain(30, 2), density=1.0), TINY, input_side=5)
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
        ({"pool": "avg"}, "layer conv2: an average over a map of side 8; the array has up to 4"),
        (
            {"shortcut": "identity", "shortcut_input": "conv1", "stride": 2},
            r"layer conv2: its shortcut has \(side, channels\) = \(8, 4\); allowed: \(4, 4\)",
        ),
    ],
)
def test_what_the_array_does_not_have_is_named(change, message):
    first, second = chain(4, 4)
    made = network((first, second))
    changed = replace(second, **change)
    broken = replace(made, layers=(first, changed), array=(replace(made.array[0], layer=changed),))
    with pytest.raises(DoesNotFit, match=message):
        compile_network(broken, TINY, input_side=8)


def test_a_linear_layer_needs_a_map_of_one_position():
    first = chain(4)[0]
    fc = Layer(name="fc", kind="linear", in_channels=4, out_channels=3, kernel=1, input="conv1")
    with pytest.raises(DoesNotFit, match="layer fc: a linear layer on a map of side 2"):
        compile_network(network((first, fc)), TINY, input_side=2)


def test_a_program_refuses_other_spikes():
    program = compile_network(network(chain(5, 6)), TINY, input_side=8)
    with pytest.raises(ValueError, match="input spikes are"):
        program.beats(np.zeros((TINY.ticks, 5, 7, 7), np.uint8))


def test_streams_of_another_array_give_the_same_program():
    """Encoded once, whatever ring and tile: nothing but masks and their order goes into a stream."""
    made = network(chain(30, 7), density=0.5)
    encoded: dict = {}
    for config in (replace(TINY, scratchpad_depth=1024), TINY):  # whole filters, then in parts
        fresh = compile_network(made, config, input_side=5)
        again = compile_network(made, config, input_side=5, encoded=encoded)
        assert np.array_equal(fresh.layer_beats, again.layer_beats)
    assert list(encoded) == ["conv2"]
