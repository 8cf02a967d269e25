"""How a ticket came about: accuracy, sparsity and balance at the end of each round of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.models.workload import layer_workload, totals
from sw.datasets import SIDE
from sw.networks import Layer, sides
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
    """Every round, its workload that of 32x32 images on `n_pe` PEs (default: the ticket's)."""
    n_pe = n_pe or ticket.metadata["n_pe"]
    maps = output_sides(ticket.layers)
    sizes = {name: mask.size for name, mask in ticket.masks.items()}
    story = []
    for number, row in enumerate(ticket.metadata["history"]):
        total = totals(
            layer_workload(
                name,
                nnz[number],
                parameters=sizes[name],
                positions=maps[name] ** 2,
                ticks=ticket.metadata["ticks"],
                n_pe=n_pe,
            )
            for name, nnz in ticket.history_nnz.items()
        )
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


def output_sides(layers: Sequence[Layer]) -> dict[str, int]:
    """Side of the map over which each layer sums, before pooling, for 32x32 images.

    1 for a linear layer; 4 for an average over 4x4, whose 16 positions the array all visits.
    """
    given = sides(layers, SIDE)
    return {
        layer.name: 1 if layer.kind == "linear" else layer.output_side(given[layer.input])
        for layer in layers
    }
