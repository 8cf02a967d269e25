"""The command behind `make synth` and `make fpga`: python -m synth COMMAND --help."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hw.config import PRESETS
from sim.cli import run
from sim.errors import BadInput
from synth import fpga, memories, report
from synth.flow import Flow
from synth.liberty import Library

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "synth"
LIBERTY = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
"""Of Debian's package qflow-tech-osu018: 180 nm, Oklahoma State University."""


@click.group()
def main() -> None:
    """From the RTL to gates, and to FPGAs."""


def _flow(liberty: Path, node: int | None) -> Flow:
    if liberty == LIBERTY and not liberty.is_file():
        raise BadInput(
            f"Liberty file {liberty} is missing; on Debian: apt-get install qflow-tech-osu018, "
            "or give another with LIBERTY="
        )
    library = Library(liberty)
    return Flow(library, memories.node_of(library, node), PRESETS["paper"], BUILD / library.name)


@main.command()
@click.option("--liberty", type=Path, default=LIBERTY, show_default=True, help="Standard cells.")
@click.option("--node", type=click.IntRange(min=32), help="Of the library, nm, if not known.")
@click.option("--pe-only", is_flag=True, help="Leave out the array around the PEs.")
def cells(liberty: Path, node: int | None, pe_only: bool) -> None:
    """Area by component and timing, of a PE and of the array around 16 of them."""
    flow = _flow(liberty, node)
    designs = [flow.pe()]
    if not pe_only:
        designs.append(flow.top())
    path = report.write(flow.folder, flow.library, flow.node, flow.macros, designs)
    click.echo(path.read_text() + f"\nwrote {path} and report.json")


@main.command()
@click.option("--liberty", type=Path, default=LIBERTY, show_default=True, help="Standard cells.")
@click.option("--node", type=click.IntRange(min=32), help="Of the library, nm, if not known.")
@click.option("--model", default="vgg16_cifar10", show_default=True)
@click.option("--layer", default="conv8", show_default=True)
@click.option("--cycles", type=click.IntRange(4096), default=13056, show_default=True)
def power(liberty: Path, node: int | None, model: str, layer: str, cycles: int) -> None:
    """Energy of a PE from the switching of its netlist in a layer of a ticket."""
    from synth import measure

    flow = _flow(liberty, node)
    measured = measure.measure(flow, model, layer, cycles=cycles)
    click.echo(measure.write(measured, flow.folder).read_text())


@main.command()
@click.option("--liberty", type=Path, default=LIBERTY, show_default=True, help="Standard cells.")
@click.option("--node", type=click.IntRange(min=32), help="Of the library, nm, if not known.")
def rivals(liberty: Path, node: int | None) -> None:
    """Area of what GoSPA and SparTen add to an array of 16 PEs, synthesized the same way."""
    from synth.rival_areas import MODULES

    flow = _flow(liberty, node)
    found = {}
    for name, make in MODULES.items():
        found[name] = flow.area(make(), name)
        click.echo(f"{name:<24}{found[name]:>10.0f} um2")
    (flow.folder / "rivals.json").write_text(json.dumps(found, indent=1) + "\n")


@main.command()
@click.option("--board", "boards", multiple=True, type=click.Choice(list(fpga.TARGETS)))
@click.option("--n-pe", type=int, help="PEs; default: the preset's.")
@click.option("--place/--no-place", default=True, help="Place and route, or only synthesis.")
def boards(boards: tuple[str, ...], n_pe: int | None, place: bool) -> None:
    """Build for FPGA boards (default: the smallest, which takes the least time)."""
    for name in boards or (fpga.QUICKEST,):
        folder = BUILD.parent / "fpga" / name
        fpga.build(name, n_pe, folder, place=place)
        click.echo((folder / "report.txt").read_text() + f"wrote {folder / 'report.json'}")


if __name__ == "__main__":
    run(main, "synth")
