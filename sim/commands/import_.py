"""`uticket import`: a NIR file or PyTorch module becomes a ticket, and is compared with what it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sim.import_options import import_options, opened, print_report
from sim.options import json_option


@click.command(short_help="Make a ticket of a NIR file or PyTorch module.")
@import_options
@click.argument("out", metavar="TICKET", type=click.Path(path_type=Path))
@click.option(
    "--images", type=click.Path(path_type=Path),
    help="An .npz of images and labels: how often integers and framework agree.",
)  # fmt: skip
@click.option(
    "--reference", type=click.Path(path_type=Path),
    help="An .npz of the framework's own spikes, by node: (N, T, ...).",
)  # fmt: skip
@json_option("Also write the report here.")
@click.option("--accept", is_flag=True, help="Write a ticket that is approximate, too.")
def command(
    out: Path,
    images: Path | None,
    reference: Path | None,
    json_path: Path | None,
    accept: bool,
    **given: Any,
) -> None:
    """Write TICKET, what NETWORK becomes on the array (see `uticket check`).

    With --images both networks run: agreement of spikes by layer, of predictions, and accuracies. A PyTorch module is run by
    its own framework, a NIR file in floats.
    """
    from sim.equivalence import compare, framework_spikes, print_agreement
    from sim.images import read_arrays, read_images
    from support.errors import BadInput, ToldWhole
    from support.files import file_to_write, write_json
    from sw.ticket import save

    file_to_write(out)
    file_to_write(json_path)
    if out.suffix != ".npz":
        raise BadInput(f"{out}; allowed: a name that ends in .npz")
    if reference and not images:
        raise BadInput("--reference without --images; allowed: with the images of its spikes")
    there = read_arrays(images, "images").get("images") if images else None
    network = opened(**given, dimensions=None if there is None else there.ndim)
    seen = network.lowered.network
    sample = read_images(images, seen, network.options.ticks) if images else None
    known: Mapping[str, Any] | None = read_arrays(reference) if reference else None
    report = network.report
    print_report(report)
    if report.reason:
        raise BadInput(report.reason)
    if report.verdict == "approximate" and not accept:
        raise ToldWhole(f"approximate ({report.differences}); --accept writes it")
    ticket = network.ticket()
    content = report.to_dict()
    if sample:
        against = reference.name if reference else ""
        if known is None:
            known, against = framework_spikes(network, sample[0])
        agreement = compare(
            network, ticket, sample[0], labels=sample[1], known=known, against=against
        )
        print_agreement(agreement)
        content["agreement"] = agreement
        ticket.metadata["notes"]["agreement"] = agreement
    save(ticket, out)
    click.echo(f"wrote {out}")
    if json_path:
        write_json(json_path, content)
