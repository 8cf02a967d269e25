"""Filters in descending order of nnz, one a PE: no cost in hardware."""

from __future__ import annotations

from sim.rivals.base import Load, Rival, Task, groups, load
from sw.balance import sort_order


class Sort(Rival):
    """SparTen's GB-S without its pairs."""

    name = "sort"
    style = ("#35978f", "s-")
    note = "SparTen's GB-S without pairs costs neither hardware nor accuracy; the paper does not compare with it."

    def load(self, task: Task, n_pe: int) -> Load:
        """What `n_pe` PEs do in a layer."""
        nnz = task.filter_nnz
        return load(groups(nnz[sort_order(nnz)], n_pe) * task.positions, task.parameters)
