"""Global magnitude pruning (Han et al. 2015; iterated, the lottery ticket of Frankle and Carbin 2019)."""

from __future__ import annotations

import numpy as np

Masks = dict[str, np.ndarray]


def layer_adaptive(weights: Masks, masks: Masks) -> Masks:
    """Scores that compare weights of different layers better than their magnitudes do (LAMP).

    A score is a weight's square, divided by the sum of the squares of the layer's present weights that
    are at least as large: the share of what pruning up to this weight would leave. So the largest weight
    of each layer has 1, and layers whose weights are small as a whole are not emptied for that.
    weights: float arrays; masks: boolean arrays of the same shapes, True = present. Returns float32
    arrays of the same shapes, 0 to 1, in the order of the magnitudes within a layer.
    Source: J. Lee and others, "Layer-adaptive sparsity for the magnitude-based pruning" (2021), Eq. 4.
    """
    scores = {}
    for name, weight in weights.items():
        squares = np.where(masks[name], np.square(weight, dtype=np.float64), 0.0).ravel()
        falling = np.argsort(-squares, kind="stable")
        left = np.cumsum(squares[falling])
        score = np.empty(squares.size, np.float32)
        score[falling] = squares[falling] / np.maximum(left, np.finfo(np.float64).tiny)
        scores[name] = score.reshape(weight.shape)
    return scores


def global_magnitude(weights: Masks, masks: Masks, *, keep: float, floor: float) -> Masks:
    """Keep the largest weights over all layers together.

    weights: float arrays, or scores of weights; masks: boolean arrays of the same shapes, True = present before.
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
