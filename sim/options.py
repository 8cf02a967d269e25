"""Options that commands share: of those that take a MODEL, and of those that take a cell library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from support.errors import BadInput

if TYPE_CHECKING:
    from hw.config import Config
    from sim.catalog import Model


LIBERTY = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
"""Of Debian's package qflow-tech-osu018: 180 nm, Oklahoma State University."""


def library_options(function: Callable) -> Callable:
    """--liberty and --node."""
    for option in (
        click.option(
            "--node", type=click.IntRange(min=32), help="Of the library, nm, if not known."
        ),
        click.option(
            "--liberty",
            type=click.Path(path_type=Path),
            default=LIBERTY,
            show_default=True,
            help="Standard cells.",
        ),
    ):
        function = option(function)
    return function


def refuse_given(names: Sequence[str], why: str) -> None:
    """Raises BadInput for the first of the running command's options that was given, and not by default.

    names: the parameters'. why: what they would have no effect on, and what is allowed.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in names and (
            context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
        ):
            raise BadInput(f"{parameter.opts[-1]} {why}")


class Images(click.ParamType):
    """How many of the test images, at least 1, or a file of a user's (sim/images.py)."""

    name = "N|FILE.npz"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Path:
        """An int or a path."""
        text = str(value)
        if text.endswith(".npz"):
            return Path(text)
        if not text.isdecimal() or int(text) < 1:
            self.fail(f"{text!r}; allowed: a whole number, at least 1, or an .npz file", param, ctx)
        return int(text)


hardware_option = click.option(
    "--hardware",
    type=click.Path(path_type=Path),
    help="YAML of hardware fields, and perhaps a preset to start from. [default: paper]",
)
"""Of commands without a MODEL: it starts from preset `paper`."""
model_hardware_option = click.option(
    "--hardware",
    type=click.Path(path_type=Path),
    help="YAML of hardware fields that replace the model's.",
)
images_option = click.option(
    "--images",
    default="1",
    show_default=True,
    type=Images(),
    help="So many test images, or your own: an .npz of images and labels (docs/library.md).",
)
technology_option = click.option(
    "--technology",
    metavar="NAME|FILE.yaml",
    help="Of energy: 32nm, 32nm-hp, ... or your own (docs/energy.md). "
    "[default: Eq. 3 as fitted to the paper, components of 32nm]",
)
machine_option = click.option(
    "--machine",
    help="sweep, the paper's array, or event (docs/event.md); instead of the hardware's.",
)
"""Of commands that run, compile or export either."""
machines_option = click.option(
    "--machine",
    help="sweep, the paper's array, event (docs/event.md), or both; instead of the model's.",
)
"""Of commands that can run both side by side; see `machines_of`."""


def batch_option(text: str) -> Callable:
    """--batch, whose help is `text`; see `check_rows`."""
    return click.option("--batch", type=int, metavar="B", help=text)


def overlap_option(text: str) -> Callable:
    """--overlap of commands that are told how many images there are, whose help is `text`; see `check_rows`."""
    return click.option("--overlap", is_flag=True, help=text)


def check_rows(
    configs: Sequence[Config],
    *,
    overlap: bool,
    batch: int | None,
    images: int | Path | None = None,
) -> None:
    """Raises BadInput for images in a row or in batches that these machines do not run, or for both.

    overlap: whether they are asked for in a row. batch: in batches of so many. images: as of `images_option`; a
    number is checked before anything is read.
    """
    from sim.rtl.batches import check_counts, check_size
    from sim.rtl.rows import check_images

    for option, given in (("--overlap", overlap), ("--batch", batch is not None)):
        if given and any(config.machine != "event" for config in configs):
            raise BadInput(f"{option}: machine sweep cannot; allowed: machine event")
    if overlap and batch is not None:
        raise BadInput("--batch and --overlap; allowed: one of them")
    if batch is not None:
        check_size(batch)
    if isinstance(images, int) and overlap:
        check_images(images)
    if isinstance(images, int) and batch is not None:
        check_counts(images, batch)


def json_option(text: str = "Write the result here.") -> Callable:
    """--json, whose help is `text`."""
    return click.option("--json", "json_path", type=click.Path(path_type=Path), help=text)


def model_options(function: Callable) -> Callable:
    """MODEL, --method, --n-pe and --hardware."""
    for option in (
        model_hardware_option,
        click.option("--n-pe", type=int, help="PEs, instead of the model's."),
        click.option(
            "--method", help="The ticket: uticket, lth, sort, ... [default: the model's first]"
        ),
        click.argument("model"),
    ):
        function = option(function)
    return function


BOTH = "both"
"""Instead of a machine's name: one after the other."""


def machines_of(
    model: Model, hardware: Path | None, n_pe: int | None, machine: str | None
) -> list[Config]:
    """What `machines_option` asks for: one configuration, or one of each machine.

    Raises BadInput for an unknown machine, else as `hardware_of`.
    """
    from hw.config import MACHINES

    if machine not in (None, BOTH, *MACHINES):
        raise BadInput(f"machine = {machine!r}, allowed: {', '.join((*MACHINES, BOTH))}")
    names = MACHINES if machine == BOTH else [machine]
    return [hardware_of(model, hardware, n_pe, name) for name in names]


def hardware_of(
    model: Model, hardware: Path | None, n_pe: int | None, machine: str | None = None
) -> Config:
    """The model's hardware with what the options replace. Raises ValueError for what no array has."""
    return replaced(model.hardware, hardware, n_pe, machine, ticks=model.hardware.ticks)


def replaced(
    config: Config,
    hardware: Path | None,
    n_pe: int | None = None,
    machine: str | None = None,
    *,
    ticks: int | None = None,
) -> Config:
    """A configuration with the fields of a YAML, then what the options say. Raises as `hardware_of`.

    ticks: as of `sim.catalog.load_hardware`.
    """
    from sim.catalog import load_hardware

    if hardware is not None:
        config = load_hardware(hardware, config, ticks=ticks)
    if machine is not None:
        config = replace(config, machine=machine)
    return config if n_pe is None else replace(config, n_pe=n_pe)
