"""`uticket analyze`: work, idle and utilization of any masks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.options import json_option
from support.errors import BadInput

if TYPE_CHECKING:
    from sim.models.masks import MaskLayer
    from sim.models.workload import Workload

COLUMNS = ("filters", "nnz", "positions", "work", "idle", "latency", "utilization", "occupancy")

MAX_SIDE = 4096


@click.command(short_help="Work and utilization of a ticket or of any masks.")
@click.argument("model", metavar="MODEL|MASKS")
@click.option("--method", help="Of a MODEL: uticket, lth, sort, ... [default: its first]")
@click.option("--n-pe", type=click.IntRange(1, 4096), help="PEs. [default: the MODEL's, or 16]")
@click.option("--ticks", type=click.IntRange(1, 65536), help="Timesteps, of masks. [default: 4]")
@click.option(
    "--maps",
    metavar="SIDE,SIDE,...",
    help="Of masks: side of each layer's square map before pooling, in positions; 1 if left out.",
)
@click.option(
    "--shortcut",
    "shortcuts",
    metavar="LAYER=HOST",
    multiple=True,
    help="LAYER is the shortcut convolution of HOST, and runs with it as one filter; for each pair.",
)
@json_option()
def command(
    model: str,
    method: str | None,
    n_pe: int | None,
    ticks: int | None,
    maps: str | None,
    shortcuts: Sequence[str],
    json_path: Path | None,
) -> None:
    """Work, idle steps, latency and utilization of a MODEL's ticket, or of masks or weights.

    MODEL is a name of tickets/, a YAML or a ticket. MASKS is an .npz of arrays, or a PyTorch state dict
    (.pt, .pth, .safetensors); docs/masks.md. Every array is a layer, in order: (K, C) or (K, C, kh, kw),
    non-zero = present. <layer>.order is applied, <layer>.score is ignored. work, idle and latency are
    steps: a (weight, position, tick).
    """
    from sim.catalog import names_masks
    from sim.models.workload import totals
    from sim.reports.table import print_table
    from support.files import write_json

    if names_masks(model):
        if method is not None:
            raise BadInput(f"--method {method} with masks; allowed: with a MODEL")
        n_pe, ticks = n_pe or 16, ticks or 4
        workloads, note = _of_masks(Path(model), n_pe, ticks, maps, shortcuts)
    else:
        for option, value in (("ticks", ticks), ("maps", maps), ("shortcut", shortcuts)):
            if value:
                raise BadInput(f"--{option} with a ticket, which says it; allowed: with masks")
        note = ""
        workloads, n_pe, ticks = _of_ticket(model, method, n_pe)
    total = totals(workloads)
    if json_path is not None:
        listed = [asdict(workload) for workload in workloads]
        write_json(json_path, {"layers": listed, "totals": asdict(total)})
    print_table(
        f"{model}: {n_pe} PEs, {ticks} ticks, weight sparsity {total.weight_sparsity:.4%}",
        ("layer", *COLUMNS),
        [(w.name, *(getattr(w, column) for column in COLUMNS)) for w in workloads],
        ("total", *(getattr(total, column) for column in COLUMNS)),
    )
    if note:
        click.echo(note, err=True)


def _of_ticket(model: str, method: str | None, n_pe: int | None) -> tuple[list[Workload], int, int]:
    """Rows of a ticket, and PEs and ticks of them."""
    from sim.catalog import load_model
    from sim.models.workload import of_network
    from sw.balance import filter_nnz

    chosen = load_model(model)
    one = chosen.method(method)
    ticket = chosen.ticket(one)
    nnz = {name: filter_nnz(mask) for name, mask in ticket.masks.items()}
    n_pe, ticks = n_pe or chosen.hardware.n_pe, ticket.metadata["ticks"]
    return of_network(ticket.network, nnz, ticks=ticks, n_pe=n_pe, sort=one.sort), n_pe, ticks


def _of_masks(
    path: Path, n_pe: int, ticks: int, maps: str | None, shortcuts: Sequence[str]
) -> tuple[list[Workload], str]:
    """Rows of a file of masks, and what has to be said of them."""
    from sim.models.masks import load_masks

    layers = load_masks(path)
    names = [layer.name for layer in layers]
    sides = parse_maps(maps, names) if maps is not None else [1] * len(names)
    hosts = parse_shortcuts(shortcuts, layers, sides)
    rows: dict[str, Workload] = {}
    for layer, side in zip(layers, sides, strict=True):
        if layer.name not in hosts:
            added = [other for other in layers if hosts.get(other.name) == layer.name]
            done = mask_workloads([*added, layer], side=side, ticks=ticks, n_pe=n_pe)
            rows |= {row.name: row for row in done}
    note = ""
    if maps is None and any(layer.values.ndim == 4 for layer in layers):
        note = "uticket: without --maps every layer counts one position; work is that of one"
    return [rows[name] for name in names], note


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
        if not (re.fullmatch("[0-9]{1,5}", field.strip()) and 1 <= int(field) <= MAX_SIDE):
            raise BadInput(f"--maps: {field.strip()!r}; allowed: whole numbers, 1 to {MAX_SIDE}")
        sides.append(int(field))
    if len(sides) != len(names):
        raise BadInput(
            f"--maps: {len(sides)} sides for {len(names)} layers; "
            f"allowed: one a layer, in order: {', '.join(names)}"
        )
    return sides
