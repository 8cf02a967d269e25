"""How a ticket came about: accuracy, sparsity and balance at the end of each round of training."""

from __future__ import annotations

from dataclasses import dataclass

from hw.config import Config
from sim.models.workload import of_network, totals
from sw.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class RoundStory:
    """One round; None where the ticket does not say."""

    round: int  # from 0, as the trainer counts
    ticks: int | None
    images: int | None
    validation_accuracy: float | None
    nnz: int
    weight_sparsity: float
    utilization: float | None
    occupancy: float | None


def rounds(ticket: Ticket, *, n_pe: int | None = None) -> list[RoundStory]:
    """Every round, its workload on `n_pe` PEs (default: the ticket's)."""
    n_pe = n_pe or ticket.metadata.get("n_pe") or Config().n_pe
    story = []
    for number, row in enumerate(ticket.metadata["history"]):
        nnz = {name: counts[number] for name, counts in ticket.history_nnz.items()}
        loads = of_network(ticket.network, nnz, ticks=ticket.metadata["ticks"], n_pe=n_pe)
        total = totals(loads)
        story.append(
            RoundStory(
                round=number,
                ticks=row.get("ticks"),
                images=row.get("images"),
                validation_accuracy=row.get("validation_accuracy"),
                nnz=total.nnz,
                weight_sparsity=total.weight_sparsity,
                utilization=total.utilization,
                occupancy=total.occupancy,
            )
        )
    return story
