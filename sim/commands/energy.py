"""`uticket energy`: Eq. 3 and its components for any counts."""

from __future__ import annotations

from pathlib import Path

import click

from sim.options import json_option


@click.command(short_help="Energy of any counts: Eq. 3, and by component.")
@click.option("--work", required=True, type=float, help="Steps, over all PEs.")
@click.option("--idle", required=True, type=float, help="Steps at the barrier, over all PEs.")
@click.option(
    "--spike-sparsity", required=True, type=float, help="Share of the steps without a spike."
)
@click.option("--ratio", type=float, help="E_leak / E_dyn, instead of a technology's.")
@click.option(
    "--technology",
    metavar="NAME",
    help="A file of sim/models/technologies: 32nm, 32nm-hp, ...  [default: paper, Eq. 3 with ratio 0.21]",
)
@click.option(
    "--accounting",
    default="paper",
    show_default=True,
    type=click.Choice(["paper", "rtl"]),
    help="A scratchpad read an accumulate and 256 adders, or what this RTL does.",
)
@click.option(
    "--lif-updates", default=0.0, type=float, help="(neuron, tick) pairs; Eq. 3 has none."
)
@json_option()
def command(
    work: float,
    idle: float,
    spike_sparsity: float,
    ratio: float | None,
    technology: str | None,
    accounting: str,
    lif_updates: float,
    json_path: Path | None,
) -> None:
    """Energy of WORK and IDLE steps of which a share has no spike (docs/energy.md).

    With a ratio (or technology `paper`, whose ratio is 0.21) Eq. 3 in two constants; with a table of
    components line by line. `energy` is in units of E_dyn, the energy of an accumulate.
    """
    from sim.models.eq3 import answer
    from sim.reports.table import print_table
    from support.files import write_json

    result = answer(
        work=work,
        idle=idle,
        spike_sparsity=spike_sparsity,
        ratio=ratio,
        technology=technology,
        accounting=accounting,
        lif_updates=lif_updates,
    )
    if json_path is not None:
        write_json(json_path, result)
    parts = ("dynamic_pj", "ungated_pj", "leakage_pj")
    lines = result["components"]

    def row(name: str, values: list[float]) -> list[str]:
        return [name, *(f"{value:,.1f}" for value in (*values, sum(values)))]

    sums = [sum(line[part] for line in lines.values()) for part in parts]
    print_table(
        f"{result['technology']}, accounting {accounting}: E_leak / E_dyn = {result['ratio']:.4f}, "
        f"E_dyn = {result['e_dyn_pj']:.4f} pJ; energy = {result['energy']:,.1f} E_dyn",
        ("component", "dynamic (pJ)", "ungated (pJ)", "leakage (pJ)", "total (pJ)"),
        [row(name, [line[part] for part in parts]) for name, line in lines.items()],
        row("total", sums),
    )
