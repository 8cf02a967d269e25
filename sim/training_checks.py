"""What `uticket train` checks before it trains: ticks, layers, and room for a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from support.errors import BadInput
from sw import networks, rows
from sw.importers import fit
from sw.layers import Network

if TYPE_CHECKING:
    from sim.catalog import Model
    from sw.datasets import Dataset
    from sw.layers import Layer
    from sw.schedule import Schedule


def ticks(model: Model, dataset: Dataset) -> int:
    """Of the network. Raises BadInput where event frames have another number."""
    if dataset.ticks is None:
        return model.ticks or model.hardware.ticks
    if model.ticks not in (None, dataset.ticks):
        raise BadInput(
            f"{model.name}: ticks = {model.ticks}; allowed: {dataset.ticks}, as {dataset.name} has frames"
        )
    return dataset.ticks


def layers(model: Model, dataset: Dataset, wanted: int) -> tuple[Layer, ...]:
    """The network for the images of a data set, of `wanted` ticks.

    Raises BadInput where they do not meet, or the model's hardware does not run it.
    """
    try:
        if model.rows:
            found = rows.build(model.rows, dataset.input, model.neuron)
        else:
            found = networks.build(
                model.network or "", in_channels=dataset.channels, classes=dataset.classes
            )
        network = Network(input=dataset.input, layers=found)
        network.shapes()
    except ValueError as error:
        raise BadInput(f"{model.name}: {error}") from None
    if found[-1].filters < dataset.classes:
        raise BadInput(
            f"{model.name}: {found[-1].filters} classes in the last layer; allowed: "
            f"{dataset.classes} or more, as {dataset.name} has"
        )
    for machines in fit.why_not(network, wanted, model.hardware).values():
        if why := machines[model.hardware.machine]:
            raise BadInput(f"{model.name}: {why}")
    return found


def check_room(folder: Path, schedule: Schedule, parameters: int) -> None:
    """Raises BadInput where a run cannot keep its checkpoints, or its network in memory."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    # network, momentum, values of cleared weights, perhaps a state to rewind to, masks; dense, method, one
    # that is being written
    disk = 3 * parameters * (4 * (4 if schedule.rewind_images else 3) + 1)
    free = shutil.disk_usage(there).free
    if free < disk:
        raise BadInput(
            f"{folder}: {free >> 20} MiB are free; a run's checkpoints need {disk >> 20}"
        )
    memory = 10 * 4 * parameters
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # another kernel
        return
    available = next(
        (int(i.split()[1]) << 10 for i in lines if i.startswith("MemAvailable")), memory
    )
    if available < memory:
        raise BadInput(
            f"{available >> 20} MiB of memory are free; a run needs at least {memory >> 20}"
        )
