"""How a ticket came about: accuracy, sparsity and balance at the end of each round of training."""

from __future__ import annotations

from dataclasses import dataclass

from hw.config import Config
from sim.models.workload import Part, Workload, part_workloads, totals
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
    shapes = ticket.network.shapes()
    sizes = {name: mask.size for name, mask in ticket.masks.items()}
    story = []
    for number, row in enumerate(ticket.metadata["history"]):
        loads: list[Workload] = []
        for layer in ticket.network.array:
            names = [source.name for source in layer.learned]
            sums = layer.neurons(shapes)
            loads += part_workloads(
                [
                    Part(name=n, filter_nnz=ticket.history_nnz[n][number], parameters=sizes[n])
                    for n in names
                ],
                positions=sums.height * sums.width,
                ticks=ticket.metadata["ticks"],
                n_pe=n_pe,
            )
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
