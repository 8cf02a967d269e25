"""Global magnitude pruning (Han et al. 2015; iterated, the lottery ticket of Frankle and Carbin 2019)."""

from __future__ import annotations

import numpy as np

Masks = dict[str, np.ndarray]


def global_magnitude(weights: Masks, masks: Masks, *, keep: float, floor: float) -> Masks:
    """Keep the largest weights over all layers together.

    weights: float arrays; masks: boolean arrays of the same shapes, True = present before.
    keep: fraction of all parameters that stays. floor: fraction of each layer's parameters that
    stays whatever the others have, so that no layer is emptied.
    Raises ValueError unless 0 <= floor <= keep <= 1.
    """
    if not 0 <= floor <= keep <= 1:
        raise ValueError(f"pruning needs 0 <= floor <= keep <= 1, got {floor=}, {keep=}")
    # A weight already pruned ranks below every present one; a floor weight above all.
    rank = {
        name: np.where(masks[name], np.abs(w), -1.0).astype(np.float32).ravel()
        for name, w in weights.items()
    }
    for flat in rank.values():
        guaranteed = int(np.ceil(floor * flat.size))
        if guaranteed:
            flat[np.argpartition(flat, flat.size - guaranteed)[-guaranteed:]] = np.inf
    everything = np.concatenate(list(rank.values()))
    kept = round(keep * everything.size)
    chosen = np.zeros(everything.size, bool)
    chosen[np.argpartition(everything, everything.size - kept)[everything.size - kept :]] = True
    result, start = {}, 0
    for name, flat in rank.items():
        part = chosen[start : start + flat.size].reshape(weights[name].shape)
        result[name] = part & masks[name]
        start += flat.size
    return result


def sparsity(masks: Masks) -> float:
    """Fraction of weights that is gone, over all layers."""
    nnz = sum(int(np.count_nonzero(mask)) for mask in masks.values())
    return 1 - nnz / sum(mask.size for mask in masks.values())
