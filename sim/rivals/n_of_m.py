"""An N:M mask of the layer's density: see `n_of_m_mask`."""

from __future__ import annotations

import numpy as np

from sim.rivals.base import Load, Rival, Task, groups, load
from sw.balance import filter_nnz

M = 64


class NOfM(Rival):
    """Balanced by construction, with other weights than training chose."""

    name = "N:M"
    style = ("#9ecae1", "x--")
    note = (
        "Balanced by construction, but it keeps other weights than training chose: what that costs in accuracy was "
        "not trained."
    )

    def load(self, task: Task, n_pe: int) -> Load:
        """What `n_pe` PEs do in a layer."""
        counts = [filter_nnz(n_of_m_mask(one.mask, M)) for one in task.operands]
        nnz = np.sum(counts, axis=0)
        return load(groups(nnz, n_pe) * task.positions, task.parameters)


def n_of_m_mask(mask: np.ndarray, m: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """The mask with N weights in each m consecutive ones of a filter, N the density's nearest from 1.

    Weights of `mask` are kept first, in order; what is missing is drawn from the empty places.
    """
    rng = rng or np.random.default_rng(0)
    flat = mask.reshape(len(mask), -1)
    n = max(1, round(m * np.count_nonzero(flat) / flat.size))
    result = np.zeros_like(flat)
    for start in range(0, flat.shape[1], m):
        block = flat[:, start : start + m]
        keys = rng.random(block.shape) + ~block  # those of the mask come first
        chosen = np.argsort(keys, axis=1)[:, : min(n, block.shape[1])]
        np.put_along_axis(result[:, start : start + m], chosen, True, axis=1)
    return result.reshape(mask.shape)
