"""Random choice without replacement, in many segments of one array at once."""

from __future__ import annotations

import numpy as np


def flip_random(
    bits: np.ndarray,
    *,
    start: np.ndarray,
    length: np.ndarray,
    count: np.ndarray,
    old: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Flip, in each segment, `count` random entries that equal `old`; every choice equally likely.

    bits: boolean (N,), changed in place. start, length, count: integers (S,); old: boolean (S,).
    Segments are disjoint, and each holds at least `count` entries that equal `old`.
    Entries are drawn until they fit, so the time grows with length / (fitting entries left over).
    """
    owner = np.empty(len(bits), np.int32)  # the draw that got an entry, where there was one
    todo = np.repeat(np.arange(len(count)), count)  # segment of each flip still to be made
    while todo.size:
        pick = start[todo] + (rng.random(todo.size) * length[todo]).astype(np.int64)
        draw = np.arange(todo.size, dtype=np.int32)
        owner[pick] = draw
        fits = (owner[pick] == draw) & (bits[pick] == old[todo])
        bits[pick[fits]] ^= True
        todo = todo[~fits]
