"""A trained ticket pruned and balanced as it is, without training; docs/masks.md.

A weight can come back only where the ticket still has its value. Filters that would need others stay below their
group's target: that costs no time, since the group ends with its longest filter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sw.balance import balance, filter_nnz, left_alone
from sw.prune import global_magnitude
from sw.ticket import Ticket, counts

MEASURED = ("accuracy", "accuracy_quantized", "test_images", "nnz", "weight_sparsity", "rewound")
"""Metadata that the old weights had."""


@dataclass(frozen=True)
class Rebalanced:
    """A ticket, and what happened to the weights on the way."""

    ticket: Ticket
    pruned: int
    """Weights that went to reach the sparsity."""
    cleared: int
    """Weights that balancing took."""
    restored: int
    """Weights that balancing gave back their value."""
    missing: int
    """Weights that balancing would have given, without a value."""
    empty: tuple[str, ...]
    """Layers, and groups of filters, that have lost all their weights."""
    left: tuple[str, ...]
    """Layers that stay unbalanced, since rounding would take their last weight."""


def rebalanced(
    ticket: Ticket,
    *,
    n_pe: int,
    policy: str = "magnitude",
    target: str = "exact",
    sparsity: float | None = None,
    rng: np.random.Generator,
) -> Rebalanced:
    """Prune the smallest weights of the array's layers, then balance each layer for `n_pe` PEs.

    sparsity: share of zero weights over these layers; None prunes nothing. policy, target: as
    `sw.balance.balance`. Raises ValueError for a sparsity that the ticket exceeds already.
    """
    before = ticket.masks
    weights = {p.name: p.weight for p in ticket.array}
    kept = before if sparsity is None else _pruned(weights, before, sparsity)
    after, missing = {}, 0
    for name, mask in kept.items():
        wanted = balance(
            mask, n_pe=n_pe, policy=policy, target=target, rng=rng,
            weights=weights[name], score=weights[name],
        )  # fmt: skip
        after[name] = wanted & before[name]
        missing += int(np.count_nonzero(wanted & ~before[name]))

    def changed(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> int:
        return sum(int(np.count_nonzero(one[name] & ~other[name])) for name in one)

    return Rebalanced(
        ticket=_with_masks(ticket, after, policy=policy, n_pe=n_pe),
        pruned=changed(before, kept),
        cleared=changed(kept, after),
        restored=changed(after, kept),
        missing=missing,
        empty=tuple(emptied(before, after, n_pe)),
        left=tuple(
            name
            for name, mask in kept.items()
            if left_alone(filter_nnz(mask), parameters=mask[0].size, n_pe=n_pe, target=target)
        ),
    )


def _pruned(
    weights: dict[str, np.ndarray], masks: dict[str, np.ndarray], sparsity: float
) -> dict[str, np.ndarray]:
    there = counts(masks)["weight_sparsity"]
    if not there <= sparsity < 1:
        raise ValueError(f"sparsity = {sparsity}; allowed: {there:.6g}, the ticket's, to below 1")
    return global_magnitude(weights, masks, keep=1 - sparsity, floor=0)


def emptied(
    before: dict[str, np.ndarray], after: dict[str, np.ndarray], n_pe: int
) -> Iterator[str]:
    """Layers, and groups of `n_pe` filters, that had weights before and have none after."""
    for name, mask in after.items():
        nnz, had = filter_nnz(mask), filter_nnz(before[name])
        if not nnz.any() and had.any():
            yield name
            continue
        for start in range(0, len(nnz), n_pe):
            group = slice(start, start + n_pe)
            if had[group].any() and not nnz[group].any():
                yield f"{name}, filters {start} to {start + len(nnz[group]) - 1}"


def _with_masks(ticket: Ticket, masks: dict[str, np.ndarray], *, policy: str, n_pe: int) -> Ticket:
    """The ticket under other masks, without what was measured and without its rounds."""
    metadata = {name: value for name, value in ticket.metadata.items() if name not in MEASURED}
    notes = metadata.get("notes", {}) | {"balanced": "without training, by uticket balance"}
    metadata |= {"policy": policy, "n_pe": n_pe, "rounds": 0, "history": [], "notes": notes}
    metadata |= counts(masks)
    return replace(
        ticket,
        metadata=metadata,
        parameters=tuple(
            replace(p, mask=masks[p.name], weight=np.where(masks[p.name], p.weight, np.float32(0)))
            if p.name in masks
            else p
            for p in ticket.parameters
        ),
        history_nnz={},
        history_input_sparsity={},
    )
