"""Workload balancing of masks: equal non-zero weights for the filters that run side by side.

Policies (docs/balancing.md): `none`, `sort` (reorder output channels), `random` (Algorithm 1 of the
paper) and `magnitude` (ours). A group is `n_pe` consecutive filters, one a PE.
"""

from __future__ import annotations

import numpy as np

from sw.sampling import flip_random

POLICIES = ("none", "sort", "random", "magnitude")
BALANCING = ("random", "magnitude")  # those that change masks
TARGETS = ("exact", "ceil")


def filter_nnz(mask: np.ndarray) -> np.ndarray:
    """Non-zero weights of each filter: (K, ...) -> int64 (K,)."""
    rows = mask.reshape(len(mask), -1)
    if rows.dtype != bool:
        rows = rows != 0
    return np.fromiter(map(np.count_nonzero, rows), np.int64, len(rows))


def sort_order(nnz: np.ndarray) -> np.ndarray:
    """Output channels in descending order of nnz, ties by index: new position -> channel."""
    return np.argsort(-nnz, kind="stable")


def targets(nnz: np.ndarray, *, parameters: int, n_pe: int, target: str = "exact") -> np.ndarray:
    """The nnz that each filter is to have, int64 (K,).

    "exact": the rounded mean of each group, what rounding left over being carried into the next
    group, so that a layer's nnz moves by at most half a group. Where that would take a layer's last
    weight, it stays as it is. "ceil": the authors' ceil(mean).
    parameters: weights of one filter, the most it can hold.
    """
    wanted = np.empty_like(nnz)
    carry = 0
    for start in range(0, len(nnz), n_pe):
        group = nnz[start : start + n_pe]
        total, k = int(group.sum()), len(group)
        if target == "ceil":
            each = -(-total // k)
        else:
            each = min(max(round((total + carry) / k), 0), parameters)
            carry += total - k * each
        wanted[start : start + n_pe] = each
    return wanted if wanted.any() else nnz.copy()


def left_alone(nnz: np.ndarray, *, parameters: int, n_pe: int, target: str = "exact") -> bool:
    """Whether a layer with weights stays unbalanced, since rounding would take its last; else as `targets`."""
    wanted = targets(nnz, parameters=parameters, n_pe=n_pe, target=target)
    groups = np.split(wanted, range(n_pe, len(wanted), n_pe))
    return any(len(set(group.tolist())) > 1 for group in groups)


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
    the zeros of largest |score|, ties by index; each is drawn from `rng` when it is None.
    `none` and `sort` return the mask as it is (sorting is an order, see `sort_order`).
    Raises ValueError for an unknown policy or target, or n_pe < 1.
    """
    if policy not in POLICIES:
        raise ValueError(f"unknown policy {policy!r}; allowed: {', '.join(POLICIES)}")
    if target not in TARGETS:
        raise ValueError(f"unknown target {target!r}; allowed: {', '.join(TARGETS)}")
    if n_pe < 1:
        raise ValueError(f"n_pe = {n_pe}; allowed: 1 or more")
    result = np.array(mask, dtype=bool, order="C")
    if policy in ("none", "sort"):
        return result
    flat = result.reshape(len(result), -1)
    nnz = filter_nnz(flat)
    delta = targets(nnz, parameters=flat.shape[1], n_pe=n_pe, target=target) - nnz
    by_value = policy == "magnitude"
    for rows, values in ((delta < 0, weights), (delta > 0, score)):
        chosen = np.flatnonzero(rows)
        if by_value and values is not None:
            _flip_by_value(flat, chosen, delta, np.asarray(values).reshape(flat.shape))
        else:
            _flip_randomly(flat, chosen, delta, nnz, rng)
    return result


def ranked(
    values: dict[str, np.ndarray], *, nnz: int, n_pe: int, floor: float = 0.0
) -> dict[str, np.ndarray]:
    """Balanced boolean masks of a whole network that keep its largest |values|.

    Rank r of a group is the r-th largest |value| of each of its filters. Ranks are kept or dropped
    whole, those of the largest mean first over all groups and layers, ties in order: pruning and
    balancing in one step. So every full group has utilization exactly 1; the sum of weights is as
    near to `nnz` as whole ranks allow. floor: fraction of each filter that stays whatever its values.
    Training does not use it: benchmarks/policies.py compares it, and says why (docs/results/balancing.md).
    """
    orders, scores, groups = {}, [], []
    for name, value in values.items():
        rows = np.abs(value.reshape(len(value), -1))
        orders[name] = np.argsort(-rows, axis=1, kind="stable")
        guaranteed = int(np.ceil(floor * rows.shape[1]))
        for start in range(0, len(rows), n_pe):
            part = slice(start, start + n_pe)
            score = np.take_along_axis(rows[part], orders[name][part], 1).mean(0)
            score[:guaranteed] = np.inf
            scores.append(score)
            groups.append((name, part))
    group = np.repeat(np.arange(len(groups)), [len(score) for score in scores])
    size = np.array([len(orders[name][part]) for name, part in groups])  # filters of each group
    first = np.argsort(-np.concatenate(scores), kind="stable")
    held = np.cumsum(size[group[first]])  # weights, with the ranks up to this one
    count = int(np.argmin(np.abs(np.concatenate([[0], held]) - nnz)))
    each = np.bincount(group[first[:count]], minlength=len(groups))
    masks = {name: np.zeros(order.shape, bool) for name, order in orders.items()}
    for (name, part), target in zip(groups, each, strict=True):
        np.put_along_axis(masks[name][part], orders[name][part, :target], True, 1)
    return {name: mask.reshape(values[name].shape) for name, mask in masks.items()}


def _flip_by_value(
    flat: np.ndarray, rows: np.ndarray, delta: np.ndarray, values: np.ndarray
) -> None:
    """In each row clear -delta ones of smallest |value|, or set delta zeros of largest |value|."""
    for row in rows:
        bits, missing = flat[row], delta[row]
        candidates = np.flatnonzero(bits == (missing < 0))
        key = np.abs(values[row, candidates].astype(np.float64))
        order = np.argsort(-key if missing > 0 else key, kind="stable")
        bits[candidates[order[: abs(missing)]]] = missing > 0


def _flip_randomly(
    flat: np.ndarray,
    rows: np.ndarray,
    delta: np.ndarray,
    nnz: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """In each row clear -delta random ones, or set delta random zeros; all deltas of one sign."""
    size, count = flat.shape[1], np.abs(delta[rows])
    clear = delta[rows] < 0
    free = np.where(clear, nnz[rows], size - nnz[rows])
    scarce = 4 * (free - count) < size  # too few candidates for drawing from the whole row
    plenty = ~scarce
    flip_random(
        flat.reshape(-1),
        start=rows[plenty] * size,
        length=np.full(np.count_nonzero(plenty), size),
        count=count[plenty],
        old=clear[plenty],
        rng=rng,
    )
    if not scarce.any():
        return
    # List the candidates, and draw from the list those to flip, or those to keep if they are fewer.
    rows, count, free, clear = rows[scarce], count[scarce], free[scarce], clear[scarce]
    listed = np.flatnonzero(flat[rows] == clear[:, None])
    keep = 2 * count > free
    flip = np.repeat(keep, free)
    flip_random(
        flip,
        start=np.cumsum(free) - free,
        length=free,
        count=np.where(keep, free - count, count),
        old=keep,
        rng=rng,
    )
    row, column = np.divmod(listed[flip], size)
    flat[rows[row], column] ^= True
