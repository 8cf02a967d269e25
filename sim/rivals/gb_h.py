"""SparTen's GB-H: the same pairing anew for each chunk of input channels, sums being routed.

The fullest pair of a chunk goes to the PE with the least work so far, which the network allows. A
PE goes on to the next chunk at its own pace; the barrier is at the end of the group.
"""

from __future__ import annotations

import math

import numpy as np

from sim.models.components import pe_area_um2
from sim.models.technology import ComponentTable
from sim.rivals.base import Load, Rival, Task, fold, groups, load
from sim.rivals.gb_s import second_accumulators_um2
from sw.balance import sort_order

CHUNK_WEIGHTS = 128  # of SparTen: the weights that are matched at once


class GbH(Rival):
    """Pairs anew for each chunk, and a network that routes the sums."""

    name = "GB-H"
    style = ("#e08214", "v-")
    note = "It needs a second set of accumulators and a permuting network."

    def load(self, task: Task, n_pe: int) -> Load:
        """What `n_pe` PEs do in a layer."""
        per_chunk = max(1, CHUNK_WEIGHTS // task.slices.shape[2])
        counts = task.slices.sum(axis=2)
        counts = counts[sort_order(counts.sum(axis=1))]
        total = np.zeros((math.ceil(len(counts) / (2 * n_pe)), n_pe))
        for start in range(0, counts.shape[1], per_chunk):
            chunk = groups(counts[:, start : start + per_chunk].sum(axis=1), 2 * n_pe)
            pairs = -np.sort(-fold(-np.sort(-chunk, axis=1)), axis=1)
            total = np.sort(total, axis=1) + pairs  # which PE is which does not matter
        return load(total * task.positions, task.parameters)

    def added_area(self, table: ComponentTable, n_pe: int) -> float | None:
        """GB-S's accumulators, and a butterfly.

        Of log2(n_pe) stages: a 2:1 multiplexer (three gates a bit) and a register of an
        accumulator's width for each PE and stage.
        """
        register, gate = table.components["reg-acc"], table.components["and-gate"]
        multiplexer = 3 * gate.area.value * register.width_bits / gate.width_bits
        stages = math.ceil(math.log2(n_pe)) if n_pe > 1 else 0
        butterfly = stages * (multiplexer + register.area.value)
        return (second_accumulators_um2(table) + butterfly) / pe_area_um2(table)
