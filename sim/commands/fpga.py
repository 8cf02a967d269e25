"""`uticket fpga`: the array on FPGA boards."""

from __future__ import annotations

from pathlib import Path

import click

from sim.options import machine_option


@click.command(short_help="Build the array for FPGA boards.")
@click.option(
    "--board",
    "names",
    metavar="NAME",
    multiple=True,
    help="A file of synth/boards; more than one is allowed. [default: ulx3s_25f, the quickest]",
)
@click.option(
    "--hardware",
    type=click.Path(path_type=Path),
    help="YAML of hardware fields that replace the board's preset's.",
)
@machine_option
@click.option("--n-pe", type=int, help="PEs. [default: the board's preset's]")
@click.option("--place/--no-place", default=True, help="Place and route, or only synthesis.")
def command(
    names: tuple[str, ...],
    hardware: Path | None,
    machine: str | None,
    n_pe: int | None,
    place: bool,
) -> None:
    """Build netlist, bitstream and report in build/fpga/NAME (docs/silicon.md).

    With --machine or --hardware in build/fpga/NAME-MACHINE-FILE.
    """
    from synth import boards, fpga

    targets = names or (fpga.QUICKEST,)
    configs = {  # a wrong one is refused before the first is built
        name: fpga.config_of(boards.board(name), n_pe, hardware, machine) for name in targets
    }
    for name, config in configs.items():
        folder = fpga.folder_of(name, hardware, machine)
        fpga.build(name, config, folder, place=place)
        click.echo((folder / "report.txt").read_text() + f"wrote {folder / 'report.json'}")
