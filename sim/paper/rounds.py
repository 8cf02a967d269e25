"""A ticket at the end of each round of its training, as if it ran on the array with all its ticks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.models import memory
from sim.models.components import breakdown, step_counts, total_pj
from sim.models.eq3 import eq3
from sim.models.memory import Accesses
from sim.models.technology import ComponentTable
from sim.models.workload import Part, Totals, Workload, part_workloads, totals
from sim.study import Study
from sw import wsp
from sw.ticket import NOT_MEASURED


@dataclass(frozen=True, kw_only=True)
class TicketRound:
    """What a ticket recorded of a round; layers as the array runs them."""

    study: Study
    """Of the final ticket: what was not recorded is as in the end."""
    number: int
    loads: list[Workload]
    nnz: list[np.ndarray]
    """Of each layer's filters, (K,)."""
    input_sparsity: list[float | None]
    """Of each layer, over validation images; None where it was not measured."""

    @cached_property
    def totals(self) -> Totals:
        """Over all layers."""
        return totals(self.loads)

    @property
    def weight_sparsity(self) -> float:
        """Share of zero weights over all layers of the array."""
        return self.totals.weight_sparsity

    def energy(self, leak: float) -> float | None:
        """Eq. 3 with the round's own inputs' sparsity; None where that was not measured."""
        energy = 0.0
        for load, silent in zip(self.loads, self.input_sparsity, strict=True):
            if silent is None:
                return None
            energy += eq3(work=load.work, idle=load.idle, active=1 - silent, leak=leak)
        return energy

    @cached_property
    def words(self) -> list[float]:
        """Of each layer, its weights in WSP: the mean over where they may lie."""
        return [
            wsp.expected_words(nnz, channels=slices.shape[1], positions=slices.shape[2])
            for nnz, slices in zip(self.nnz, (x.slices for x in self.study.layers), strict=True)
        ]

    @property
    def accesses(self) -> Accesses:
        """In accounting `paper`: weights by their expected WSP words, spikes as in the end."""
        return memory.add(
            [
                memory.paper_accesses(
                    weight_bits=16 * words,
                    input_bits=layer.input_bits,
                    output_bits=layer.output_bits,
                    groups=-(-load.filters // self.study.config.n_pe),
                    accumulates=load.work * layer.active,
                )
                for layer, load, words in zip(
                    self.study.layers, self.loads, self.words, strict=True
                )
            ]
        )

    def system(self, table: ComponentTable) -> dict[str, float]:
        """Energy of PEs, GLB and DRAM in pJ, accounting `paper`, spikes as in the end."""
        pe = 0.0
        for layer, load in zip(self.study.layers, self.loads, strict=True):
            counts = step_counts(
                work=load.work,
                idle=load.idle,
                accumulates=load.work * layer.active,
                accounting="paper",
                lif_updates=layer.lif_updates,
            )
            pe += total_pj(breakdown(table, counts, accounting="paper"))
        return memory.system_energy(table, self.accesses, pe_pj=pe, cycles=self.totals.latency)


def rounds(study: Study) -> list[TicketRound]:
    """All of a ticket's."""
    return [_round(study, number) for number in range(study.ticket.metadata["rounds"])]


def pruned_rounds(study: Study) -> list[TicketRound]:
    """Rounds with something pruned, or the last; of several with the same sparsity the last."""
    kept: dict[int, TicketRound] = {}
    every = rounds(study)
    for one in every:
        if one.weight_sparsity > 0:
            kept[round(1e4 * one.weight_sparsity)] = one
    return list(kept.values()) or every[-1:]


def _round(study: Study, number: int) -> TicketRound:
    ticket, config = study.ticket, study.config
    loads: list[Workload] = []
    parts: list[Part] = []
    nnz, silent = [], []
    for layer in study.layers:
        name = layer.load.name
        nnz.append(ticket.history_nnz[name][number].astype(np.int64))
        ordered = nnz[-1][layer.compiled.order]
        parts.append(Part(name=name, filter_nnz=ordered, parameters=layer.load.parameters))
        if layer.cycles is not None:  # the layer's own part comes last
            positions = layer.load.positions
            loads += part_workloads(
                parts, positions=positions, ticks=config.ticks, n_pe=config.n_pe
            )
            parts = []
        share = float(ticket.history_input_sparsity[name][number])
        silent.append(None if share == NOT_MEASURED else share)
    return TicketRound(study=study, number=number, loads=loads, nnz=nnz, input_sparsity=silent)
