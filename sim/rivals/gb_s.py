"""SparTen's GB-S: sorted whole filters, a dense and a sparse one on each PE.

Of each 2 n_pe sorted filters PE i runs the i-th and the i-th from the end: accumulators twice.
"""

from __future__ import annotations

from sim.models.components import instances, pe_area_um2
from sim.models.technology import ComponentTable
from sim.rivals.base import Load, Rival, Task, fold, groups, load
from sw.balance import sort_order


class GbS(Rival):
    """A second set of accumulators."""

    name = "GB-S"
    style = ("#5ab4ac", "^-")
    note = "It needs a second set of accumulators."

    def load(self, task: Task, n_pe: int) -> Load:
        """What `n_pe` PEs do in a layer."""
        nnz = task.filter_nnz
        busy = fold(groups(nnz[sort_order(nnz)], 2 * n_pe))
        return load(busy * task.positions, task.parameters)

    def added_area(self, table: ComponentTable, n_pe: int) -> float | None:
        """A second set of accumulators."""
        return second_accumulators_um2(table) / pe_area_um2(table)


def second_accumulators_um2(table: ComponentTable) -> float:
    """Of a PE of the paper's."""
    return instances("paper")["reg-acc"] * table.components["reg-acc"].area.value
