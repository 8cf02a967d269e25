"""Slice headers, values and lists of a group of filters: the formats of hw/event/program.py."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hw.event.program import LIST_ENTRY, LIST_WORDS, MAX_GAP, MAX_SKIP, SLICE_HEADER
from hw.program import pack
from sw.event.order import balanced_order

SHORTCUT = LIST_ENTRY["shortcut"].offset
"""Bit of a list word: the beat is of the second source."""
SUB, LAST, SKIP = (SLICE_HEADER[name].offset for name in ("sub", "last", "skip"))


@dataclass(frozen=True)
class Weights:
    """The weights of some filters, one a row: which filter, beat (as a list names it), channel of the beat and tap."""

    filters: np.ndarray  # int64 (N,), from 0
    beats: np.ndarray  # int64 (N,), list words
    subs: np.ndarray  # int64 (N,)
    taps: np.ndarray  # int64 (N,), 0 to 8
    values: np.ndarray  # int64 (N,)

    def of(self, rows: np.ndarray) -> Weights:
        """Some of the rows."""
        return Weights(*(array[rows] for array in vars(self).values()))


@dataclass(frozen=True)
class Part:
    """What a segment holds: a list, and each PE's slice headers and values, all uint16."""

    places: np.ndarray
    headers: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]


def encode_group(weights: Weights, n_pe: int, ring_words: int) -> list[Part]:
    """A group's filters 0 to n_pe - 1, in one part or, where a ring is too small, in several of half a ring.

    Raises ValueError for a weight of 0 or past 16 bits.
    """
    if np.any(weights.values == 0) or np.any(weights.values != weights.values.astype(np.int16)):
        raise ValueError("a weight in the mask is 0 or exceeds 16 bits")
    beats, index = np.unique(weights.beats, return_inverse=True)
    counts = np.zeros((len(beats), n_pe), np.int64)
    np.add.at(counts, (index, weights.filters), 1)
    order = balanced_order(counts)
    place = np.empty(len(beats), np.int64)
    place[order] = np.arange(len(beats))
    at = place[index]
    whole = _part(weights, at, beats[order], n_pe)
    longest = max(len(words) for words in (*whole.headers, *whole.values))
    if longest <= ring_words and len(beats) <= LIST_WORDS:
        return [whole]
    headers = np.zeros_like(
        counts
    )  # a header for each channel of a beat that a filter has weights in
    used = np.unique(np.stack([index, weights.filters, weights.subs]), axis=1)
    np.add.at(headers, (used[0], used[1]), 1)
    parts = []
    for first, end in _cut(headers[order], counts[order], ring_words // 2):
        rows = (at >= first) & (at < end)
        parts.append(_part(weights.of(rows), at[rows] - first, beats[order[first:end]], n_pe))
    return parts


def _cut(headers: np.ndarray, values: np.ndarray, limit: int) -> list[tuple[int, int]]:
    """Ranges of places, each with at most `limit` headers and values a PE, if not a single place."""
    ranges, first = [], 0
    sums = np.zeros((2, headers.shape[1]), np.int64)
    for k, more in enumerate(np.stack([headers, values], axis=1)):
        # a gap costs words of its own: one in MAX_SKIP places at most
        room = limit - (k - first) // MAX_SKIP - 1
        if k > first and (np.any(sums + more > room) or k - first >= LIST_WORDS // 2):
            ranges.append((first, k))
            first, sums = k, np.zeros_like(sums)
        sums = sums + more
    return [*ranges, (first, len(headers))]


def _part(weights: Weights, at: np.ndarray, places: np.ndarray, n_pe: int) -> Part:
    order = np.lexsort((weights.taps, weights.subs, at, weights.filters))
    weights, at = weights.of(order), at[order]
    edges = np.searchsorted(weights.filters, np.arange(n_pe + 1))
    headers, values = [], []
    for low, high in pairwise(edges.tolist()):
        headers.append(_headers(at[low:high], weights.subs[low:high], weights.taps[low:high]))
        values.append(weights.values[low:high].astype(np.int16).view(np.uint16))
    return Part(places.astype(np.uint16), tuple(headers), tuple(values))


def _headers(at: np.ndarray, subs: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """The slice headers of one filter, its weights in order."""
    if not len(at):
        return np.zeros(0, np.uint16)
    slices = at * 4 + subs
    starts = np.flatnonzero(np.diff(slices, prepend=-1))
    patterns = np.add.reduceat(1 << taps, starts)
    place, sub = at[starts], subs[starts]
    opens = np.diff(place, prepend=-1) > 0
    last = np.append(opens[1:], True)
    skips = np.where(opens, np.diff(place, prepend=-1) - 1, 0)
    words = (patterns | sub << SUB | last.astype(np.int64) << LAST).tolist()
    result: list[int] = []
    for word, skip in zip(words, skips.tolist(), strict=True):
        left = skip
        while left > MAX_SKIP:
            gap = min(left, MAX_GAP)
            result.append(gap << SUB)
            left -= gap
        result.append(word | left << SKIP)
    return np.array(result, np.uint16)


def list_word(*, index: int, shortcut: bool) -> int:
    """A place of a list."""
    return pack(LIST_ENTRY, index=index, shortcut=int(shortcut))
