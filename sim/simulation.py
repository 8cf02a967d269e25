"""What `uticket sim` does, step by step: deployments through the RTL, and the report of it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from hw.config import Config
from sim import deployment
from sim.catalog import Model
from sim.deployment import LOWERING
from sim.models.eq3 import energies
from sim.reports import run_report
from sim.reports.progress import Steps
from sim.reports.run_report import Report
from sim.rtl import batches, rows, runner
from sim.rtl.harness import Rtl
from support.errors import BadInput


def simulate(
    model: Model,
    method: str | None,
    config: Config,
    *,
    images: int | Path,
    folder: Path,
    trace: str | None = None,
    dump: Path | None = None,
    technology: str | None = None,
    view: str = "spikes",
    overlap: bool = False,
    batch: int | None = None,
) -> Report:
    """Run the method and its baseline; nothing is written but what is asked.

    images: how many of the test images, or a user's file (`sim.images.read_images`).
    folder: gets the waveform of layer `trace`. dump: gets the maps of every image. technology: name or
    path of a YAML, of energy. view: of energy. overlap: the method's images run once more, in a row, the next one's
    input coming while the one before runs. batch: they run once more, in batches of so many, late layers' weights loaded once
    for each.
    Raises BadInput for what cannot run, RtlError where the RTL errs or hangs.
    """
    energies(technology)  # refuses an unknown one before the work
    methods = model.compared(method)
    names = " and ".join(one.name for one in methods)
    with (
        Steps(5 + LOWERING + 2 * (trace is not None) + overlap + (batch is not None)) as steps,
        ExitStack() as stack,
    ):
        steps.step(f"load ticket: {names}")
        beside = model.beside(methods) if len(methods) > 1 else []
        deployed = deployment.deployments(model, [*methods, *beside], config)
        proved, modelled = deployed[: len(methods)], deployed[len(methods) :]
        pixels, labels = deployed[0].images(images)
        layers = [layer.name for layer in deployed[0].ticket.network.array]
        if trace is not None and trace not in layers:
            raise BadInput(f"--trace {trace}: no layer of the array; allowed: {', '.join(layers)}")
        check_counts(len(pixels), overlap, batch)
        deployment.lower(deployed, steps.step)
        row_program = rows.row_program(deployed[0].program) if overlap else None
        programs = None if batch is None else batches.batch_of(deployed[0].loaded, batch)
        steps.step("build the RTL, or take it from the cache")
        rtl = stack.enter_context(Rtl(config))
        if trace is not None:
            steps.step("build the RTL with waveforms, or take it from the cache")
            tracer = stack.enter_context(runner.tracing_rtl(config))
        steps.step("cycle model")
        loaded = [one.loaded for one in deployed]
        count = len(pixels) * len(deployed)
        steps.step(f"golden model, RTL and comparison: {len(pixels)} x {names}", count)
        runs = deployment.run_all(
            proved, pixels, rtl=rtl, modelled=modelled, dump=dump, done=steps.part
        )
        row = None
        if row_program is not None:
            steps.step(f"images in a row: {len(pixels)} x {methods[0].name}")
            row = rows.run_row(rtl, loaded[0], row_program, pixels)
        found = None
        if programs is not None:
            steps.step(f"images in batches of {batch}: {len(pixels)} x {methods[0].name}")
            found = batches.run_batches(rtl, loaded[0], programs, pixels)
        if trace is not None:
            path = folder / f"{trace}.fst"
            steps.step(f"waveform: {path}")
            runner.trace_layer(tracer, loaded[0], pixels[0], trace, path)
        steps.step(f"report: {folder}")
        return run_report.build(
            model.name,
            runs[0],
            runs[1] if len(methods) > 1 else None,
            labels,
            beside=runs[len(methods) :],
            technology=technology,
            view=view,
            row=row,
            batch=found,
        )


def check_counts(images: int, overlap: bool, size: int | None) -> None:
    """Raises BadInput unless so many images are a row, and whole batches of `size`, where these are asked for."""
    if overlap:
        rows.check_images(images)
    if size is not None:
        batches.check_counts(images, size)
