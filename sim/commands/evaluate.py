"""`uticket evaluate`: the accuracy of a ticket, measured again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from sim.errors import BadInput


@click.command(short_help="Measure a ticket's accuracy on its test set.")
@click.argument("ticket", type=click.Path(path_type=Path))
@click.option(
    "--images", type=click.IntRange(min=1), help="The first of the test set; all if left out."
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all if left out.")
@click.option("--write", is_flag=True, help="Write what was measured into TICKET.")
def command(ticket: Path, images: int | None, threads: int | None, write: bool) -> int:
    """Accuracy of TICKET's float network and of the integer network that the array runs.

    The test set is read from the data folder (UTICKET_DATA). Exit status 1 if TICKET states other
    accuracies for as many images, unless --write corrects it.
    """
    import os

    try:
        from sw import evaluate
    except ImportError:
        raise BadInput("Numba is missing; `make train` installs it") from None
    from sim.images import first_images
    from sim.reports.progress import Steps
    from sw.datasets import STATISTICS, load_test
    from sw.quantize import quantize, ticket_config
    from sw.ticket import load, save

    loaded = load(ticket)
    name = loaded.metadata.get("dataset")
    if name not in STATISTICS:
        raise BadInput(f"{ticket}: dataset = {name!r}; allowed: {', '.join(STATISTICS)}")
    pixels, labels = first_images(name, images) if images else load_test(name)
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
    return int(stated != found and stated["test_images"] == found["test_images"])


def _shown(value: float | None) -> str:
    return "nothing" if value is None else f"{value:g}"
