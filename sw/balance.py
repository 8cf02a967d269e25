"""Workload balancing of masks: equal non-zero weights for the filters that run side by side.

Policies (docs/balancing.md): `none`, `sort` (reorder output channels), `random` (Algorithm 1 of the
paper) and `magnitude` (ours). A group is `n_pe` consecutive filters, one a PE.
"""

from __future__ import annotations

import math

import numpy as np

POLICIES = ("none", "sort", "random", "magnitude")
TARGETS = ("exact", "ceil")


def filter_nnz(mask: np.ndarray) -> np.ndarray:
    """Non-zero weights of each filter: (K, ...) -> int64 (K,)."""
    rows = mask.reshape(len(mask), -1)
    return np.fromiter((np.count_nonzero(row) for row in rows), np.int64, len(rows))


def sort_order(nnz: np.ndarray) -> np.ndarray:
    """Output channels in descending order of nnz, ties by index: new position -> channel."""
    return np.argsort(-nnz, kind="stable")


def targets(nnz: np.ndarray, *, parameters: int, n_pe: int, target: str = "exact") -> np.ndarray:
    """The nnz that each filter is to have, int64 (K,).

    "exact": the rounded mean of each group, what rounding left over being carried into the next
    group, so that a layer's nnz moves by at most half a group. "ceil": the authors' ceil(mean).
    parameters: weights of one filter, the most it can hold.
    """
    wanted = np.empty_like(nnz)
    carry = 0
    for start in range(0, len(nnz), n_pe):
        group = nnz[start : start + n_pe]
        total, k = int(group.sum()), len(group)
        if target == "ceil":
            each = math.ceil(total / k)
        else:
            each = min(max(round((total + carry) / k), 0), parameters)
            carry += total - k * each
        wanted[start : start + n_pe] = each
    return wanted


def balance(
    mask: np.ndarray,
    *,
    n_pe: int,
    policy: str,
    target: str = "exact",
    rng: np.random.Generator,
    weights: np.ndarray | None = None,
    score: np.ndarray | None = None,
) -> np.ndarray:
    """The balanced mask of one layer, boolean, in the shape (K, ...) of `mask`.

    `random` clears ones and sets zeros at random. `magnitude` clears the smallest |weights| and sets
    the zeros of largest `score`; each is drawn from `rng` when it is None.
    `none` and `sort` return the mask as it is (sorting is an order, see `sort_order`).
    Raises ValueError for an unknown policy or target.
    """
    if policy not in POLICIES:
        raise ValueError(f"unknown policy {policy!r}; allowed: {', '.join(POLICIES)}")
    if target not in TARGETS:
        raise ValueError(f"unknown target {target!r}; allowed: {', '.join(TARGETS)}")
    result = mask.astype(bool)
    if policy in ("none", "sort"):
        return result
    nnz = filter_nnz(result)
    flat = result.reshape(len(result), -1)
    delta = targets(nnz, parameters=flat.shape[1], n_pe=n_pe, target=target) - nnz
    by_value = policy == "magnitude"
    for k in np.flatnonzero(delta):
        row, missing = flat[k], int(delta[k])
        candidates = np.flatnonzero(~row if missing > 0 else row)
        values = score if missing > 0 else weights
        if by_value and values is not None:
            key = np.abs(values.reshape(flat.shape)[k, candidates])
            order = np.argsort(-key if missing > 0 else key, kind="stable")
            chosen = candidates[order[: abs(missing)]]
        else:
            chosen = rng.choice(candidates, abs(missing), replace=False, shuffle=False)
        row[chosen] = missing > 0
    return result
