"""`uticket power`: energy of a PE's gates, and of an image."""

from __future__ import annotations

from pathlib import Path

import click

from sim.options import BOTH, hardware_option, library_options


@click.command(short_help="Energy of a PE's gates in layers of a ticket, and of an image.")
@library_options
@hardware_option
@click.option(
    "--machine",
    help="sweep, the paper's array, event (docs/event.md), or both; instead of the hardware's.",
)
@click.option("--model", default="vgg16_cifar10", show_default=True)
@click.option("--method", help="The ticket: uticket, lth, ... [default: the model's first]")
@click.option(
    "--layer",
    "layers",
    metavar="NAME",
    multiple=True,
    help="More than one is allowed. [default: four, from the first to the last]",
)
@click.option(
    "--cycles",
    type=click.IntRange(1024),
    default=8192,
    show_default=True,
    help="Of each layer, at most.",
)
def command(
    liberty: Path,
    node: int | None,
    hardware: Path | None,
    machine: str | None,
    model: str,
    method: str | None,
    layers: tuple[str, ...],
    cycles: int,
) -> None:
    """Energy of a PE from the switching of its netlist in layers of MODEL's ticket, and what an image takes by it.

    With --machine both of the two, in the same layers, and their ratio (docs/silicon.md).
    """
    from hw.config import MACHINES
    from sim.deployment import Deployment
    from support.errors import BadInput
    from support.files import write_json, write_text
    from synth import measure, power_report
    from synth.flow import flow_on
    from synth.image import Image, early_to_late

    if machine not in (None, BOTH, *MACHINES):
        raise BadInput(f"machine = {machine!r}, allowed: {', '.join((*MACHINES, BOTH))}")
    flows = [
        flow_on(liberty, node, hardware, name)
        for name in (MACHINES if machine == BOTH else (machine,))
    ]
    images = [Image(Deployment.load(model, method, flow.config)) for flow in flows]
    chosen = list(dict.fromkeys(layers)) or early_to_late(images)
    for image in images:  # a layer that cannot be recorded is refused before the first is
        for layer in chosen:
            image.check(layer)
    spent = {}
    for flow, image in zip(flows, images, strict=True):
        measured = measure.measure(flow, image, chosen, cycles=cycles)
        counts = image.counts()
        path = flow.folder / "power.json"
        title = (
            f"{model}, {image.deployed.method}, {flow.library.name}, {1e3 / flow.period:.0f} MHz"
        )
        lines = [title, *power_report.text(measured, counts)]
        write_json(path, {"title": title} | power_report.content(measured, counts))
        write_text(path.with_suffix(".txt"), "\n".join(lines) + "\n")
        click.echo("\n".join(lines) + f"\nwrote {path} and power.txt")
        spent[measured.machine] = power_report.image(measured, counts)["all"]
    if machine == BOTH:
        click.echo(power_report.ratio(spent))
