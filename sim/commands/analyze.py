"""`uticket analyze`: work, idle and utilization of any masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.errors import BadInput

if TYPE_CHECKING:
    from sim.models.masks import MaskLayer
    from sim.models.workload import Workload

COLUMNS = ("filters", "nnz", "positions", "work", "idle", "latency", "utilization", "occupancy")


@click.command(short_help="Work and utilization of any masks.")
@click.argument("masks", type=click.Path(path_type=Path))
@click.option("--n-pe", default=16, show_default=True, type=click.IntRange(min=1), help="PEs.")
@click.option(
    "--ticks", default=4, show_default=True, type=click.IntRange(min=1), help="Timesteps."
)
@click.option(
    "--maps",
    metavar="SIDE,SIDE,...",
    help="Side of each layer's square output map, in positions; 1 if left out.",
)
@click.option(
    "--shortcut",
    "shortcuts",
    metavar="LAYER=HOST",
    multiple=True,
    help="LAYER is the shortcut convolution of HOST, and runs with it as one filter; for each pair.",
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the result here.")
def command(
    masks: Path,
    n_pe: int,
    ticks: int,
    maps: str | None,
    shortcuts: Sequence[str],
    json_path: Path | None,
) -> None:
    """Work, idle steps, latency and utilization of the masks or weights in MASKS (.npz).

    Every array is a layer, in order: (K, C) or (K, C, kh, kw), non-zero = present. <layer>.order is
    applied, <layer>.score is ignored. work, idle and latency are steps: a (weight, position, tick).
    """
    from sim.files import write_json
    from sim.models.masks import load_masks
    from sim.models.workload import totals
    from sim.reports.table import print_table

    layers = load_masks(masks)
    names = [layer.name for layer in layers]
    sides = parse_maps(maps, names) if maps is not None else [1] * len(names)
    hosts = parse_shortcuts(shortcuts, layers, sides)
    rows: dict[str, Workload] = {}
    for layer, side in zip(layers, sides, strict=True):
        if layer.name not in hosts:
            added = [other for other in layers if hosts.get(other.name) == layer.name]
            done = mask_workloads([*added, layer], side=side, ticks=ticks, n_pe=n_pe)
            rows |= {row.name: row for row in done}
    workloads = [rows[name] for name in names]
    total = totals(workloads)
    if json_path is not None:
        listed = [asdict(workload) for workload in workloads]
        write_json(json_path, {"layers": listed, "totals": asdict(total)})
    print_table(
        f"{masks}: {n_pe} PEs, {ticks} ticks, weight sparsity {total.weight_sparsity:.4%}",
        ("layer", *COLUMNS),
        [(w.name, *(getattr(w, column) for column in COLUMNS)) for w in workloads],
        ("total", *(getattr(total, column) for column in COLUMNS)),
    )


def mask_workload(layer: MaskLayer, *, side: int, ticks: int, n_pe: int) -> Workload:
    """Workload of a layer with a square output map of `side`, its filters in the given order."""
    return mask_workloads([layer], side=side, ticks=ticks, n_pe=n_pe)[0]


def mask_workloads(
    layers: Sequence[MaskLayer], *, side: int, ticks: int, n_pe: int
) -> list[Workload]:
    """Rows of layers that run as one filter, in the last one's order."""
    from sim.models.workload import Part, part_workloads
    from sw.balance import filter_nnz

    order = layers[-1].order
    counts = {layer.name: filter_nnz(layer.values) for layer in layers}
    parts = [
        Part(
            name=layer.name,
            filter_nnz=counts[layer.name] if order is None else counts[layer.name][order],
            parameters=layer.values.size,
        )
        for layer in layers
    ]
    return part_workloads(parts, positions=side**2, ticks=ticks, n_pe=n_pe)


def parse_shortcuts(
    texts: Sequence[str], layers: Sequence[MaskLayer], sides: Sequence[int]
) -> dict[str, str]:
    """Shortcut convolution -> host from "LAYER=HOST". Raises BadInput unless they fit each other."""
    known = {
        layer.name: (len(layer.values), side) for layer, side in zip(layers, sides, strict=True)
    }
    hosts: dict[str, str] = {}
    for text in texts:
        name, _, host = text.partition("=")
        for one in (name, host):
            if one not in known:
                raise BadInput(f"--shortcut {text}: {one!r} is no layer; known: {', '.join(known)}")
        if known[name] != known[host]:
            raise BadInput(
                f"--shortcut {text}: (filters, side) = {known[name]}; allowed: those of {host}, "
                f"{known[host]}"
            )
        if name == host or name in hosts or host in hosts or name in hosts.values():
            raise BadInput(f"--shortcut {text}; allowed: each layer once, to a layer of its own")
        hosts[name] = host
    return hosts


def parse_maps(text: str, names: Sequence[str]) -> list[int]:
    """Sides of the layers' maps from "32,16,...". Raises BadInput unless there is one a layer."""
    sides = []
    for field in text.split(","):
        if not (field.strip().isdecimal() and int(field) >= 1):
            raise BadInput(f"--maps: {field.strip()!r}; allowed: whole numbers from 1")
        sides.append(int(field))
    if len(sides) != len(names):
        raise BadInput(
            f"--maps: {len(sides)} sides for {len(names)} layers; "
            f"allowed: one a layer, in order: {', '.join(names)}"
        )
    return sides
