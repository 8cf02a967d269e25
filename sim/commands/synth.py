"""`uticket synth`: area and timing on standard cells."""

from __future__ import annotations

from pathlib import Path

import click

from sim.options import hardware_option, library_options, machine_option, refuse_given


@click.command(short_help="Area by component and timing on standard cells.")
@library_options
@hardware_option
@machine_option
@click.option("--pe-only", is_flag=True, help="Leave out the array around the PEs.")
@click.option("--rivals", is_flag=True, help="Instead: area of what GoSPA and SparTen add.")
def command(
    liberty: Path,
    node: int | None,
    hardware: Path | None,
    machine: str | None,
    pe_only: bool,
    rivals: bool,
) -> None:
    """Synthesize a PE, and the array around 16 of them, to build/synth/LIBRARY (docs/silicon.md).

    With --hardware FILE other PEs, or as many as it says, to build/synth/LIBRARY-FILE. With --machine event
    that machine's, to build/synth/LIBRARY-event.
    """
    from support.files import write_json
    from synth import report
    from synth.flow import flow_on
    from synth.rival_areas import MODULES

    if rivals:
        refuse_given(("pe_only",), "with --rivals, which synthesizes no array")
    flow = flow_on(liberty, node, hardware, machine)
    if rivals:
        found = {name: flow.area(make(), name) for name, make in MODULES.items()}
        for name, area in found.items():
            click.echo(f"{name:<24}{area:>10.0f} um2")
        write_json(flow.folder / "rivals.json", found)
        return
    designs = [flow.pe()]
    if not pe_only:
        designs.append(flow.top())
    path = report.write(flow.folder, flow.library, flow.node, flow.macros, designs)
    click.echo(path.read_text() + f"\nwrote {path} and report.json")
