"""`uticket sim`: a ticket's network through the Verilated RTL, checked, and the report of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.options import (
    batch_option,
    check_rows,
    images_option,
    json_option,
    machines_of,
    machines_option,
    model_options,
    overlap_option,
    technology_option,
)

if TYPE_CHECKING:
    from sim.reports.run_report import Report


@click.command(short_help="Run a ticket through the RTL, check it, report.")
@model_options
@machines_option
@images_option
@technology_option
@json_option("Write the report here, too.")
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
@overlap_option(
    "Run METHOD's images once more in a row, the next one's input coming early: with --machine event "
    "and --images of 3 to 100 (docs/event.md)."
)
@batch_option(
    "Run METHOD's images once more in batches of B, late layers' weights loaded once for each: with --machine event "
    "and --images a multiple of B (docs/event.md)."
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
    overlap: bool,
    batch: int | None,
) -> int:
    """Run MODEL (a name of tickets/, a YAML or a ticket) and its baseline through the RTL.

    Every spike is compared with the golden model, every PE's counters with the cycle model. The
    report goes to build/sim/MODEL/: report.json, report.html, counters.csv (docs/report.md). With
    --machine both the two machines' go to sweep/ and event/ there, and machines.json has both. Exit
    status: 0 if all agreed, 1 if not, 2 for bad input.
    """
    from sim.catalog import load_model
    from sim.rtl.harness import RtlError
    from sim.simulation import simulate
    from support.files import BUILD, file_to_write, folder_to_write

    chosen = load_model(model)
    configs = machines_of(chosen, hardware, n_pe, machine)
    check_rows(configs, overlap=overlap, batch=batch, images=images)
    file_to_write(json_path)
    folder_to_write(dump)
    folder = BUILD / "sim" / chosen.name
    reports: dict[str, Report] = {}
    for config in configs:
        part = config.machine if len(configs) > 1 else ""  # a folder of its own
        try:
            reports[part] = simulate(
                chosen,
                method,
                config,
                images=images,
                folder=folder / part,
                trace=trace,
                dump=dump and dump / part,
                technology=technology,
                view=energy,
                overlap=overlap,
                batch=batch,
            )
        except RtlError as error:
            click.echo(f"uticket: error: {error}", err=True)
            return 1
    status = 1 if any(report.mismatch for report in reports.values()) else 0
    try:
        _write(reports, folder, json_path)
    except OSError as error:
        for report in reports.values():
            click.echo(report.verdict)
        click.echo(
            f"uticket: error: report not written: {error.filename}: {error.strerror}", err=True
        )
        return status or 2
    _print(chosen.name, configs[0].n_pe, reports)
    return status


def _write(reports: dict[str, Report], folder: Path, json_path: Path | None) -> None:
    """Each report in its part of the folder; both machines' together in machines.json."""
    from sim.reports.run_report import write
    from sim.side_by_side import content
    from support.files import write_json

    for part, report in reports.items():
        write(report, folder / part, json_path if len(reports) == 1 else None)
    if len(reports) > 1:
        both = content({part: report.content for part, report in reports.items()})
        for path in filter(None, (folder / "machines.json", json_path)):
            write_json(path, both)


def _print(model: str, n_pe: int, reports: dict[str, Report]) -> None:
    """The table, and a line or more below it."""
    from sim.reports.run_numbers import told_batch, told_row
    from sim.reports.run_report import table_rows
    from sim.reports.table import print_table
    from sim.side_by_side import table

    first = next(iter(reports.values()))
    if len(reports) == 1:
        rows = table_rows(first)
    else:
        rows = table({part: report.methods for part, report in reports.items()}, "rtl_cycles")
    print_table(f"{model}: {n_pe} PEs, per image", *rows)
    for part, report in reports.items():
        click.echo(f"{part}: {report.verdict}" if part else report.verdict)
    if overlap := first.content.get("overlap"):
        click.echo(told_row(overlap))
    if batch := first.content.get("batch"):
        click.echo(told_batch(batch))
    if agreement := first.content.get("reference"):
        spikes, predictions = (agreement[name] for name in ("spikes_equal", "predictions_equal"))
        click.echo(
            f"imported: {spikes:.4%} of its spikes and {predictions:.2%} of its predictions "
            "equal the network's that it was made of"
        )
