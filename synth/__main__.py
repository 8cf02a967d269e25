"""The command behind `make synth` and `make fpga`: python -m synth COMMAND --help."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import click

from hw.array import Array
from hw.config import PRESETS
from hw.export import export
from hw.pe import PE
from hw.sram import BlackBoxes
from hw.top import Top
from sim.errors import BadInput
from synth import asic, memories, report, sta
from synth.liberty import Library

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "synth"
LIBERTY = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
"""Of Debian's package qflow-tech-osu018: 180 nm, Oklahoma State University."""
MODULES = {"pe": lambda config: PE(config, 0), "array": Array, "top": Top}


@click.group()
def main() -> None:
    """From the RTL to gates."""


@main.command()
@click.option("--liberty", type=Path, default=LIBERTY, show_default=True, help="Standard cells.")
@click.option("--node", type=click.IntRange(min=32), help="Of the library, nm, if not known.")
@click.option("--module", "modules", multiple=True, type=click.Choice(list(MODULES)))
@click.option("--n-pe", type=click.IntRange(1, 64), default=16, show_default=True)
def cells(liberty: Path, node: int | None, modules: tuple[str, ...], n_pe: int) -> None:
    """Area by component and timing on a standard-cell library (default: --module pe)."""
    if liberty == LIBERTY and not liberty.is_file():
        raise BadInput(
            f"Liberty file {liberty} is missing; on Debian: apt-get install qflow-tech-osu018, "
            "or give another with LIBERTY="
        )
    library = Library(liberty)
    node = memories.node_of(library, node)
    config = replace(PRESETS["paper"], n_pe=n_pe)
    folder = BUILD / library.name
    folder.mkdir(parents=True, exist_ok=True)
    designs = []
    for module in modules or ("pe",):
        started = time.perf_counter()
        sdc = ROOT / "constraints" / f"{module}.sdc"
        period = sta.constraint_period(sdc)
        macros = memories.macros(library, node, config, period)
        (folder / "macros.lib").write_text(memories.liberty(macros, library))
        click.echo(f"{module} on {library.name}: export")
        source = export(MODULES[module](config), module, folder / "rtl", BlackBoxes())
        flat: Path | None = None
        found: list[asic.Area] = []
        flat_area = 0.0
        for flatten in (False, True):
            click.echo(f"{module}: synthesis, {'flat' if flatten else 'by component'}")
            flat = asic.synthesize(
                source, module, library, macros, folder, flat=flatten, period=period
            )
            stat = asic.areas(flat.with_suffix(".stat.json"), library, macros)
            if flatten:
                flat_area = sum(area.area for area in stat)
            else:
                found = stat
        assert flat is not None  # noqa: S101
        click.echo(f"{module}: timing")
        timing = sta.analyze([flat], module, [liberty, folder / "macros.lib"], sdc, folder)
        seconds = time.perf_counter() - started
        designs.append(report.Design(module, found, flat_area, timing, seconds))
    path = report.write(folder, library, node, macros, designs)
    click.echo(path.read_text() + f"\nwrote {path} and report.json")


if __name__ == "__main__":
    try:
        main(standalone_mode=True)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
