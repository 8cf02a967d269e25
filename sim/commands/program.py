"""`uticket program`: a ticket's program stream for one image, a row or a batch of them, and the results it must give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.options import batch_option, check_rows, hardware_of, machine_option, model_options
from support.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    from sim.deployment import Deployment


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
@batch_option(
    "A batch of B images, --image the first, late layers' weights loaded once: with --machine event (docs/event.md)."
)
@click.option(
    "--overlap",
    type=int,
    metavar="N",
    help="A row of N images, 2 to 100, --image the first, the next one's input coming early: with --machine event "
    "(docs/event.md).",
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
    batch: int | None,
    overlap: int | None,
) -> None:
    """Write program.hex and results.hex of MODEL (a name of tickets/, a YAML or a ticket) and one image.

    A beat a line, of 64 bits or the event machine's stream_bits, in hexadecimal, as Verilog's $readmemh reads it; the last line of each carries
    `last`. The results are those of the models while neither stream stalls: stalls change cycles and stall
    counters alone. A row or a batch is several programs, sent one behind the other: program_00.hex, results_00.hex and so on.
    """
    from sim.catalog import load_model
    from sim.deployment import deployments
    from sim.rtl import rows, stream

    chosen = load_model(model)
    config = hardware_of(chosen, hardware, n_pe, machine)
    check_rows([config], overlap=overlap is not None, batch=batch)
    if overlap is not None:
        rows.check_length(overlap)
    (deployed,) = deployments(chosen, [chosen.method(method)], config)
    end = image + (overlap or batch or 1)
    pixels, _ = deployed.images(images or end)
    if end > len(pixels):
        wanted = f"--image {image}"
        for option, count in (("--overlap", overlap), ("--batch", batch)):
            if count is not None:
                wanted = f"{option} {count}: image {end - 1}"
        raise BadInput(f"{wanted}; allowed: 0 to {len(pixels) - 1}, as {images} has")
    pixels = pixels[image:end]
    files = _streams(deployed, pixels, overlap=overlap is not None, batch=batch)
    _refuse_others(out, files)
    out.mkdir(parents=True, exist_ok=True)
    for part, pair in files.items():
        for name, beats in zip(("program", "results"), pair, strict=True):
            path = out / f"{name}{part}.hex"
            stream.write_beats(path, beats)
            click.echo(f"wrote {path}: {len(beats):,} beats")


def _refuse_others(out: Path, files: Mapping[str, object]) -> None:
    """Raises BadInput for files of a longer row or batch, which would stand behind this one's as if they belonged to it."""
    ours = {f"{name}{part}.hex" for part in files for name in ("program", "results")}
    found = (path for name in ("program", "results") for path in out.glob(f"{name}_[0-9][0-9].hex"))
    for path in sorted(found):
        if "" not in files and path.name not in ours:
            raise BadInput(f"{path}: of a longer row or batch; allowed: a folder without it")


def _streams(
    deployed: Deployment, pixels: np.ndarray, *, overlap: bool, batch: int | None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Programs and their results, by what their files' names have behind these words."""
    from sim.rtl import batches, rows, stream

    loaded = deployed.loaded
    if overlap:
        found = rows.model_row(loaded, rows.row_program(loaded.program), pixels)
    elif batch is not None:
        found = batches.model_batches(loaded, batches.batch_of(loaded, batch), pixels)
    else:
        (spikes,) = deployed.spikes(pixels)
        results = stream.expected_results(loaded, spikes)
        return {"": (loaded.program.beats(spikes), results)}
    return {f"_{k:02}": pair for k, pair in enumerate(stream.row_streams(found))}
