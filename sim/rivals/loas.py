"""LoAS-style: all ticks of a neuron in a word, silent neurons dropped, filters as they come.

A PE takes a cycle for each (weight, position) whose input neuron fires in any tick.
"""

from __future__ import annotations

import numpy as np

from sim.models.technology import ComponentTable
from sim.rivals.base import Load, Rival, Task, groups, load, visits


class LoAS(Rival):
    """Skips neurons that are silent in every tick."""

    name = "LoAS"
    style = ("#7b3294", "D:")
    needs_spikes = True
    on_uticket = True
    note = (
        "It skips silent neurons, so it does less work: compare its latency, not only its utilization. "
        "Its area is not modelled."
    )

    def load(self, task: Task, n_pe: int) -> Load:
        """What `n_pe` PEs do in a layer."""
        channel, seen = visits(task)
        active = np.zeros(task.slices.shape[1:], np.int64)  # (C, kernel positions)
        np.add.at(active, channel, seen)
        busy = task.slices.reshape(task.filters, -1).astype(np.int64) @ active.ravel()
        return load(groups(busy, n_pe), task.parameters)

    def added_area(self, table: ComponentTable, n_pe: int) -> float | None:
        """Not modelled."""
        return None
