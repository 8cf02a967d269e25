"""What `uticket check` and `uticket import` share: options, reading, printing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hw.neuron import RESETS
from sim.options import hardware_option, replaced

if TYPE_CHECKING:
    from sw.importers.door import Imported
    from sw.importers.fit import Report
    from sw.importers.graph import Choice

ENCODINGS = ("image", "spikes")


class Numbers(click.ParamType):
    """Numbers with commas between them."""

    name = "numbers"

    def __init__(self, kind: type, most: int | None = None) -> None:
        self.kind, self.most = kind, most

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """A tuple. Fails naming the text."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self.kind(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if not numbers or (self.most and len(numbers) > self.most):
            allowed = f"1 to {self.most} numbers" if self.most else "numbers"
            self.fail(f"{value!r}; allowed: {allowed} with commas between them", param, ctx)
        return numbers


def import_options(function: Callable) -> Callable:
    """NETWORK and what its file does not say."""
    for option in reversed((
        click.argument("network"),
        click.option(
            "--input", "shape", type=Numbers(int, 3), required=True, metavar="C,H,W",
            help="What the network sees: channels, height, width.",
        ),
        click.option("--ticks", type=click.IntRange(min=1), required=True, help="Timesteps."),
        click.option("--dt", type=float, help="Of a tick, in the file's unit of time (NIR)."),
        click.option(
            "--reset", type=click.Choice(RESETS),
            help="What a neuron does after firing, where the file cannot say it.",
        ),
        click.option(
            "--start", type=click.Choice(["zero", "half"]), default="zero", show_default=True,
            help="Potentials before the first tick: 0, or half the threshold.",
        ),
        click.option(
            "--encoding", type=click.Choice(ENCODINGS),
            help="The input: pixels, or spikes for each tick. [default: as --images, else image]",
        ),
        click.option("--mean", type=Numbers(float), help="Of pixel / 255, a number a channel."),
        click.option("--std", type=Numbers(float), help="Of pixel / 255, a number a channel."),
        click.option("--round-leak", is_flag=True, help="Take the nearest leak; its error is said."),
        click.option(
            "--weights", type=click.Path(path_type=Path),
            help="A state dict for FILE.py:FUNCTION: .safetensors, .pt.",
        ),
        click.option("--trust", is_flag=True, help="Open a pickle that can run code."),
        hardware_option,
    )):  # fmt: skip
        function = option(function)
    return function


def opened(
    network: str,
    shape: tuple[int, ...],
    ticks: int,
    dt: float | None,
    reset: str | None,
    start: str,
    encoding: str | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    round_leak: bool,
    weights: Path | None,
    trust: bool,
    hardware: Path | None = None,
    dimensions: int | None = None,
) -> Imported:
    """The network. dimensions: of the images that are there, 5 of spikes."""
    from hw.config import LANES, Config
    from sw.importers.door import Scaling, imported, read
    from sw.importers.graph import Options

    full = (*shape, 1, 1)[:3]
    spikes = None if encoding is None else encoding == "spikes"
    if spikes is None and dimensions is not None:
        spikes = dimensions == 5
    options = Options(
        shape=(full[0], full[1], full[2]),
        ticks=ticks,
        dt=dt,
        reset=reset,
        start=start,
        spikes=spikes,
        round_leak=round_leak,
    )
    graph = read(network, options, weights=weights, trust=trust)
    sizes = None
    if hardware is not None:
        most = min(ticks, LANES)
        sizes = replaced(Config(ticks=most), hardware, ticks=most)
    return imported(graph, options, Scaling(mean=mean, std=std), sizes)


def print_report(report: Report) -> None:
    """A line a layer and machine, then what was decided and by whom, each once."""
    from hw.config import MACHINES

    for fit in report.layers:
        click.echo(f"{fit.name}: {fit.becomes}")
        click.echo(f"    from {' + '.join(fit.nodes)}")
        for machine in MACHINES:
            click.echo(f"    {machine:8}{fit.why_not[machine] or 'runs'}")
        for text in fit.approximate:
            click.echo(f"    approximate: {text}")
    print_choices("network", report.choices)
    shown: tuple[Choice, ...] = ()
    for fit in report.layers:
        if fit.choices and fit.choices != shown:
            print_choices(f"{fit.name} and on" if shown == () else fit.name, fit.choices)
            shown = fit.choices
    click.echo(f"\nverdict: {report.verdict}")


def print_choices(where: str, choices: tuple[Choice, ...]) -> None:
    """A line a choice."""
    click.echo(f"\n{where}:")
    for choice in choices:
        click.echo(f"    {choice.what:20}{choice.value}  ({choice.source})")


def verdict_status(report: Report) -> int:
    """Exit status."""
    return {"exact": 0, "approximate": 1, "refused": 2}[report.verdict]
