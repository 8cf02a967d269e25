"""`uticket sim`: a ticket's network through the Verilated RTL, checked, and the report of it."""

from __future__ import annotations

from pathlib import Path

import click

from sim.options import hardware_of, model_options


@click.command(short_help="Run a ticket through the RTL, check it, report.")
@model_options
@click.option(
    "--images", default=1, show_default=True, type=click.IntRange(min=1), help="Test images."
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the report here, too."
)
@click.option(
    "--dump", type=click.Path(path_type=Path), help="Keep the maps of every image in this folder."
)
@click.option(
    "--trace", metavar="LAYER", help="Write build/sim/MODEL/LAYER.fst, of the first image."
)
@click.option(
    "--energy",
    default="spikes",
    show_default=True,
    type=click.Choice(["spikes", "input_sparsity", "network_average"]),
    help="Spike sparsity in Eq. 3: counted, of each layer's input, or one average (the paper's way).",
)
def command(
    model: str,
    method: str | None,
    images: int,
    n_pe: int | None,
    hardware: Path | None,
    json_path: Path | None,
    dump: Path | None,
    trace: str | None,
    energy: str,
) -> int:
    """Run MODEL (a name of tickets/, a YAML or a ticket) and its baseline through the RTL.

    Every spike is compared with the golden model, every PE's counters with the cycle model. The
    report goes to build/sim/MODEL/: report.json, report.html, counters.csv (docs/report.md). Exit
    status: 0 if all agreed, 1 if not, 2 for bad input.
    """
    from contextlib import ExitStack

    from sim import simulate
    from sim.catalog import load_model
    from sim.errors import BadInput
    from sim.images import first_images
    from sim.models import cycles
    from sim.reports import run_report as report
    from sim.reports.progress import Steps
    from sim.reports.table import print_table
    from sim.rtl.harness import BUILD, Rtl, RtlError

    chosen = load_model(model)
    methods = [chosen.method(method)]
    if chosen.baseline not in (None, methods[0].name):
        methods.append(chosen.method(chosen.baseline))
    config = hardware_of(chosen, hardware, n_pe)
    for path in (json_path, dump):
        if path is not None and not path.absolute().parent.is_dir():
            raise BadInput(f"{path}: there is no folder {path.absolute().parent}")
    if json_path is not None and json_path.is_dir():
        raise BadInput(f"{json_path}: a folder; allowed: a file to write the report to")
    if dump is not None and dump.exists() and not dump.is_dir():
        raise BadInput(f"{dump}: a file; allowed: a folder to keep the maps in")
    folder = BUILD / "sim" / chosen.name

    names = " and ".join(m.name for m in methods)
    count = 7 + any(m.sort for m in methods) + 2 * (trace is not None)
    try:
        with Steps(count) as steps:
            steps.step(f"load ticket: {names}")
            tickets = simulate.load_tickets(chosen, methods)
            pixels, labels = first_images(tickets[0].metadata["dataset"], images)
            steps.step(f"quantize to {config.weight_bits} bits")
            networks = simulate.quantize_tickets(tickets, config)
            if trace is not None and trace not in (layer.layer.name for layer in networks[0].array):
                known = ", ".join(layer.layer.name for layer in networks[0].array)
                raise BadInput(f"--trace {trace}: no layer of the array; allowed: {known}")
            if any(m.sort for m in methods):
                steps.step("sort filters by non-zero weights")
            orders = simulate.sort_networks(methods, networks)
            steps.step("compile")
            programs = simulate.compile_programs(
                networks, orders, config, image_side=pixels.shape[-1]
            )
            steps.step("build the RTL, or take it from the cache")
            with ExitStack() as stack:
                rtl = stack.enter_context(Rtl(config))
                if trace is not None:
                    steps.step("build the RTL with waveforms, or take it from the cache")
                    tracer = stack.enter_context(simulate.tracing_rtl(config))
                steps.step("cycle model")
                prepared = [
                    simulate.Prepared(
                        method=m,
                        metadata=ticket.metadata,
                        network=network,
                        program=program,
                        cycles=cycles.predict(program),
                    )
                    for m, ticket, network, program in zip(
                        methods, tickets, networks, programs, strict=True
                    )
                ]
                runs = images * len(methods)
                steps.step(f"golden model, RTL and comparison: {images} x {names}", runs)
                results = simulate.run_images(rtl, prepared, pixels, dump=dump, done=steps.part)
                build_s = rtl.build_s
                if trace is not None:
                    path = folder / f"{trace}.fst"
                    steps.step(f"waveform: {path}")
                    simulate.trace_layer(tracer, prepared[0], pixels[0], trace, path)
            steps.step(f"report: {folder}")
            run, *baseline = results
            result = report.build(
                chosen.name,
                config,
                run,
                baseline[0] if baseline else None,
                labels,
                build_s=build_s,
                view=energy,
            )
            report.write(result, folder, json_path)
    except RtlError as error:
        click.echo(f"uticket: error: {error}", err=True)
        return 1
    columns, rows, last = report.table_rows(result)
    print_table(f"{chosen.name}: {config.n_pe} PEs, per image", columns, rows, last)
    click.echo(result.verdict)
    return 0 if result.mismatch is None else 1
