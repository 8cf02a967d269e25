"""`uticket sim`: a ticket's network through the Verilated RTL, checked, and the report of it."""

from __future__ import annotations

from pathlib import Path

import click

from sim.options import (
    hardware_of,
    images_option,
    machine_option,
    model_options,
    technology_option,
)


@click.command(short_help="Run a ticket through the RTL, check it, report.")
@model_options
@machine_option
@images_option
@technology_option
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the report here, too."
)
@click.option(
    "--dump", type=click.Path(path_type=Path), help="Keep the maps of every image in this folder."
)
@click.option(
    "--trace", metavar="LAYER", help="Write build/sim/MODEL/LAYER.fst, of the first image."
)
@click.option(
    "--energy",
    default="spikes",
    show_default=True,
    type=click.Choice(["spikes", "input_sparsity", "network_average"]),
    help="Spike sparsity in Eq. 3: counted, of each layer's input, or one average (the paper's way).",
)
def command(
    model: str,
    method: str | None,
    images: int | Path,
    n_pe: int | None,
    hardware: Path | None,
    machine: str | None,
    json_path: Path | None,
    dump: Path | None,
    trace: str | None,
    energy: str,
    technology: str | None,
) -> int:
    """Run MODEL (a name of tickets/, a YAML or a ticket) and its baseline through the RTL.

    Every spike is compared with the golden model, every PE's counters with the cycle model. The
    report goes to build/sim/MODEL/: report.json, report.html, counters.csv (docs/report.md). Exit
    status: 0 if all agreed, 1 if not, 2 for bad input.
    """
    from sim.catalog import load_model
    from sim.files import BUILD, file_to_write, folder_to_write
    from sim.reports.run_report import table_rows, write
    from sim.reports.table import print_table
    from sim.rtl.harness import RtlError
    from sim.simulation import simulate

    chosen = load_model(model)
    config = hardware_of(chosen, hardware, n_pe, machine)
    file_to_write(json_path)
    folder_to_write(dump)
    folder = BUILD / "sim" / chosen.name
    try:
        report = simulate(
            chosen,
            method,
            config,
            images=images,
            folder=folder,
            trace=trace,
            dump=dump,
            technology=technology,
            view=energy,
        )
    except RtlError as error:
        click.echo(f"uticket: error: {error}", err=True)
        return 1
    status = 0 if report.mismatch is None else 1
    try:
        write(report, folder, json_path)
    except OSError as error:
        click.echo(report.verdict)
        click.echo(
            f"uticket: error: report not written: {error.filename}: {error.strerror}", err=True
        )
        return status or 2
    columns, rows, last = table_rows(report)
    print_table(f"{chosen.name}: {config.n_pe} PEs, per image", columns, rows, last)
    click.echo(report.verdict)
    if agreement := report.content.get("reference"):
        spikes, predictions = (agreement[name] for name in ("spikes_equal", "predictions_equal"))
        click.echo(
            f"imported: {spikes:.4%} of its spikes and {predictions:.2%} of its predictions "
            "equal the network's that it was made of"
        )
    return status
