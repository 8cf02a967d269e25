"""Filters as WSP streams, and the segments in which the array loads them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np

from hw.config import Config
from sw import wsp
from sw.integers import IntegerLayer, IntegerSource


@dataclass(frozen=True)
class Encoded:
    """A layer's filters in their loaded order, the shortcut's channels behind the input's."""

    words: list[np.ndarray]  # uint16, the WSP stream of each
    counts: np.ndarray  # (K, C): weights of each input channel


@dataclass(frozen=True)
class Segment:
    """One part of the filters of a group, PE by PE: their WSP words."""

    group: int
    words: tuple[np.ndarray, ...]  # uint16, n_pe of them
    identities: tuple[int, ...]  # how many of each PE's weights, the last ones, are an identity's
    open: bool
    close: bool
    all_tiles: bool
    end: bool


def encoded_filters(loaded: IntegerLayer) -> Encoded:
    """The streams of a layer whose filters and channels are in their loaded order."""
    weight, mask = _weights(loaded)
    counts = np.count_nonzero(mask.reshape(*mask.shape[:2], -1), axis=2)
    return Encoded(wsp.encode_filters(weight, mask), counts)


def _weights(loaded: IntegerLayer) -> tuple[np.ndarray, np.ndarray]:
    """Weights and mask (K, C, kh, kw) of all sources, each one's channels behind the last's."""
    kernel = loaded.own.source.kernel or (1, 1)
    parts = [
        identity_matrix(part) if part.source.identity else (part.weight, part.mask)
        for part in loaded.sources
    ]
    weights, masks = zip(*(_widened(*part, kernel) for part in parts), strict=True)
    return np.concatenate(weights, axis=1), np.concatenate(masks, axis=1)


def identity_matrix(identity: IntegerSource) -> tuple[np.ndarray, np.ndarray]:
    """An identity as 1x1 weights and mask (K, C)."""
    filters = len(identity.weight)
    mask = np.zeros((filters, identity.source.channels), bool)
    mask[np.arange(filters), identity.channels] = True
    return np.where(mask, identity.weight[:, None], 0), mask


def _widened(
    weight: np.ndarray, mask: np.ndarray, kernel: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """1x1 weights in the centre of the kernel of the layer's own source."""
    shape = (*weight.shape[:2], *kernel)
    if weight.shape == shape:
        return weight, mask
    result = np.zeros(shape, weight.dtype), np.zeros(shape, bool)
    for wide, narrow in zip(result, (weight, mask), strict=True):
        wide[:, :, kernel[0] // 2, kernel[1] // 2] = narrow.reshape(shape[:2])
    return result


def segments_of(encoded: Encoded, config: Config, *, tiles: int, identities: int) -> list[Segment]:
    """Groups of n_pe filters; a group with a filter that exceeds the ring is cut into parts.

    Parts are repeated for every tile, so they are loaded again for each. identities: of a filter's
    weights, the last ones.
    """
    n_pe = config.n_pe
    segments: list[Segment] = []
    streams = [(words, identities) for words in encoded.words]
    none = (np.zeros(0, np.uint16), 0)
    for start in range(0, len(streams), n_pe):
        group = streams[start : start + n_pe]
        longest = max(len(words) for words, _ in group)
        if longest <= config.scratchpad_depth:
            group += [none] * (n_pe - len(group))
            words, last = zip(*group, strict=True)
            segments.append(Segment(start // n_pe, words, last, True, True, True, False))
            continue
        # Half a ring each, so that the next part loads while this one sweeps.
        limit = config.scratchpad_depth // 2
        counts = encoded.counts[start : start + n_pe]
        cut = [
            _parts(words, row, limit, identities)
            for (words, _), row in zip(group, counts, strict=True)
        ]
        count = max(len(parts) for parts in cut)
        cut = [parts + [none] * (count - len(parts)) for parts in cut]
        cut += [[none] * count] * (n_pe - len(cut))
        for _ in range(tiles):
            for p in range(count):
                words, last = zip(*(parts[p] for parts in cut), strict=True)
                closes = p == count - 1
                segments.append(Segment(start // n_pe, words, last, p == 0, closes, False, False))
    segments[-1] = replace(segments[-1], end=True)
    return segments


def _parts(
    words: np.ndarray, counts: np.ndarray, limit: int, identities: int
) -> list[tuple[np.ndarray, int]]:
    """A filter's stream in streams of at most `limit` words, whole input channels each.

    counts: weights of each input channel, (C,). A channel counts with its header, used or not.
    """
    sizes = [0, *np.cumsum(counts + 1).tolist()]
    edges = [0]
    while edges[-1] < len(counts):
        start = edges[-1]
        room = limit + sizes[start] - -(-start // wsp.MAX_SKIP)
        end = bisect_right(sizes, room, start) - 1
        edges.append(min(max(end, start + 1), len(counts)))
    found = wsp.cut(words, counts, edges)
    parts = [(part, 0) for number, part in enumerate(found) if len(part) or number == 0]
    parts[-1] = (parts[-1][0], identities)
    return parts
