"""GoSPA-style: a front end sends one active neuron a cycle to all PEs, through FIFOs of `depth`.

A PE that has weights for it takes a cycle for each; the front end waits while any FIFO that the
neuron must enter is full. Every group of filters has the front end run over the input again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sim.models.components import pe_area_um2
from sim.models.technology import ComponentTable
from sim.rivals.base import Load, Rival, Task, load, visits

DEPTHS = (2, 8, 32)


class GoSPA(Rival):
    """A front end and a FIFO of `depth` entries for each PE."""

    name = "GoSPA"
    style = ("#c51b7d", "P:")
    needs_spikes = True
    note = (
        "It skips silent neurons, so it does less work: compare its latency, not only its utilization. Its front end "
        "sends one neuron a cycle to all PEs; at these sparsities hardly any PE has a weight for it."
    )

    def __init__(self, depth: int = 8) -> None:
        self.depth = depth

    def load(self, task: Task, n_pe: int) -> Load:
        """What `n_pe` PEs do in a layer."""
        channel, seen = visits(task)
        groups = math.ceil(task.filters / n_pe)
        mask = np.zeros((groups * n_pe, *task.slices.shape[1:]), np.float32)
        mask[: task.filters] = task.slices
        busy, end = np.zeros((2, groups, n_pe))
        front = np.zeros(groups)
        starts = np.full(
            (self.depth, groups, n_pe), -1.0
        )  # of each PE's last `depth` jobs, oldest first
        for c in np.unique(channel):
            jobs = (seen[channel == c].astype(np.float32) @ mask[:, c].T).reshape(-1, groups, n_pe)
            busy += jobs.sum(axis=0)
            if not jobs.any():
                front += len(jobs)
                continue
            for job in jobs:
                has = job > 0
                front = np.maximum(front + 1, np.where(has, starts[0], -1).max(axis=1))
                start = np.maximum(end, front[:, None] + 1)
                end = np.where(has, start + job, end)
                starts = np.where(has, np.concatenate([starts[1:], start[None]]), starts)
        times = np.maximum(front, end.max(axis=1))
        return load(busy, task.parameters, times)

    def added_area(self, table: ComponentTable, n_pe: int) -> float | None:
        """A FIFO a PE, in proportion to its depth beyond the table's."""
        deepest = max(table.fifo_um2)
        fifo = table.fifo_um2.get(self.depth, table.fifo_um2[deepest] * self.depth / deepest)
        return fifo / pe_area_um2(table)

    @property
    def label(self) -> str:
        """With the depth."""
        return f"{self.name}, FIFOs of {self.depth}"

    def variants(self) -> Sequence[Rival]:
        """Three depths."""
        return [GoSPA(depth) for depth in DEPTHS]
