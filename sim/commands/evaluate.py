"""`uticket evaluate`: the accuracy of a ticket, measured again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.options import Images
from support.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    from sw.ticket import Ticket


@click.command(short_help="Measure a ticket's accuracy on its test set.")
@click.argument("model")
@click.option("--method", help="Of a name or a YAML: uticket, lth, ... [default: its first]")
@click.option(
    "--images",
    type=Images(),
    help="The first of the test set, all if left out; or your own images and labels.",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all if left out.")
@click.option("--write", is_flag=True, help="Write what was measured into the ticket.")
def command(
    model: str,
    method: str | None,
    images: int | Path | None,
    threads: int | None,
    write: bool,
) -> int:
    """Accuracy of MODEL's float network and of the integer network that the array runs.

    MODEL is a name of tickets/, a YAML or a ticket. Images are those of its data set, read from the data
    folder (UTICKET_DATA), or an .npz of your own (docs/report.md). Exit status 1 if the ticket states
    other accuracies for as many images, unless --write corrects it.
    """
    import os

    try:
        from sw import evaluate
    except ImportError:
        raise BadInput("Numba is missing; `make .venv/train` installs it") from None
    from sim.catalog import ticket_path
    from sim.reports.progress import Steps
    from sw.quantize import quantize, ticket_config
    from sw.ticket import load, save

    ticket = ticket_path(model, method)
    loaded = load(ticket)
    pixels, labels = _images(loaded, ticket, images)
    network = quantize(loaded, ticket_config(loaded))
    with Steps(1) as steps:
        steps.step(f"{len(labels)} images through both networks", evaluate.batches(len(labels)))
        measured = evaluate.accuracies(
            network, pixels, labels, threads=threads or os.cpu_count() or 1, done=steps.part
        )
    found = {
        **dict(zip(("accuracy", "accuracy_quantized"), measured, strict=True)),
        "test_images": len(labels),
    }
    stated = {what: loaded.metadata.get(what) for what in found}
    for what, value in found.items():
        click.echo(f"{what:20}{value:<10g}stated: {_shown(stated[what])}")
    if write:
        save(replace(loaded, metadata={**loaded.metadata, **found}), ticket)
        click.echo(f"wrote {ticket}")
        return 0
    if isinstance(images, Path):
        return 0  # other images than the ticket speaks of
    return int(stated != found and stated["test_images"] == found["test_images"])


def _images(ticket: Ticket, path: Path, images: int | Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels. Raises BadInput where there are none."""
    from sim.images import first_images, read_images
    from sw.datasets import STATISTICS, load_test

    if isinstance(images, Path):
        pixels, labels = read_images(images, ticket.network, ticket.metadata["ticks"])
        if labels is None:
            raise BadInput(f"{images}: labels are missing; without them there is no accuracy")
        return pixels, labels
    name = ticket.metadata.get("dataset")
    if name not in STATISTICS:
        raise BadInput(
            f"{path}: dataset = {name!r}; allowed: {', '.join(STATISTICS)}, or --images FILE.npz"
        )
    return first_images(name, images) if images else load_test(name)


def _shown(value: float | None) -> str:
    return "nothing" if value is None else f"{value:g}"
