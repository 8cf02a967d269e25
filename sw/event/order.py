"""In which order a group's beats are handed out, so that its PEs keep together."""

from __future__ import annotations

import numpy as np


def balanced_order(weights: np.ndarray) -> np.ndarray:
    """Order of beats, int64 (beats,), for how many weights each PE has in each: (beats, n_pe).

    Greedy: the next beat is the one after which the shares of their weights that the PEs have done differ least
    (sum of squares about their mean); the first of equal ones. A PE's FIFO then bridges what is left.
    """
    totals = weights.sum(axis=0)
    share = weights / np.where(totals > 0, totals, 1)
    steps = share - share.mean(axis=1, keepdims=True)
    squares = (steps**2).sum(axis=1)
    done = np.zeros(weights.shape[1])
    order = np.empty(len(weights), np.int64)
    for k in range(len(weights)):
        best = int(np.argmin(squares + 2 * (steps @ done)))
        order[k] = best
        done += steps[best]
        squares[best] = np.inf
    return order
