"""WSP and CSR streams: round trips, the rule in plain Python, and bad streams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sw import csr, wsp
from tests.random_networks import random_spikes, random_vgg16
from tests.soak import times

shapes = st.one_of(
    st.tuples(st.integers(1, 600), st.just(3), st.just(3)),
    st.tuples(st.integers(1, 600), st.just(1), st.just(1)),
    st.tuples(st.integers(1, 600)),
)


@given(shapes, st.sampled_from([0, 0.002, 0.02, 0.5, 1]), st.integers(0, 2**32))
@settings(deadline=None, max_examples=times(200))
def test_round_trip(shape, density, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < density
    weights = np.where(mask, rng.choice([-32768, -1, 1, 32767, 1234], shape), 0)
    words = wsp.encode(weights, mask)
    assert words.dtype == np.uint16
    decoded, decoded_mask = wsp.decode(words, shape)
    assert np.array_equal(decoded, weights)
    assert np.array_equal(decoded_mask, mask)
    used = mask.reshape(len(mask), -1).any(1)
    assert len(words) <= mask.sum() + used.sum() + len(mask) // 127  # nothing is stored twice


def cursor(words: list[int]) -> dict[tuple[int, int], int]:
    """The rule in plain Python, word by word: (channel, kernel position) -> value."""
    found, channel, words = {}, 0, list(words)
    while words:
        header = words.pop(0)
        channel += header >> 9
        pattern = header & 0x1FF
        for position in range(9):
            if pattern >> position & 1:
                value = words.pop(0)
                found[channel, position] = value - 0x10000 * (value >> 15)
        channel += pattern > 0
    return found


@given(st.integers(0, 2**32), st.sampled_from([0.001, 0.05]))
@settings(deadline=None)
def test_the_stream_follows_the_cursor_rule(seed, density):
    rng = np.random.default_rng(seed)
    mask = rng.random((700, 3, 3)) < density
    weights = rng.integers(1, 100, mask.shape) * mask
    expected = {(int(c), int(y * 3 + x)): int(weights[c, y, x]) for c, y, x in np.argwhere(weights)}
    assert cursor(wsp.encode(weights, mask).tolist()) == expected


@pytest.mark.parametrize(
    ("channel", "headers"),
    [(0, [0]), (127, [127]), (128, [127, 1]), (254, [127, 127]), (255, [127, 127, 1])],
)
def test_long_gaps_take_more_headers(channel, headers):
    weights = np.zeros((256, 1, 1), int)
    weights[channel] = 7
    words = wsp.encode(weights, weights != 0).tolist()
    assert words == [*(127 << 9 for _ in headers[:-1]), headers[-1] << 9 | 1 << 4, 7]


def test_every_filter_of_vgg16_comes_back():
    network = random_vgg16(0)
    for layer in network.array:
        for weights, mask in zip(layer.own.weight, layer.own.mask, strict=True):
            assert np.array_equal(wsp.decode(wsp.encode(weights, mask), weights.shape)[0], weights)


def test_bad_weights_and_streams_are_refused():
    with pytest.raises(ValueError, match=r"a filter of shape \(4, 5, 5\)"):
        wsp.encode(np.ones((4, 5, 5), int), np.ones((4, 5, 5), bool))
    with pytest.raises(ValueError, match="is 0 or exceeds 16 bits"):
        wsp.encode(np.zeros((4, 3, 3), int), np.ones((4, 3, 3), bool))
    with pytest.raises(ValueError, match="exceeds 16 bits"):
        wsp.encode(np.full((4,), 32768), np.ones((4,), bool))
    good = np.array([3 << 9 | 0b11, 5, 6], np.uint16)
    with pytest.raises(ValueError, match="ends 1 values early"):
        wsp.decode(good[:-1], (4, 3, 3))
    with pytest.raises(ValueError, match="lies outside"):
        wsp.decode(good, (3, 3, 3))
    with pytest.raises(ValueError, match="lies outside"):
        wsp.decode(good, (4, 1, 1))
    with pytest.raises(ValueError, match="a stored weight is 0"):
        wsp.decode(np.array([1, 0], np.uint16), (4, 3, 3))


@given(
    st.integers(1, 4),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([0, 0.05, 0.5, 1]),
    st.integers(0, 2**32),
)
@settings(deadline=None)
def test_csr_round_trip(ticks, height, width, rate, seed):
    spikes = random_spikes(np.random.default_rng(seed), (ticks, 1, height, width), rate)[:, 0]
    channel = csr.encode(spikes)
    assert np.array_equal(csr.decode(channel, ticks=ticks, width=width), spikes)
    assert len(channel.columns) == np.count_nonzero(spikes.any(0))
    assert len(channel.ticks) == -(-len(channel.columns) // 2)


def test_csr_refuses_what_it_cannot_hold():
    with pytest.raises(ValueError, match=r"CSR: spikes \(5, 2, 2\)"):
        csr.encode(np.zeros((5, 2, 2), np.uint8))
