"""`uticket program`: a ticket's program stream for one image, and the results it must give."""

from __future__ import annotations

from pathlib import Path

import click

from sim.errors import BadInput
from sim.options import hardware_of, machine_option, model_options


@click.command(short_help="Write a ticket's program and its expected results as beats.")
@model_options
@machine_option
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Your own: an .npz of images (docs/library.md). [default: the test set]",
)
@click.option(
    "--image",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Which of them, from 0.",
)
@click.option(
    "--out",
    default=Path(),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of program.hex and results.hex.",
)
def command(
    model: str,
    method: str | None,
    images: Path | None,
    image: int,
    n_pe: int | None,
    hardware: Path | None,
    machine: str | None,
    out: Path,
) -> None:
    """Write program.hex and results.hex of MODEL (a name of tickets/, a YAML or a ticket) and one image.

    A beat a line, of 64 bits or the event machine's stream_bits, in hexadecimal, as Verilog's $readmemh reads it; the last line of each carries
    `last`. The results are those of the models while neither stream stalls: stalls change cycles and stall
    counters alone.
    """
    from sim.catalog import load_model
    from sim.deployment import deployments
    from sim.rtl import stream

    chosen = load_model(model)
    config = hardware_of(chosen, hardware, n_pe, machine)
    (deployed,) = deployments(chosen, [chosen.method(method)], config)
    pixels, _ = deployed.images(images or image + 1)
    if image >= len(pixels):
        raise BadInput(f"--image {image}; allowed: 0 to {len(pixels) - 1}, as {images} has")
    spikes = deployed.spikes(pixels[image : image + 1])[0]
    results = stream.expected_results(deployed.loaded, spikes)
    out.mkdir(parents=True, exist_ok=True)
    for name, beats in (("program", deployed.program.beats(spikes)), ("results", results)):
        path = out / f"{name}.hex"
        stream.write_beats(path, beats)
        click.echo(f"wrote {path}: {len(beats):,} beats")
