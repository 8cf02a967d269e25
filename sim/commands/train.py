"""`uticket train`: train, prune, balance and write a model's tickets."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from support.errors import BadInput
from sw.compile_cache import drop_damaged

if TYPE_CHECKING:
    from hw.config import Config
    from sim.catalog import Model
    from sim.reports.progress import TrainingBar
    from sw.datasets import Dataset
    from sw.devices import Devices
    from sw.layers import Layer
    from sw.train import Trainer

POLICIES = {"lth": "none", "uticket": "magnitude"}
"""Balancing policy of each method that is trained; other methods are made from its ticket."""
SEED = 1  # of the tickets that ship


@click.command()
@click.argument("model")
@click.option("--method", help=f"One of {', '.join(POLICIES)}; all of them if left out.")
@click.option(
    "--schedule",
    help="A name of sw/schedules.py, or NAME:FACTOR with so many times the images; default: the model's.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Scale the schedule to about so many minutes here, for all methods together.",
)
@click.option("--seed", default=SEED, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all if left out.")
@click.option("--images", default=10_000, show_default=True, help="Test images for the accuracy.")
@click.option(
    "--weight-bits",
    type=click.Choice(["16", "8", "4"]),
    help="Default: the model's. Below 16 the last rounds train with quantized weights; other "
    "bits than the model's give a ticket of their own, METHOD_Nbit.npz.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the tickets. [default: the model's]",
)
@click.option("--force", is_flag=True, help="Write over tickets that git tracks, without asking.")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), help="Default: cuda where there is a GPU."
)
@click.option(
    "--compile/--no-compile",
    "compiled",
    default=True,
    show_default=True,
    help="Compile the neurons; they run uncompiled where no compiler works.",
)
def command(
    model: str,
    method: str | None,
    schedule: str | None,
    minutes: float | None,
    seed: int,
    threads: int | None,
    images: int,
    weight_bits: str | None,
    out: Path | None,
    force: bool,
    device: str | None,
    compiled: bool,
) -> None:
    """Train MODEL's tickets from nothing, or go on where a run stopped (build/train).

    A ticket that git tracks is written over with --force alone, any other that is there after a
    question, where there is a terminal to ask on.

    On several devices: torchrun --nproc-per-node=N -m sim.cli train MODEL (docs/training.md).
    """
    from sim.catalog import load_model
    from sw import schedules

    chosen = load_model(model)
    schedule = schedule or chosen.schedule
    if schedule:
        schedules.named(schedule)  # a wrong name, before anything is loaded
    trained = [name for name in chosen.methods if name in POLICIES]
    if method is not None and method not in trained:
        raise BadInput(f"METHOD {method!r} is not trained; allowed: {', '.join(trained)}")
    if chosen.network is None or chosen.dataset is None:
        raise BadInput(f"{model} is a single ticket; allowed: a MODEL that names its network")
    methods = [method] if method else trained
    hardware = replace(chosen.hardware, weight_bits=int(weight_bits or chosen.hardware.weight_bits))
    files = _files(
        chosen, methods, "" if hardware == chosen.hardware else f"_{weight_bits}bit", out
    )
    if not force:
        _ask(files.values())
    _start_pytorch(threads)
    from sim import training_checks
    from sim.reports.progress import TrainingBar
    from sw import datasets, own_data
    from sw.devices import connected, default_device

    dataset = own_data.read(chosen.data) if chosen.data else datasets.load(chosen.dataset)
    schedule = schedule or schedules.default(frames=dataset.ticks is not None)
    ticks = training_checks.ticks(chosen, dataset)
    layers = training_checks.layers(chosen, dataset, ticks)
    with connected(device or default_device()) as devices, TrainingBar(devices.first) as bar:
        run = _Run(
            chosen, hardware, dataset, layers, ticks, seed, images, devices, bar, compiled, files
        )
        if minutes:
            schedule = run.fitted(schedule, minutes, methods)
        for name in methods:
            run.train(name, schedule)


def _files(
    model: Model, methods: Sequence[str], suffix: str, folder: Path | None
) -> dict[str, Path]:
    """Where the ticket of each method goes: to the model's file, or into a folder under its name."""
    known = {name: model.methods[name].ticket for name in methods}
    return {
        name: (folder / path.name if folder else path).with_stem(path.stem + suffix)
        for name, path in known.items()
    }


def _ask(files: Iterable[Path]) -> None:
    """Before work that would write over files. Raises BadInput for those in git, Abort for a no."""
    for path in files:
        if not path.exists():
            continue
        if _in_git(path):
            raise BadInput(f"{path}: git tracks this ticket; allowed: --out FOLDER, or --force")
        if sys.stdin.isatty():
            click.confirm(f"{path} is there; write over it when training has ended?", abort=True)


def _in_git(path: Path) -> bool:
    command = ["git", "-C", str(path.absolute().parent), "ls-files", "--error-unmatch", "--"]
    try:
        return (
            subprocess.run([*command, path.name], capture_output=True, check=False).returncode == 0
        )
    except OSError:  # no git, so nothing is tracked
        return False


def _start_pytorch(threads: int | None) -> None:
    """Import PyTorch as training wants it. Raises BadInput where it is missing."""
    # PyTorch reads both when it starts: large pages, and a place for compiled layers that `make clean` clears
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    cache = os.environ.setdefault(
        "TORCHINDUCTOR_CACHE_DIR", str(Path("build").absolute() / "inductor")
    )
    if damaged := drop_damaged(Path(cache)):
        click.echo(f"{cache}: compiled layers that were cut short, compiled anew: {damaged}")
    try:
        import torch
    except ImportError:
        raise BadInput("PyTorch is missing; `make .venv/train` installs it") from None
    from sw.devices import keep_freed_memory

    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Run:
    """One call of the command."""

    model: Model
    hardware: Config
    dataset: Dataset
    layers: tuple[Layer, ...]
    ticks: int
    seed: int
    images: int
    """Of the test set, for the accuracies."""
    devices: Devices
    bar: TrainingBar
    compiled: bool
    files: dict[str, Path]
    """Of the ticket of each method."""

    @property
    def _suffix(self) -> str:
        other = self.hardware != self.model.hardware
        return f"_{self.hardware.weight_bits}bit" if other else ""

    def _folder(self, schedule: str) -> Path:
        return Path("build") / "train" / self.model.name / schedule

    def _trainer(self, method: str, schedule: str) -> Trainer:
        from sw import schedules
        from sw.train import Trainer

        plan = replace(
            schedules.named(schedule),
            weight_bits=self.hardware.weight_bits,
            mirror=self.model.mirror,
        )
        plan = plan.at_ticks(self.ticks, frames=self.dataset.ticks is not None)
        if self.model.sparsity is not None:
            plan = plan.at_sparsity(self.model.sparsity)
        from sim import training_checks

        folder = self._folder(schedule)
        training_checks.check_room(
            folder,
            plan,
            sum(
                math.prod(s.weight_shape(layer.filters))
                for layer in self.layers
                for s in layer.learned
            ),
        )
        return Trainer(
            self.layers,
            self.dataset,
            plan,
            policy=POLICIES[method],
            n_pe=self.hardware.n_pe,
            seed=self.seed,
            folder=folder,
            log=self.bar.log,
            watch=self.bar if self.bar.shown else None,
            devices=self.devices,
            fused=self.compiled,
        )

    def fitted(self, schedule: str, minutes: float, methods: list[str]) -> str:
        """`schedule` with the factor that takes about `minutes`; the one found before, where there is one."""
        note = self._folder(f"{schedule}_{minutes:g}min").with_suffix(".txt")
        if not note.is_file():
            probe = self._trainer(methods[0], schedule)
            seconds = probe.seconds_left(again=len(methods) - 1)
            kind, _, before = schedule.partition(":")
            factor = float(before or 1) * minutes * 60 / seconds
            self.devices.wait()
            if self.devices.first:
                note.parent.mkdir(parents=True, exist_ok=True)
                note.write_text(f"{kind}:{factor:.3g}")
            self.devices.wait()
        fitted = note.read_text()
        if self.devices.first:
            self.bar.log(f"schedule {fitted} fits {minutes:g} minutes ({note})")
        return fitted

    def train(self, method: str, schedule: str) -> None:
        """Train a method and write its ticket."""
        from sw import ticket
        from sw.make_ticket import make_ticket

        if self.devices.first:
            self.bar.log(
                f"training {self.model.name} {method}, schedule {schedule}, seed {self.seed}"
            )
        self._trainer(method, schedule).run(method + self._suffix)
        if self.devices.first:
            result = make_ticket(
                self._folder(schedule) / f"{method}{self._suffix}.pt",
                self.dataset,
                network=self.model.network or "",
                layers=self.layers,
                method=method,
                schedule=schedule,
                policy=POLICIES[method],
                n_pe=self.hardware.n_pe,
                seed=self.seed,
                config=self.hardware,
                ticks=self.ticks,
                images=self.images,
                log=self.bar.log,
            )
            out = self.files[method]
            ticket.save(result, out)
            self.bar.log(f"wrote {out}")
        self.devices.wait()
