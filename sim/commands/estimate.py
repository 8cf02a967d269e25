"""`uticket estimate`: cycles, energy and time by the models, in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hw.config import Config
from sim.options import (
    BOTH,
    batch_option,
    check_rows,
    images_option,
    json_option,
    machines_of,
    machines_option,
    model_options,
    overlap_option,
    replaced,
    technology_option,
)
from support.errors import BadInput

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
@machines_option
@images_option
@technology_option
@click.option(
    "--maps", metavar="SIDE,SIDE,...", help="Of masks: side of each layer's map before pooling."
)
@click.option(
    "--input-sparsity",
    metavar="SHARE,...",
    help="Of masks: share of steps without a spike; one for all, or one a layer.",
)
@click.option("--clock", "clock_mhz", type=float, help="MHz. [default: the technology's]")
@overlap_option(
    "The images in a row, too, the next one's input coming early: with --machine event and --images of 3 to 100 "
    "(docs/event.md)."
)
@batch_option(
    "The images in batches of B, too, late layers' weights loaded once for each: with --machine event "
    "and --images a multiple of B (docs/event.md)."
)
@json_option()
def command(
    model: str,
    method: str | None,
    images: int | Path,
    n_pe: int | None,
    hardware: Path | None,
    machine: str | None,
    technology: str | None,
    maps: str | None,
    input_sparsity: str | None,
    clock_mhz: float | None,
    overlap: bool,
    batch: int | None,
    json_path: Path | None,
) -> None:
    """Cycles, utilization, energy and time of MODEL (a name of tickets/, a YAML or a ticket), per image.

    MODEL may also be masks or weights as of `uticket analyze`, with --maps and --input-sparsity
    (docs/masks.md). Cycles are those of the RTL, which `uticket sim` proves; here nothing is built. Layers are those that
    the array runs. Time is cycles at the clock, energy that of the PEs (docs/energy.md).
    """
    from sim.catalog import load_model, names_masks
    from sim.deployment import deployments
    from sim.estimate import estimate
    from sim.side_by_side import content
    from support.files import file_to_write, write_json

    file_to_write(json_path)
    if names_masks(model):
        given = {"method": method, "batch": batch, "overlap": "" if overlap else None}
        for option, value in given.items():
            if value is not None:
                raise BadInput(f"--{f'{option} {value}'.strip()} with masks; allowed: with a MODEL")
        if machine == BOTH:
            raise BadInput(
                f"{model}: masks, which run on the sweep alone; allowed: a ticket with both"
            )
        config = replaced(Config(), hardware, n_pe, machine)
        found = _of_masks(Path(model), maps, input_sparsity, config, technology, clock_mhz)
        if json_path is not None:
            write_json(json_path, found.content)
        print_estimate(found)
        return
    for option, value in (("maps", maps), ("input-sparsity", input_sparsity)):
        if value is not None:
            raise BadInput(f"--{option} with a ticket, which says it; allowed: with masks")
    chosen = load_model(model)
    configs = machines_of(chosen, hardware, n_pe, machine)
    check_rows(configs, overlap=overlap, batch=batch, images=images)
    estimates = {}
    for config in configs:
        (deployed,) = deployments(chosen, [chosen.method(method)], config)
        pixels, labels = deployed.images(images)
        estimates[config.machine] = estimate(
            deployed,
            pixels,
            labels=labels,
            model=chosen.name,
            technology=technology,
            clock_mhz=clock_mhz,
            overlap=overlap,
            batch=batch,
        )
    contents = {name: found.content for name, found in estimates.items()}
    if json_path is not None:
        both = len(contents) > 1
        write_json(json_path, content(contents) if both else next(iter(contents.values())))
    if len(estimates) == 1:
        print_estimate(next(iter(estimates.values())))
    else:
        print_both(estimates)


def _of_masks(
    path: Path,
    maps: str | None,
    input_sparsity: str | None,
    config: Config,
    technology: str | None,
    clock_mhz: float | None,
) -> Estimate:
    from sim.commands.analyze import parse_maps
    from sim.mask_estimate import estimate_masks
    from sim.models.masks import load_masks

    layers = load_masks(path)
    names = [layer.name for layer in layers]
    if maps is None:
        raise BadInput(
            f"{path} holds masks: --maps is missing, the sides of the layers' maps; "
            f"allowed: one a layer, in order: {', '.join(names)}"
        )
    if input_sparsity is None:
        raise BadInput(
            f"{path} holds masks: --input-sparsity is missing, the share of steps without a spike; "
            "allowed: one, or one a layer"
        )
    try:
        shares = [float(text) for text in input_sparsity.split(",")]
    except ValueError:
        raise BadInput(f"--input-sparsity {input_sparsity}; allowed: numbers from 0 to 1") from None
    if len(shares) == 1:
        shares *= len(layers)
    if len(shares) != len(layers):
        raise BadInput(
            f"--input-sparsity: {len(shares)} for {len(layers)} layers; allowed: one, or one a layer"
        )
    return estimate_masks(
        layers,
        parse_maps(maps, names),
        shares,
        config,
        model=str(path),
        technology=technology,
        clock_mhz=clock_mhz,
    )


def print_estimate(found: Estimate) -> None:
    """The table, and a line or two below it."""
    from sim.reports.table import print_table

    more: dict[str, dict[str, float]] = {}  # columns, by header: cycles by layer, of all by ""
    if found.overlap is not None:
        more["in a row (cycles)"] = _by_layer(found.overlap, "period_cycles")
    if found.batch is not None:
        header = f"in batches of {found.batch['size']} (cycles)"
        more[header] = _by_layer(found.batch, "image_cycles")

    def cells(name: str, row: dict) -> list[object]:
        shown = row | {field: f"{row[field]:,.0f}" for field in ("cycles", "energy")}
        others = [f"{cycles.get(row.get('name', ''), 0):,.0f}" for cycles in more.values()]
        return [name, *(shown[field] for field in COLUMNS), *others]

    print_table(
        f"{found.model}: {found.config.n_pe} PEs, per image",
        ("layer", *COLUMNS.values(), *more),
        [cells(row["name"], row) for row in found.layers],
        cells("total", found.totals),
    )
    click.echo(found.verdict)


def _by_layer(numbers: dict, total: str) -> dict[str, float]:
    return {row["name"]: row["cycles"] for row in numbers["layers"]} | {"": numbers[total]}


def print_both(estimates: Mapping[str, Estimate]) -> None:
    """Both machines in one table, and a line of each below it."""
    from sim.reports.table import print_table
    from sim.side_by_side import table

    first = next(iter(estimates.values()))
    methods = {
        name: [(found.method or "", found.layers, found.totals)]
        for name, found in estimates.items()
    }
    print_table(f"{first.model}: {first.config.n_pe} PEs, per image", *table(methods, "cycles"))
    for name, found in estimates.items():
        click.echo(f"{name}: {found.verdict}")
