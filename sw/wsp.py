"""Weight sparsity patterns: the compressed weight stream of one filter (docs/formats.md, "WSP").

A stream of 16-bit words. Each input channel with weights has a header, then its non-zero values in
position order (two's complement). Header bits 0..8 are the WSP: which positions of the 3x3 kernel
are non-zero, bit 0 = top left, bit 8 = bottom right. Bits 9..15 are the input channels to skip.
A cursor starts at channel 0; a header adds its skip to it; if its WSP is not empty, the values
belong to the cursor's channel, and the cursor moves one on. A header with an empty WSP only skips
(127 channels, where the gap is larger than that). 1x1 kernels use the centre bit.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

POSITIONS = 9  # bits of a WSP
CENTRE = 4
MAX_SKIP = 127
_POPCOUNT = np.array([pattern.bit_count() for pattern in range(1 << POSITIONS)])


def encode(weights: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Words, uint16, of one filter: integers (C, kh, kw) or (C,), of which those in `mask` are sent.

    Raises ValueError unless the kernel is 3x3 or 1x1 and the values are non-zero 16-bit integers.
    """
    return encode_filters(weights[None], mask[None])[0]


def encode_filters(weights: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """The words of each filter of a layer, see `encode`: integers (K, C, kh, kw) or (K, C)."""
    filters, channels = mask.shape[:2]
    first = _first_position(mask.shape[1:])
    present = mask.reshape(filters, channels, -1)
    values = weights.ravel()[np.flatnonzero(present)].astype(np.int64)
    if np.any(values == 0) or np.any(values != values.astype(np.int16)):
        raise ValueError("WSP: a weight in the mask is 0 or exceeds 16 bits")
    packed = np.packbits(present, axis=2, bitorder="little").astype(np.uint16)
    patterns = packed[:, :, 0] << first
    if packed.shape[2] > 1:
        patterns |= packed[:, :, 1] << 8
    which, used = np.nonzero(patterns)  # the slices with weights
    patterns = patterns[which, used]
    opening = np.diff(which, prepend=-1) > 0
    gaps = used - np.where(opening, -1, np.concatenate([[0], used[:-1]])) - 1
    skips = np.maximum(gaps - 1, 0) // MAX_SKIP  # headers with an empty WSP before this channel's
    counts = _POPCOUNT[patterns]
    ends = np.cumsum(skips + 1 + counts)
    words = np.full(ends[-1] if len(ends) else 0, MAX_SKIP << POSITIONS, np.uint16)
    headers = ends - counts - 1
    words[headers] = ((gaps - skips * MAX_SKIP) << POSITIONS) | patterns
    words[np.repeat(headers + 1, counts) + _ramps(counts)] = values.astype(np.int16).view(np.uint16)
    lengths = np.bincount(which, skips + 1 + counts, filters).astype(np.int64)
    return np.split(words, np.cumsum(lengths)[:-1])


def cut(words: np.ndarray, counts: np.ndarray, edges: list[int]) -> list[np.ndarray]:
    """A filter's stream cut at input channels: streams of channels edges[0] to edges[1], and so on.

    words: of the whole filter. counts: weights of each channel, (C,).
    """
    used = np.flatnonzero(counts)
    gaps = np.diff(used, prepend=-1) - 1
    ends = np.cumsum(np.maximum(gaps - 1, 0) // MAX_SKIP + 1 + counts[used]).tolist()
    places = np.searchsorted(used, edges).tolist()
    parts = []
    for low, high in pairwise(places):
        if low == high:
            parts.append(words[:0])
            continue
        channel = int(used[low])
        header = ends[low] - int(counts[channel]) - 1
        skips = max(channel - 1, 0) // MAX_SKIP  # from channel 0, where the cursor starts again
        part = np.empty(skips + ends[high - 1] - header, np.uint16)
        part[:skips] = MAX_SKIP << POSITIONS
        part[skips:] = words[header : ends[high - 1]]
        pattern = int(words[header]) & ((1 << POSITIONS) - 1)
        part[skips] = (channel - skips * MAX_SKIP) << POSITIONS | pattern
        parts.append(part)
    return parts


def decode(words: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Weights, int32, and mask, boolean, of `shape` (C, kh, kw) or (C,), from `encode`'s words.

    Raises ValueError for a stream that ends early, leaves the shape, or holds a zero weight.
    """
    first = _first_position(shape)
    size = int(np.prod(shape[1:], dtype=np.int64))
    patterns = words & ((1 << POSITIONS) - 1)
    following = (np.arange(1, len(words) + 1) + _POPCOUNT[patterns]).tolist()
    headers = []
    at = 0
    while at < len(words):
        headers.append(at)
        at = following[at]
    if at != len(words):
        raise ValueError(f"WSP: the stream ends {at - len(words)} values early")
    header = np.array(headers, np.int64)
    pattern, skip = patterns[header].astype(np.int64), (words[header] >> POSITIONS).astype(np.int64)
    channel = np.cumsum(skip + (pattern > 0)) - (pattern > 0)
    which, position = np.nonzero(pattern[:, None] >> np.arange(POSITIONS) & 1)
    position -= first
    if np.any(channel[which] >= shape[0]) or np.any((position < 0) | (position >= size)):
        raise ValueError(f"WSP: a weight lies outside of {shape}")
    is_value = np.ones(len(words), bool)
    is_value[header] = False
    values = words[is_value].view(np.int16)
    if np.any(values == 0):
        raise ValueError("WSP: a stored weight is 0")
    weights = np.zeros((shape[0], size), np.int32)
    weights[channel[which], position] = values
    weights = weights.reshape(shape)
    return weights, weights != 0


def _first_position(shape: tuple[int, ...]) -> int:
    """The WSP bit of a kernel's first position."""
    if shape[1:] == (3, 3):
        return 0
    if shape[1:] in ((), (1, 1)):
        return CENTRE
    raise ValueError(f"WSP: a filter of shape {shape}, allowed: (C, 3, 3), (C, 1, 1), (C,)")


def _ramps(counts: np.ndarray) -> np.ndarray:
    """0, 1, ..., n - 1 for each n in `counts`, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def lengths(mask: np.ndarray) -> np.ndarray:
    """Words of each filter's stream, int64 (K,), for a layer's mask (K, C, kh, kw) or (K, C)."""
    return np.array([len(words) for words in encode_filters(mask.astype(np.int32), mask)])


def expected_words(nnz: np.ndarray, *, channels: int, positions: int) -> float:
    """Words of a layer whose filters have `nnz` (K,) weights, on average over where they lie.

    A slice needs its header unless all its positions are empty; headers that only skip are left out.
    """
    size, n = channels * positions, np.asarray(nnz, np.float64)
    empty = np.ones_like(n)
    for j in range(positions):
        empty *= np.maximum(size - n - j, 0) / (size - j)
    return float(np.sum(n + channels * (1 - empty)))
