"""`uticket estimate`: cycles, energy and time by the models, in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sim.options import (
    hardware_of,
    images_option,
    machine_option,
    model_options,
    technology_option,
)

if TYPE_CHECKING:
    from sim.estimate import Estimate

COLUMNS = {  # of the table: header with its unit, by field
    "nnz": "nnz",
    "work": "work (steps)",
    "idle": "idle (steps)",
    "utilization": "utilization",
    "spike_sparsity": "spike sparsity",
    "cycles": "cycles",
    "bound_cycles": "bound (cycles)",
    "energy": "energy (E_dyn)",
}


@click.command(short_help="Exact cycles, energy and time, no RTL built.")
@model_options
@machine_option
@images_option
@technology_option
@click.option("--clock", "clock_mhz", type=float, help="MHz. [default: the technology's]")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the result here.")
def command(
    model: str,
    method: str | None,
    images: int | Path,
    n_pe: int | None,
    hardware: Path | None,
    machine: str | None,
    technology: str | None,
    clock_mhz: float | None,
    json_path: Path | None,
) -> None:
    """Cycles, utilization, energy and time of MODEL (a name of tickets/, a YAML or a ticket), per image.

    Cycles are those of the RTL, which `uticket sim` proves; here nothing is built. Layers are those that
    the array runs. Time is cycles at the clock, energy that of the PEs (docs/energy.md).
    """
    from sim.catalog import load_model
    from sim.deployment import deployments
    from sim.estimate import estimate
    from sim.files import file_to_write, write_json

    file_to_write(json_path)
    chosen = load_model(model)
    (deployed,) = deployments(
        chosen, [chosen.method(method)], hardware_of(chosen, hardware, n_pe, machine)
    )
    pixels, labels = deployed.images(images)
    found = estimate(
        deployed,
        pixels,
        labels=labels,
        model=chosen.name,
        technology=technology,
        clock_mhz=clock_mhz,
    )
    if json_path is not None:
        write_json(json_path, found.content)
    print_estimate(found)


def print_estimate(found: Estimate) -> None:
    """The table, and the line below it."""
    from sim.reports.table import print_table

    def cells(row: dict) -> list[object]:
        shown = row | {
            "cycles": f"{row['cycles']:,.0f}",
            "energy": f"{row['energy']:,.0f}",
        }
        return [shown[name] for name in COLUMNS]

    print_table(
        f"{found.model}: {found.config.n_pe} PEs, per image",
        ("layer", *COLUMNS.values()),
        [(row["name"], *cells(row)) for row in found.layers],
        ("total", *cells(found.totals)),
    )
    click.echo(found.verdict)
