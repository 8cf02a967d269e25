"""Both machines on one ticket: their numbers in one table, and in one JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hw.config import MACHINES

SCHEMA = "uticket-machines-1"
COLUMNS = (
    "sweep (cycles)",
    "event (cycles)",
    "sweep / event",
    "sweep (uJ)",
    "event (uJ)",
    "dynamic occupancy",
)
Rows = Sequence[Mapping[str, Any]]


def content(of: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """For JSON: what `uticket sim` or `uticket estimate` has of each machine, by its name."""
    first = of[MACHINES[0]]
    return {"schema": SCHEMA, "model": first["model"], "machines": dict(of)}


def cells(pair: Mapping[str, Mapping[str, Any]], cycles: str) -> list[object]:
    """A row of a layer, or of the totals, by machine: COLUMNS. cycles: the name of that field."""
    sweep, event = (pair[machine] for machine in MACHINES)
    taken = sweep[cycles], event[cycles]
    return [
        *(f"{count:,.0f}" for count in taken),
        f"{taken[0] / taken[1]:.2f}" if taken[1] else None,
        *(f"{1e-6 * row['energy_pj']:.3f}" for row in (sweep, event)),
        event["dynamic_occupancy"],
    ]


def table(
    methods: Mapping[str, Sequence[tuple[str, Rows, Mapping[str, Any]]]], cycles: str
) -> tuple[list[str], list[list[object]], list[object]]:
    """Header, rows and last row. methods: of each machine, in one order: name, layers, totals."""
    lines, last = [], []
    pairs = [dict(zip(methods, each, strict=True)) for each in zip(*methods.values(), strict=True)]
    for k in range(len(pairs[0][MACHINES[0]][1])):
        for pair in pairs:
            layer = {machine: layers[k] for machine, (_, layers, _) in pair.items()}
            name, method = layer[MACHINES[0]]["name"], pair[MACHINES[0]][0]
            lines.append([name, method, *cells(layer, cycles)])
    for pair in pairs:
        totals = {machine: total for machine, (_, _, total) in pair.items()}
        last.append(["total", pair[MACHINES[0]][0], *cells(totals, cycles)])
    return ["layer", "method", *COLUMNS], [*lines, *last[:-1]], last[-1]
