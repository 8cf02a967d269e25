"""Consecutive filters, one a PE: the lottery ticket, or a u-Ticket, as the array runs it."""

from __future__ import annotations

from sim.rivals.base import Load, Rival, Task, groups, load


class AsItIs(Rival):
    """The masks as they come."""

    name = "as it is"
    style = ("#8f8f8f", "o-")

    def load(self, task: Task, n_pe: int) -> Load:
        """What `n_pe` PEs do in a layer."""
        nnz = task.filter_nnz
        return load(groups(nnz, n_pe) * task.positions, task.parameters)
