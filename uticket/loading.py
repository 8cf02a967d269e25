"""Where a `Net` comes from: a name or file of ours, a NIR file, a live PyTorch module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hw.config import MACHINES, Config
from sim.catalog import load_hardware, load_model
from sim.deployment import Deployment
from support.errors import BadInput
from uticket.net import Net, changed

if TYPE_CHECKING:
    from torch import nn


def load(
    model: str | Path,
    method: str | None = None,
    *,
    hardware: Config | str | Path | None = None,
    **fields: Any,
) -> Net:
    """A name of tickets/, a YAML or a ticket, as every command takes it.

    method: of a name or YAML, by default its first. hardware: a Config or a YAML of fields instead of the
    model's; then fields as n_pe=32. Raises BadInput or another ValueError, in one line.
    """
    chosen = load_model(str(model))
    config = chosen.hardware
    if hardware is not None:
        if isinstance(hardware, Config):
            config = hardware
        else:
            config = load_hardware(Path(hardware), config, ticks=config.ticks)
    one = Deployment.load(str(model), method, changed(config, fields))
    return Net(one, chosen.name if method is None else f"{chosen.name} {method}")


def from_nir(
    path: str | Path,
    *,
    shape: Sequence[int],
    ticks: int,
    accept: bool = False,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    **options: Any,
) -> Net:
    """A NIR file as a ticket on the hardware that it asks for; docs/import.md.

    shape: channels, height, width of the input. options: dt, reset, start, spikes, round_leak. accept: take a
    network that runs approximately, too. Raises ValueError, naming the node, for what cannot run.
    """
    from sw.importers import door
    from sw.importers.graph import Options

    wanted = Options(shape=_three(shape), ticks=ticks, **options)
    graph = door.read(str(path), wanted)
    found = door.imported(graph, wanted, door.Scaling(mean=mean, std=std))
    return _of_import(found, Path(path).stem, accept)


def from_torch(
    module: nn.Module,
    *,
    shape: Sequence[int],
    ticks: int,
    accept: bool = False,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    **options: Any,
) -> Net:
    """A live PyTorch module as a ticket on the hardware that it asks for; else as `from_nir`.

    Masks are named as the module's layers, so `apply_masks(module, net.masks)` puts them back.
    """
    from sw.importers import door
    from sw.importers.graph import Options
    from sw.importers.torch import from_module

    wanted = Options(shape=_three(shape), ticks=ticks, **options)
    found = door.imported(from_module(module, wanted), wanted, door.Scaling(mean=mean, std=std))
    return _of_import(found, type(module).__name__, accept)


def _three(shape: Sequence[int]) -> tuple[int, int, int]:
    """Of a list of numbers, too: (C,) is (C, 1, 1). What it holds, `Options` checks."""
    sides = np.asarray(shape).tolist()
    return (*sides, *[1] * (3 - len(sides)))


def _of_import(found: Any, name: str, accept: bool) -> Net:
    from sw.quantize import ticket_config

    if found.report.verdict == "approximate" and not accept:
        raise BadInput(f"approximate ({found.report.differences}); allowed with accept=True")
    ticket = found.ticket()
    machines = [
        machine
        for machine in MACHINES
        if not any(fit.why_not[machine] for fit in found.report.layers)
    ]
    config = replace(ticket_config(ticket), machine=machines[0])
    return Net(Deployment(ticket=ticket, config=config, method=name), name)
