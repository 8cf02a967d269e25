"""`uticket check`: what of somebody's network runs on the array, layer by layer, and why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sim.import_options import import_options, opened, print_report, verdict_status
from sim.options import json_option


@click.command(short_help="Which layers of a NIR file or PyTorch module run here, and why not.")
@import_options
@json_option("Also write the report here.")
def command(json_path: Path | None, **given: Any) -> int:
    """Print, for each layer of NETWORK, what it becomes on each machine, or what it would have to be.

    NETWORK is a NIR file, or FILE.py:FUNCTION, where FUNCTION() returns a torch module. Exit status: 0 it runs
    exactly, 1 it runs with the approximation that is printed, 2 it cannot run.
    """
    from support.errors import BadInput
    from support.files import file_to_write, write_json
    from sw.importers.fit import refusal
    from sw.importers.graph import Refused

    file_to_write(json_path)
    try:
        report = opened(**given).report
    except Refused as error:
        if json_path:
            write_json(json_path, refusal(error).to_dict())
        raise
    if json_path:
        write_json(json_path, report.to_dict())
    print_report(report)
    if report.reason:
        raise BadInput(report.reason)
    return verdict_status(report)
