"""Training, pruning and balancing of a ticket, resumable at any moment.

A run is a sequence of rounds (schedule.py). All state that decides the result (network, optimizer,
masks, position) is one checkpoint, written atomically, so that a killed run goes on to the same result.
The dense rounds are the same for every method and are kept as `dense.pt`; what the network without spikes
says of the training images, which teaches the others, is `answers.pt`. Checkpoints hold CPU tensors: a run may go on on another device, or on more
of them.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch

from sw import balance, checkpoint, history, norm_fire, optimizer, sparse_convolution
from sw.augment import Batches
from sw.datasets import STATISTICS, Dataset
from sw.devices import Devices
from sw.forward import Forward
from sw.history import summary
from sw.layers import Layer
from sw.masked import MaskedWeights
from sw.model import SpikingNetwork, loss
from sw.pruner import Pruner
from sw.schedule import Output, Round, Schedule

CHECKPOINT_SECONDS = 60.0
LOG_SECONDS, SHOW_SECONDS = 30.0, 1.0
Log = Callable[[str], None]


class Watch(Protocol):
    """What shows progress while a round trains (sim/reports/progress.py)."""

    def start(self, text: str, total: int) -> None:
        """A round of `total` images begins, or goes on."""

    def update(self, done: int, text: str) -> None:
        """Images of the round trained on, and how it goes."""


@dataclass
class Progress:
    """Where a run stands; part of the checkpoint."""

    round: int = 0
    images: int = 0  # seen in this round
    prunings: int = 0  # done in this round
    history: list[dict] = field(default_factory=list)


class Trainer:
    """Trains one method of one model."""

    def __init__(
        self,
        layers: tuple[Layer, ...],
        dataset: Dataset,
        schedule: Schedule,
        *,
        policy: str,
        n_pe: int,
        seed: int,
        folder: Path,
        log: Log = print,
        watch: Watch | None = None,
        devices: Devices | None = None,
        fused: bool = False,
    ) -> None:
        """folder: where checkpoints go. policy: of `balance.POLICIES`, applied after each pruning.

        watch: told of progress; `log` gets a line every half minute where there is none. devices: the
        CPU if left out. fused: layers compiled by `torch.compile`, where that works.
        Raises ValueError for a batch that cannot be shared evenly.
        """
        torch.manual_seed(seed)
        self.layers, self.dataset, self.schedule = layers, dataset, schedule
        self.policy, self.n_pe, self.seed, self.folder, self.log = policy, n_pe, seed, folder, log
        self.watch = watch
        self.devices = devices or Devices(torch.device("cpu"))
        self.device = self.devices.device
        for batch in map(schedule.batch_of, schedule.rounds):
            if batch % self.devices.count:
                raise ValueError(
                    f"{self.devices.count} processes; allowed: divisors of the batch, {batch}"
                )
        if fused:
            why_not = norm_fire.can_fuse(self.device)
            fused = why_not is None
            if why_not and self.devices.first:
                log(f"layers are not compiled: {why_not}")
        why_not = sparse_convolution.cannot()
        if why_not and self.device.type == "cpu" and self.devices.first:
            log(f"pruned weights are multiplied as zeros: {why_not}")
        frames = dataset.ticks is not None
        if frames and any(r.output is Output.CLIP for r in schedule.rounds):
            raise ValueError(
                f"{dataset.name} has event frames; allowed: a schedule all of whose rounds have spikes, as direct"
            )
        network = SpikingNetwork(layers, frames=frames, fused=fused)
        self.network = self.devices.place(network)
        self.kept = MaskedWeights(self.network, self.device)
        self.pruner = Pruner(self.network, self.kept, schedule, policy=policy, n_pe=n_pe, seed=seed)
        self.answers: torch.Tensor | None = None  # of the network without spikes, which teaches
        self.optimizer = optimizer.new(self.network, schedule, schedule.rounds[0])
        self.progress = Progress()
        count = len(dataset.train_images) - history.validation_images(dataset)
        self.batches = Batches(
            self._moved(torch.from_numpy(dataset.train_images[:count])),
            self._moved(torch.from_numpy(dataset.train_labels[:count])),
            mean=dataset.mean,
            std=dataset.std,
            seed=seed,
            mirror=schedule.mirror,
        )
        self.runs = Forward(self.network, self.kept, self.batches, schedule, self.device)

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.device, non_blocking=True)

    def run(self, method: str | None) -> None:
        """Train the dense rounds, then, with a method, the pruned rounds under its name.

        Raises ValueError for checkpoints of another run.
        """
        dense_rounds = len(self.schedule.dense)
        dense = self.folder / "dense.pt"
        resumed = bool(method) and self._restore(self.folder / f"{method}.pt")
        resumed = resumed or self._restore(dense)
        self.devices.wait()  # all have read before one writes
        self._tell_time(bool(method))
        self.forward = self.devices.replicated(self.network)
        try:
            if not resumed or self.progress.round < dense_rounds:
                self._rounds(dense_rounds, dense)
            if method:
                self._rounds(len(self.schedule.rounds), self.folder / f"{method}.pt")
        finally:
            del self.forward  # a replica keeps the process group alive

    def _tell_time(self, method: bool) -> None:
        """How long the run will take; nothing where no round is left."""
        seconds = self.seconds_left(method=method)
        if seconds and self.devices.first:
            left = datetime.timedelta(seconds=round(seconds))
            work = self.schedule.total(
                self.runs.operations_an_image, done=self._done, method=method, again=0
            )
            self.log(f"about {left} (h:mm:ss) of training to go on this machine, {work:.2g} FLOP")

    def _rounds(self, end: int, path: Path) -> None:
        while self.progress.round < end:
            current = self.schedule.rounds[self.progress.round]
            if self.progress.images == 0 and self.progress.prunings == 0:
                self._start_round(current)
            self._train(current, path)
            if self.devices.first:
                row = summary(self.runs, self.dataset, current)
                balanced = current.keep < 1 and self.policy in balance.BALANCING
                self.progress.history.append({**row, "target": "exact" if balanced else None})
                self.log(
                    f"round {self.progress.round} done: validation accuracy "
                    f"{row['validation_accuracy']:.4f}, sparsity {row['weight_sparsity']:.4f}"
                )
            if current.output is Output.CLIP and current.keep == 1:
                self._keep_answers()
            self.progress.round += 1
            self.progress.images = self.progress.prunings = 0
            self._save(path)

    def _start_round(self, current: Round) -> None:
        number = self.progress.round
        before = self.schedule.rounds[number - 1] if number else current
        if number == 0 and current.output is Output.CLIP:
            self.network.start_without_spikes()
        if (before.output, current.output) == (Output.CLIP, Output.SPIKE):
            self.network.start_spiking()
        if before.ticks == 1 < current.ticks:
            self.network.start_ticks()
        self.optimizer = optimizer.new(self.network, self.schedule, current)

    def _keep_answers(self) -> None:
        """Keep what the network says of the training images, for the rounds that come."""
        if self.devices.first:
            answers = self.runs.answers(self.schedule.rounds[self.progress.round])
            checkpoint.save({"answers": answers}, self._identity(), self._answers_path)
        self.devices.wait()

    @property
    def _answers_path(self) -> Path:
        return self.folder / "answers.pt"

    def _read_answers(self) -> torch.Tensor:
        """Raises ValueError where no round without spikes has left them."""
        if not self._answers_path.is_file():
            raise ValueError(
                f"{self._answers_path} is missing; to start afresh: rm -r {self.folder}"
            )
        return checkpoint.load(self._answers_path)["answers"].to(self.device)

    def _prune_when_due(self, current: Round) -> None:
        """The prunings of this round up to the image it stands at."""
        before = self.schedule.kept_before(self.progress.round)
        steps = list(current.pruning_steps(before))
        while self.progress.prunings < len(steps):
            image, keep = steps[self.progress.prunings]
            if self.progress.images < image:
                return
            self.kept.remember()
            self.pruner.prune(keep, (self.progress.round, self.progress.prunings))
            self.progress.prunings += 1
            self.kept.clear(self.optimizer)

    def _train(self, current: Round, path: Path) -> None:
        self.network.train()
        saved = shown = time.monotonic()
        shown_images = self.progress.images
        if self.watch and self.devices.first:
            self.watch.start(f"round {self.progress.round}", current.images)
        if current.teacher and self.answers is None:
            self.answers = self._read_answers()
        self._prune_when_due(current)
        while self.progress.images < current.images:
            value = self._step(current)
            self._prune_when_due(current)
            self.pruner.reached(self.progress.images)
            now = time.monotonic()
            if now - shown > (SHOW_SECONDS if self.watch else LOG_SECONDS) and self.devices.first:
                rate = (self.progress.images - shown_images) / (now - shown)
                state = f"{rate:.0f} images/s, loss {value.item():.3f}"
                if self.watch:
                    self.watch.update(self.progress.images, state)
                else:
                    self.log(
                        f"round {self.progress.round}: {self.progress.images}/{current.images} "
                        f"images, {state}"
                    )
                shown, shown_images = now, self.progress.images
            if now - saved > CHECKPOINT_SECONDS:
                self._save(path)
                saved = time.monotonic()

    def _step(self, current: Round) -> torch.Tensor:
        """One batch; its loss, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * current.rate(self.progress.images / current.images)
        batch = self.schedule.batch_of(current)
        drawn = self._drawn(batch)
        images, labels = self.batches.picked(*drawn)
        images = self.batches.normalized(images, current.side)
        self.optimizer.zero_grad(set_to_none=True)
        with self.runs.as_loaded(current):
            with self.runs.mixed_precision():
                outputs = self.forward(images, current.ticks, current.output, current.price)
            value = loss(
                outputs,
                labels,
                smoothing=self.schedule.smoothing,
                answers=self._answers(drawn) if current.teacher else None,
                share=current.teacher,
            )
            value.backward()
        self.kept.clear_gradients()
        self.optimizer.step()
        self.progress.images += batch
        return value.detach()

    def _answers(self, drawn: list[torch.Tensor]) -> torch.Tensor:
        """What the teacher says of the drawn images (B, classes), unmoved."""
        assert self.answers is not None  # noqa: S101 - _train has read them
        return self.answers[self.batches.seen(*drawn)]

    def _drawn(self, batch: int) -> list[torch.Tensor]:
        """What `Batches` draws for the next batch, or this process's share of it."""
        before = sum(r.images for r in self.schedule.rounds[: self.progress.round])
        drawn = self.batches.drawn(before + self.progress.images, batch)
        return [self.devices.share(part) for part in drawn]

    def seconds_left(self, *, method: bool = True, again: int = 0) -> float:
        """Estimate of the seconds that the rest of the run takes here, from steps measured now.

        method, again: as of `Schedule.total`.
        """
        return self.schedule.total(
            self.runs.seconds_an_image, done=self._done, method=method, again=again
        )

    @property
    def _done(self) -> tuple[int, int]:
        """The round, and the images of it, that are behind."""
        return self.progress.round, self.progress.images

    def _identity(self, *, pruned: bool = False) -> str:
        """What a checkpoint's run must have in common with this one."""
        schedule = self.schedule if pruned else replace(self.schedule, pruned=(), weight_bits=16)
        balanced = (self.policy, self.n_pe) if pruned else None
        own = () if self.dataset.name in STATISTICS else (self.layers,)
        return repr((schedule, self.seed, balanced, *own))

    def _save(self, path: Path) -> None:
        if not self.devices.first:
            return
        between = self.progress.images == self.progress.prunings == 0  # the next round has its own
        state = {
            "network": self.network.state_dict(),
            "optimizer": None if between else self.optimizer.state_dict(),
            "masks": self.kept.masks,
            "last_alive": self.kept.last_alive,
            "rewind_state": self.pruner.rewind_state,
            "progress": vars(self.progress),
        }
        checkpoint.save(state, self._identity(pruned=path.stem != "dense"), path)

    def _restore(self, path: Path) -> bool:
        if not path.is_file():
            return False
        state = checkpoint.load(path, self._identity(pruned=path.stem != "dense"))
        self.network.load_state_dict(state["network"])
        self.kept.masks, self.kept.last_alive = state["masks"], state["last_alive"]
        self.pruner.rewind_state = state["rewind_state"]
        self.progress = Progress(**state["progress"])
        if state["optimizer"] is not None:
            current = self.schedule.rounds[self.progress.round]
            self.optimizer = optimizer.new(self.network, self.schedule, current)
            self.optimizer.load_state_dict(state["optimizer"])
        if self.devices.first:
            self.log(
                f"resuming {path.name} at round {self.progress.round}, image {self.progress.images}"
            )
        return True
