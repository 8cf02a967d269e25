"""Table III: energy and latency against the number of PEs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.models.eq3 import eq3
from sim.models.workload import Part, part_workloads
from sim.paper.document import Section, column, table
from sim.paper.pairs import Pair
from sim.paper.published import published
from sim.study import Study
from sw.balance import balance, filter_nnz

PRINTED = ("vgg16", "cifar10")  # the network and data set of the paper's table


@dataclass(frozen=True, kw_only=True)
class Row:
    """A u-Ticket on an array."""

    model: str = column("model")
    n_pe: int = column("PEs")
    energy: float = column("energy (2 PEs = 1)")
    printed_energy: float | None = column("printed energy (2 PEs = 1)")
    latency: float = column("latency (2 PEs = 1)")
    printed_latency: float | None = column("printed latency (2 PEs = 1)")
    latency_steps: float = column("latency (M steps)")
    energy_steps: float = column("energy (M E_dyn)")


def section(pairs: Sequence[Pair]) -> Section:
    """The u-Ticket of every pair."""
    return Section(
        key="table_3",
        title="Table III: 2 to 64 PEs",
        text=(
            "The u-Ticket's final masks, balanced again for each number of PEs, without training again; "
            "the share of spikes of each layer is kept. The paper trained a ticket for each."
        ),
        tables=[table("Table III, 2 PEs = 1", Row, [row for pair in pairs for row in of(pair)])],
    )


def of(pair: Pair) -> list[Row]:
    """A pair's u-Ticket on every array of the paper."""
    printed, leak = published()["table_3"], pair.energies.eq3.leak
    found = [rebalanced(pair.uticket, n_pe, leak) for n_pe in printed["n_pe"]]
    same = (pair.network, pair.dataset) == PRINTED
    return [
        Row(
            model=pair.name,
            n_pe=n_pe,
            energy=energy / found[0][1],
            printed_energy=printed["energy"][k] if same else None,
            latency=latency / found[0][0],
            printed_latency=printed["latency"][k] if same else None,
            latency_steps=latency / 1e6,
            energy_steps=energy / 1e6,
        )
        for k, (n_pe, (latency, energy)) in enumerate(zip(printed["n_pe"], found, strict=True))
    ]


def rebalanced(study: Study, n_pe: int, leak: float) -> tuple[int, float]:
    """Latency in steps and energy in E_dyn of a ticket balanced again for n_pe PEs, classifier left."""
    rng = np.random.default_rng(n_pe)
    latency, energy = 0, 0.0
    parts: list[Part] = []
    for layer in study.layers:
        source = layer.source
        mask = source.mask
        if source.source.kernel is not None:
            weights = np.abs(source.weight)
            mask = balance(mask, n_pe=n_pe, policy="magnitude", weights=weights, rng=rng)
        nnz, size = filter_nnz(mask), layer.load.parameters
        parts.append(Part(name=layer.load.name, filter_nnz=nnz, parameters=size))
        *_, load = part_workloads(
            parts, positions=layer.load.positions, ticks=study.config.ticks, n_pe=n_pe
        )
        idle = 0
        if layer.cycles is not None:  # the layer's own part comes last
            latency, idle, parts = latency + load.latency, load.idle, []
        energy += eq3(work=load.work, idle=idle, active=layer.active, leak=leak)
    return latency, energy
