"""`uticket sweep`: the models over many designs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from sim.options import hardware_option, technology_option


@click.command(short_help="Cycles, energy and area over many designs.")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="A .csv or .parquet file, one row a point. [default: build/sweep/SPEC.csv]",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes. [default: one a core]")
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A Dask scheduler, tcp://HOST:PORT, instead of processes.",
)
@click.option(
    "--spot-checks",
    default=5,
    show_default=True,
    type=click.IntRange(min=0),
    help="Configurations whose RTL is built and compared.",
)
@hardware_option
@technology_option
def command(
    spec: Path,
    out: Path | None,
    jobs: int | None,
    scheduler: str | None,
    spot_checks: int,
    hardware: Path | None,
    technology: str | None,
) -> int:
    """Evaluate every point of SPEC, a YAML of axes (docs/sweep.md). --hardware says what they leave out.

    A sweep that was killed goes on where it stopped. Exit status: 1 where the RTL of a spot check
    says something else than the cycle model.
    """
    from sim.explore import page, run, spot_check
    from sim.explore.spec import BASE, load_spec
    from sim.models.eq3 import energies
    from sim.options import refuse_given, replaced
    from sim.reports.progress import Steps
    from sim.rtl.harness import RtlError
    from support.errors import BadInput
    from support.files import BUILD, file_to_write
    from support.processes import cores

    if scheduler is not None:
        refuse_given(("jobs",), "with --scheduler, whose workers it does not start")
    energies(technology)  # refuses an unknown one before the work
    wanted = replace(load_spec(spec, replaced(BASE, hardware)), technology=technology)
    path = out or BUILD / "sweep" / f"{spec.stem}.csv"
    if path.suffix not in (".csv", ".parquet"):
        raise BadInput(f"--out {path}: allowed: a .csv or a .parquet file")
    run.check_format(path)
    file_to_write(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = spot_check.drawn_points(wanted, spot_checks)
    checks = []
    with Steps(2 + bool(drawn)) as steps:
        steps.step(f"{len(wanted.points)} points", len(wanted.points))
        before: list[int] = []

        def done(count: int) -> None:
            before.append(count)
            for _ in range(count):
                steps.part()

        rows = run.run(
            wanted,
            path.with_suffix(".journal"),
            jobs=jobs or cores(),
            scheduler=scheduler,
            done=done,
        )
        if drawn:
            steps.step(f"RTL of {len(drawn)} configurations", len(drawn))
            try:
                for point in drawn:
                    checks.append(spot_check.spot_check(point, wanted))
                    steps.part()
            except RtlError as error:
                click.echo(f"uticket: error: {point.on(wanted.base)}: {error}", err=True)
                return 1
        steps.step(f"report: {path}")
        run.write_rows(rows, path)
        page.write(spec.stem, rows, checks, path.with_suffix(".html"))
    for check in checks:
        told = check.mismatch or f"{check.cycles:,} cycles equal the cycle model's"
        click.echo(
            f"RTL: {check.point.n_pe} PEs, {check.point.lanes} lanes, {check.point.accumulators} "
            f"accumulators, {check.point.scratchpad_depth} words; {check.layers} layers: {told}"
        )
    click.echo(f"{len(rows)} points: {path}")
    return 1 if any(check.mismatch for check in checks) else 0
