"""`uticket paper`: the paper's tables and figures from our own tickets."""

from __future__ import annotations

from pathlib import Path

import click

from sim.options import model_hardware_option, technology_option


@click.command(short_help="The paper's tables and figures, from our tickets.")
@click.argument("models", nargs=-1)
@click.option(
    "--images", default=2, show_default=True, type=click.IntRange(min=1), help="Test images."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the report. [default: build/paper]"
)
@model_hardware_option
@technology_option
def command(
    models: tuple[str, ...],
    images: int,
    out: Path | None,
    hardware: Path | None,
    technology: str | None,
) -> None:
    """Compute every table and figure of the paper for MODELS (by default all of tickets/).

    Uses the golden and the cycle model on shipped tickets; nothing is trained. Writes paper.html,
    paper.json and a CSV for each table (docs/paper.md).
    """
    import importlib
    from dataclasses import replace

    from sim.catalog import known_models, load_model
    from sim.options import replaced
    from sim.paper import FIGURES
    from sim.paper.claims import claims
    from sim.paper.document import Paper, write
    from sim.paper.pairs import load_pairs
    from sim.reports.progress import Steps
    from sim.reports.provenance import provenance
    from support.errors import BadInput
    from support.files import BUILD, folder_to_write

    folder_to_write(out)
    folder = out or BUILD / "paper"
    chosen = []
    for name in models or known_models():
        model = load_model(name)
        config = replaced(model.hardware, hardware)
        if config.machine != "sweep":
            raise BadInput(f"{name}: machine = {config.machine!r}; allowed for the paper: sweep")
        chosen.append(replace(model, hardware=config))
    with Steps(len(chosen) + 2) as steps:
        pairs, missing = load_pairs(chosen, images=images, technology=technology, step=steps.step)
        for line in missing:
            click.echo(f"left out: {line}")
        if not pairs:
            raise BadInput(f"no model has both an lth and a uticket ticket ({'; '.join(missing)})")
        steps.step("tables and figures", len(FIGURES) + 1)
        sections = []
        for name in FIGURES:
            sections.append(importlib.import_module(f"sim.paper.{name}").section(pairs))
            steps.part()
        found = claims(pairs)
        steps.part()
        steps.step(f"report: {folder}")
        paper = Paper(
            claims=found,
            sections=sections,
            models=[pair.name for pair in pairs],
            missing=missing,
            images=images,
            provenance=provenance(
                {
                    f"{pair.name} {study.method}": study.deployment.sha256
                    for pair in pairs
                    for study in pair.studies
                }
            ),
        )
        write(paper, folder)
    for claim in found:
        click.echo(f"{claim.verdict:13} {claim.claim}: {claim.ours}")
