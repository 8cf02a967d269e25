"""How a ticket came about: accuracy, sparsity and balance at the end of each round of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.models.workload import Part, Workload, part_workloads, totals
from sw.datasets import SIDE
from sw.networks import Layer, shortcut_convolutions, sides
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
    hosts = shortcut_convolutions(ticket.layers)
    story = []
    for number, row in enumerate(ticket.metadata["history"]):
        loads: list[Workload] = []
        for host in ticket.layers[1:]:
            if host.name in hosts:
                continue
            names = [name for name, other in hosts.items() if other is host] + [host.name]
            loads += part_workloads(
                [
                    Part(name=n, filter_nnz=ticket.history_nnz[n][number], parameters=sizes[n])
                    for n in names
                ],
                positions=maps[host.name] ** 2,
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


def output_sides(layers: Sequence[Layer]) -> dict[str, int]:
    """Side of the map over which each layer sums, before pooling, for 32x32 images.

    1 for a linear layer; 4 for an average over 4x4, whose 16 positions the array all visits.
    """
    given = sides(layers, SIDE)
    return {
        layer.name: 1 if layer.kind == "linear" else layer.output_side(given[layer.input])
        for layer in layers
    }
