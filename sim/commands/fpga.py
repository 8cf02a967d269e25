"""`uticket fpga`: the array on FPGA boards."""

from __future__ import annotations

import click


@click.command(short_help="Build the array for FPGA boards.")
@click.option(
    "--board",
    "names",
    metavar="NAME",
    multiple=True,
    help="A file of synth/boards; more than one is allowed. [default: ulx3s_25f, the quickest]",
)
@click.option("--n-pe", type=int, help="PEs. [default: the board's preset's]")
@click.option("--place/--no-place", default=True, help="Place and route, or only synthesis.")
def command(names: tuple[str, ...], n_pe: int | None, place: bool) -> None:
    """Build netlist, bitstream and report in build/fpga/NAME (docs/silicon.md)."""
    from sim.files import BUILD
    from synth import fpga

    for name in names or (fpga.QUICKEST,):
        folder = BUILD / "fpga" / name
        fpga.build(name, n_pe, folder, place=place)
        click.echo((folder / "report.txt").read_text() + f"wrote {folder / 'report.json'}")
