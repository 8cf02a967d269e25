"""`uticket show`: a ticket's metadata, layers and rounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.options import json_option
from support.errors import BadInput

if TYPE_CHECKING:
    from sim.reports.history import RoundStory
    from sw.ticket import Ticket

ROUND = (
    "round", "ticks", "images", "validation_accuracy", "nnz", "weight_sparsity", "utilization",
    "occupancy",
)  # fmt: skip
PLOTS = (".svg", ".png")


@click.command(short_help="A ticket's metadata, layers and rounds.")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--method", help="Of a name or a YAML: uticket, lth, ... [default: its first]")
@click.option("--n-pe", type=click.IntRange(1, 4096), help="PEs, instead of the ticket's.")
@json_option("Also write the metadata here.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help="Write a plot of sparsity, utilization and accuracy by round here (.svg or .png).",
)
def command(
    models: tuple[str, ...],
    method: str | None,
    n_pe: int | None,
    json_path: Path | None,
    plot: Path | None,
) -> None:
    """Print metadata, non-zero weights by layer, and rounds of training of each MODEL's ticket.

    MODEL is a name of tickets/, a YAML or a ticket.

    Utilization (Eq. 2) and occupancy are those of 32x32 images, filters in the network's own order.
    One plot holds all tickets: the paper's Fig. 4 of a lottery ticket and a u-Ticket, and their accuracy.
    """
    from sim.catalog import ticket_path
    from sim.reports.history import rounds
    from support.files import atomic_write, write_json
    from sw.ticket import load, public_metadata

    if json_path and len(models) > 1:
        raise BadInput(f"--json with {len(models)} tickets; allowed: one")
    if plot and plot.suffix not in PLOTS:
        raise BadInput(f"--plot {plot}; allowed: a name that ends in {' or '.join(PLOTS)}")
    loaded = [load(ticket_path(model, method)) for model in models]
    stories = [rounds(ticket, n_pe=n_pe) for ticket in loaded]
    if json_path:
        write_json(json_path, with_balance(public_metadata(loaded[0]), stories[0]))
    for path, ticket, story in zip(models, loaded, stories, strict=True):
        if len(models) > 1:
            click.echo(f"{path}\n")
        _print(ticket, story, n_pe or ticket.metadata.get("n_pe") or 16)
    if plot:
        from sim.reports.plots import rounds_plot

        names = [_name(ticket) for ticket in loaded]
        if len(set(names)) < len(names):
            names = list(models)
        with atomic_write(plot) as file:
            file.write(rounds_plot(dict(zip(names, stories, strict=True)), plot.suffix[1:]))


def with_balance(metadata: dict, story: list[RoundStory]) -> dict:
    """Metadata in which each round of `history` has its utilization and occupancy, too."""
    history = [
        {**row, "utilization": s.utilization, "occupancy": s.occupancy}
        for row, s in zip(metadata["history"], story, strict=True)
    ]
    return {**metadata, "history": history}


def _name(ticket: Ticket) -> str:
    known = (ticket.metadata.get(what) for what in ("network", "dataset", "method"))
    return " ".join(filter(None, known)) or "ticket"


def _targets(metadata: dict) -> str:
    """How many weights the filters were given, as the rounds of training say it: exact, ranked, or nothing."""
    said = dict.fromkeys(row["target"] for row in metadata.get("history", ()) if row.get("target"))
    return ", then ".join(said)


def _notes(notes: dict) -> str:
    """In a few words; --json has them whole."""
    told = []
    for name, value in sorted(notes.items(), key=lambda note: note[0] == "agreement"):
        if name == "import":
            told.append(f"imported, verdict {value['verdict']}")
        elif name == "agreement":
            told.append(
                f"{value['spikes_equal']:.4%} of spikes and {value['predictions_equal']:.2%} of "
                f"predictions equal {value['against']}'s"
            )
        elif isinstance(value, dict | list):
            told.append(f"{name} (--json)")
        else:
            told.append(f"{name} {value}")
    return "; ".join(told)


def _print(ticket: Ticket, story: list[RoundStory], n_pe: int) -> None:
    from sim.reports.table import print_table
    from sw.ticket import public_metadata

    metadata = public_metadata(ticket)
    for name, value in metadata.items():
        if name == "history":
            continue
        if name == "notes":
            value = _notes(value)
        elif isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, float):
            value = f"{value:.6g}"
        elif name == "policy" and (targets := _targets(metadata)):
            value = f"{value}, targets {targets}"
        click.echo(f"{name:20}{value}")
    masks = ticket.masks
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
    if not story:
        return
    rows = [tuple(getattr(s, column) for column in ROUND) for s in story]
    *earlier, last = rows
    print_table(f"\nat the end of each round, {n_pe} PEs", ROUND, earlier, last)
