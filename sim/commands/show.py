"""`uticket show`: a ticket's metadata."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("ticket", type=click.Path(path_type=Path))
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Also write the metadata here."
)
def command(ticket: Path, json_path: Path | None) -> None:
    """Print the metadata of TICKET and the non-zero weights of its layers."""
    from sim.files import write_json
    from sim.table import print_table
    from sw.ticket import load, public_metadata

    loaded = load(ticket)
    metadata = public_metadata(loaded)
    if json_path:
        write_json(json_path, metadata)
    for name, value in metadata.items():
        if name == "history":
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        click.echo(f"{name:20}{value}")
    masks = loaded.masks
    print_table(
        "",
        ("layer", "parameters", "nnz", "weight_sparsity"),
        [(n, m.size, int(m.sum()), 1 - int(m.sum()) / m.size) for n, m in masks.items()],
        (
            "total",
            sum(m.size for m in masks.values()),
            metadata["nnz"],
            metadata["weight_sparsity"],
        ),
    )
