"""`uticket verilog`: the RTL as Verilog, with data sheet."""

from __future__ import annotations

from pathlib import Path

import click

from sim.options import machine_option


@click.command(short_help="Export the RTL as Verilog, with data sheet.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--preset", default="paper", show_default=True, help="Of hw/config.py.")
@click.option(
    "--hardware",
    type=click.Path(path_type=Path),
    help="YAML of hardware fields that replace the preset's.",
)
@machine_option
def command(folder: Path, preset: str, hardware: Path | None, machine: str | None) -> None:
    """Write PE, array, chip, and chip on AXI into FOLDER, each file complete in itself.

    Beside each a JSON map of names; README.md is the data sheet, uticket.h has the registers.
    FOLDER/blackbox has the same modules with black boxes for the memories that become SRAM macros.
    """
    from hw.config import PRESETS
    from hw.export import export_all
    from sim.options import replaced
    from support.errors import BadInput

    if preset not in PRESETS:
        raise BadInput(f"--preset {preset}; allowed: {', '.join(PRESETS)}")
    config = replaced(PRESETS[preset], hardware, machine=machine)
    name = preset if hardware is None else f"{preset}, {hardware.name}"
    for path in export_all(name, folder, config):
        click.echo(f"wrote {path}")
