"""`uticket power`: energy of a PE's gates."""

from __future__ import annotations

from pathlib import Path

import click

from sim.options import hardware_option, library_options, machine_option


@click.command(short_help="Energy of a PE's gates in a layer of a ticket.")
@library_options
@hardware_option
@machine_option
@click.option("--model", default="vgg16_cifar10", show_default=True)
@click.option("--layer", default="conv8", show_default=True)
@click.option("--cycles", type=click.IntRange(4096), default=13056, show_default=True)
def command(
    liberty: Path,
    node: int | None,
    hardware: Path | None,
    machine: str | None,
    model: str,
    layer: str,
    cycles: int,
) -> None:
    """Energy of a PE from the switching of its netlist in LAYER of MODEL's ticket (docs/silicon.md)."""
    from synth import measure
    from synth.flow import flow_on

    flow = flow_on(liberty, node, hardware, machine)
    measured = measure.measure(flow, model, layer, cycles=cycles)
    image = measure.counted(model, flow.config)
    click.echo(measure.write(measured, image, flow.folder).read_text())
