"""Training, pruning and balancing of a ticket, resumable at any moment.

A run is a sequence of rounds (schedules.py). All state that decides the result (network, optimizer,
masks, position) is one checkpoint, written atomically, so that a killed run goes on to the same result.
The dense rounds are the same for every method and are kept as `dense.pt`; the network that teaches the
spiking one is `teacher.pt`. Checkpoints hold CPU tensors: a run may go on on another device, or on more
of them.
"""

from __future__ import annotations

import copy
import datetime
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from sw import balance, checkpoint, norm_fire, prune
from sw.augment import Batches
from sw.datasets import Dataset
from sw.devices import Devices
from sw.fake_quantize import quantized
from sw.layers import Layer
from sw.model import SpikingNetwork, input_sparsity, loss, predict
from sw.schedules import Output, Round, Schedule

VALIDATION_IMAGES = 5_000  # the last of the training set; never trained on
SPARSITY_IMAGES = 250  # of the validation set, for the input sparsity of each round
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
        if schedule.batch % self.devices.count:
            raise ValueError(
                f"{self.devices.count} processes; allowed: divisors of the batch, {schedule.batch}"
            )
        if fused:
            why_not = norm_fire.can_fuse(self.device)
            fused = why_not is None
            if why_not and self.devices.first:
                log(f"layers are not compiled: {why_not}")
        self.network = self.devices.place(SpikingNetwork(layers, fused=fused))
        weights = {n: w.detach().cpu() for n, w in self.network.prunable.items()}
        self.masks = {n: torch.ones_like(w).bool() for n, w in weights.items()}
        self.last_alive = {n: w.clone() for n, w in weights.items()}
        self.rewind_state: dict | None = None
        self.teacher: SpikingNetwork | None = None
        self.optimizer = self._new_optimizer()
        self.progress = Progress()
        count = len(dataset.train_images) - VALIDATION_IMAGES
        self.batches = Batches(
            self._moved(torch.from_numpy(dataset.train_images[:count])),
            self._moved(torch.from_numpy(dataset.train_labels[:count])),
            mean=dataset.mean,
            std=dataset.std,
            seed=seed,
        )

    @property
    def masks(self) -> dict[str, torch.Tensor]:
        """Boolean, by layer, on the CPU; setting them moves copies to the device."""
        return self._masks

    @masks.setter
    def masks(self, masks: dict[str, torch.Tensor]) -> None:
        self._masks = masks
        self._device_masks = {name: self._moved(mask) for name, mask in masks.items()}

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.device, non_blocking=True)

    def _mixed_precision(self) -> torch.autocast:
        enabled = self.schedule.mixed_precision
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    # ------------------------------------------------------------------ rounds

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
            self.log(f"about {left} (h:mm:ss) of training to go on this machine")

    def _rounds(self, end: int, path: Path) -> None:
        while self.progress.round < end:
            current = self.schedule.rounds[self.progress.round]
            if self.progress.images == 0 and self.progress.prunings == 0:
                self._start_round(current)
            self._train(current, path)
            if self.devices.first:
                self.progress.history.append(self._summary(current))
            self.progress.round += 1
            self.progress.images = self.progress.prunings = 0
            self._save(path)

    def _start_round(self, current: Round) -> None:
        number = self.progress.round
        before = self.schedule.rounds[number - 1].output if number else current.output
        if (before, current.output) == (Output.CLIP, Output.SPIKE):
            self._teach()
        self.optimizer = self._new_optimizer()

    def _teach(self) -> None:
        """Keep the network as the teacher, and go on with spikes."""
        if self.devices.first:
            checkpoint.save(
                {"network": self.network.state_dict()}, self._identity(), self._teacher_path
            )
        self.devices.wait()
        self.network.start_spiking()

    @property
    def _teacher_path(self) -> Path:
        return self.folder / "teacher.pt"

    def _read_teacher(self) -> None:
        """Raises ValueError where no round without spikes has left one."""
        if not self._teacher_path.is_file():
            raise ValueError(
                f"{self._teacher_path} is missing; to start afresh: rm -r {self.folder}"
            )
        state = checkpoint.load(self._teacher_path)["network"]
        teacher = SpikingNetwork(self.layers, fused=self.network.fused)
        teacher.load_state_dict(state)
        self.teacher = self.devices.place(teacher).eval().requires_grad_(False)

    # ------------------------------------------------------------------ pruning

    def _prune_when_due(self, current: Round) -> None:
        """The prunings of this round up to the image it stands at."""
        before = self.schedule.kept_before(self.progress.round)
        steps = list(current.pruning_steps(before))
        while self.progress.prunings < len(steps):
            image, keep = steps[self.progress.prunings]
            if self.progress.images < image:
                return
            self._remember()
            self._prune(keep)
            self.progress.prunings += 1
            self._clear()

    def _remember(self) -> None:
        """Values of the weights that are in their masks, for those that balancing brings back."""
        with torch.no_grad():
            for name, w in self.network.prunable.items():
                self.last_alive[name] = torch.where(
                    self.masks[name], w.detach().cpu(), self.last_alive[name]
                )

    def _prune(self, keep: float) -> None:
        """Prune, balance, then rewind or go on; the balanced mask is the one training goes on with."""
        values = {n: w.numpy() for n, w in self.last_alive.items()}
        masks = prune.global_magnitude(
            values,
            {n: m.numpy() for n, m in self.masks.items()},
            keep=keep,
            floor=self.schedule.floor,
        )
        masks = self._balanced(masks, values)
        self.masks = {n: torch.from_numpy(m) for n, m in masks.items()}
        if self.schedule.rewind_images is not None:
            if self.rewind_state is None:
                raise ValueError(
                    "the schedule rewinds to a point that its first round never reaches"
                )
            self.network.load_state_dict(self.rewind_state)
            return
        with torch.no_grad():
            for name, w in self.network.prunable.items():
                w.copy_(self.last_alive[name])  # a recovered weight goes on where it was cleared

    def _balanced(self, masks: prune.Masks, values: prune.Masks) -> prune.Masks:
        """Pruned masks, balanced. values: the weights, each as it was when last in its mask."""
        rng = np.random.default_rng([self.seed, self.progress.round, self.progress.prunings])
        return {
            name: balance.balance(
                mask,
                n_pe=self.n_pe,
                policy=self.policy,
                rng=rng,
                weights=values[name],
                score=values[name],
            )
            for name, mask in masks.items()
        }

    def _clear(self) -> None:
        """Zero the weights outside their masks, and what the optimizer remembers of them."""
        with torch.no_grad():
            for name, w in self.network.prunable.items():
                mask = self._device_masks[name]
                w.mul_(mask)
                for value in self.optimizer.state.get(w, {}).values():
                    if isinstance(value, torch.Tensor) and value.shape == w.shape:
                        value.mul_(mask)

    # ------------------------------------------------------------------ steps

    def _train(self, current: Round, path: Path) -> None:
        self.network.train()
        saved = shown = time.monotonic()
        shown_images = self.progress.images
        if self.watch and self.devices.first:
            self.watch.start(f"round {self.progress.round}", current.images)
        if current.teacher and self.teacher is None:
            self._read_teacher()
        self._prune_when_due(current)
        while self.progress.images < current.images:
            value = self._step(current)
            self._prune_when_due(current)
            self._keep_for_rewinding(current)
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

    def _keep_for_rewinding(self, current: Round) -> None:
        """The state that prunings go back to, at its image of the first spiking round."""
        at = self.schedule.rewind_images
        if self.rewind_state is not None or at is None or current.output is not Output.SPIKE:
            return
        if self.progress.images >= at:
            state = copy.deepcopy(self.network.state_dict())
            self.rewind_state = checkpoint.on_cpu(state)

    def _step(self, current: Round) -> torch.Tensor:
        """One batch; its loss, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * current.rate(self.progress.images / current.images)
        images, labels = self._drawn(self.schedule.batch)
        images = self.batches.normalized(images, current.side)
        self.optimizer.zero_grad(set_to_none=True)
        with self._as_loaded(current):
            with self._mixed_precision():
                outputs = self.forward(images, current.ticks, current.output)
            value = loss(
                outputs,
                labels,
                smoothing=self.schedule.smoothing,
                answers=self._answers(images) if current.teacher else None,
                share=current.teacher,
            )
            value.backward()
        for name, w in self.network.prunable.items():
            w.grad.mul_(self._device_masks[name])
        self.optimizer.step()
        self.progress.images += self.schedule.batch
        return value.detach()

    @torch.no_grad()
    def _answers(self, images: torch.Tensor) -> torch.Tensor:
        """The teacher's outputs (B, classes)."""
        assert self.teacher is not None  # noqa: S101 - _train has read it
        with self._mixed_precision():
            return self.teacher(images, 1, Output.CLIP)[0]

    def _as_loaded(self, current: Round) -> AbstractContextManager[None]:
        """Inside, the weights are those that the hardware loads, in rounds trained for that."""
        if not self.schedule.quantizes(current):
            return nullcontext()
        bits = self.schedule.weight_bits
        return quantized(self.network, self._device_masks, weight_bits=bits)

    def _drawn(self, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The next batch, or this process's share of it: uint8 images (B, C, H, W), augmented, and labels."""
        before = sum(r.images for r in self.schedule.rounds[: self.progress.round])
        drawn = self.batches.drawn(before + self.progress.images, batch)
        return self.batches.picked(*(self.devices.share(part) for part in drawn))

    def _new_optimizer(self) -> torch.optim.Optimizer:
        last = self.network.weights[self.layers[-1].name]
        share = self.schedule.classifier_rate
        groups = []
        for decay, parameters in (
            (self.schedule.weight_decay, [p for p in self.network.parameters() if p.ndim > 1]),
            (0.0, [p for p in self.network.parameters() if p.ndim <= 1]),
        ):
            own = set(last.parameters())
            inner, outer = (
                [p for p in parameters if (p in own) is is_own] for is_own in (False, True)
            )
            groups += [
                {"params": inner, "weight_decay": decay, "share": 1.0},
                {"params": outer, "weight_decay": decay, "share": share},
            ]
        if self.schedule.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=1e-3)
        return torch.optim.SGD(groups, lr=0.1, momentum=self.schedule.momentum, nesterov=True)

    # ------------------------------------------------------------------ measuring

    def seconds_left(self, *, method: bool = True, again: int = 0) -> float:
        """Estimate of the seconds that the rest of the run takes here, from steps measured now.

        method: the pruned rounds too, and `again` times more, as other methods will run them. Neither the
        network nor the run is changed.
        """
        dense = len(self.schedule.dense)
        total, costs = 0.0, {}
        for number, current in enumerate(self.schedule.rounds):
            kind = (current.ticks, current.side, current.output, current.teacher > 0)
            images = max(
                current.images - (self.progress.images if number == self.progress.round else 0), 0
            )
            runs = int(number >= self.progress.round)
            if number >= dense:
                runs = (runs + again) * method
            if runs and images:
                if kind not in costs:
                    costs[kind] = self._rehearsed(current)
                total += runs * images * costs[kind]
        return total

    def _rehearsed(self, current: Round) -> float:
        """Seconds an image of a round takes."""
        network, teacher = copy.deepcopy(self.network).train(), copy.deepcopy(self.network).eval()
        images, labels = self._drawn(self.schedule.batch)
        for _ in range(2):  # the first compiles and warms up
            started = time.perf_counter()
            prepared = self.batches.normalized(images, current.side)
            with self._mixed_precision():
                outputs = network(prepared, current.ticks, current.output)
                if current.teacher:
                    with torch.no_grad():
                        teacher(prepared, 1, Output.CLIP)
            loss(outputs, labels).backward()
        return (time.perf_counter() - started) / self.schedule.batch

    @torch.no_grad()
    def accuracy(self, images: np.ndarray, labels: np.ndarray, current: Round) -> float:
        """Fraction of uint8 images (N, C, H, W) classified right, at a round's ticks and image side."""
        self.network.eval()
        right = 0
        with self._as_loaded(current):
            for start in range(0, len(images), 250):
                part = self._moved(torch.from_numpy(images[start : start + 250]))
                prepared = self.batches.normalized(part, current.side)
                with self._mixed_precision():
                    outputs = self.network(prepared, current.ticks, current.output)
                chosen = predict(outputs).cpu().numpy()
                right += int((chosen == labels[start : start + 250]).sum())
        return right / len(images)

    def input_sparsity(self, images: np.ndarray, current: Round) -> dict[str, float]:
        """Share of zeros in each array layer's input, for uint8 images (N, C, H, W)."""
        prepared = self.batches.normalized(self._moved(torch.from_numpy(images)), current.side)
        with self._as_loaded(current), self._mixed_precision():
            return input_sparsity(self.network, prepared, current.ticks, current.output)

    def _summary(self, current: Round) -> dict:
        images = self.dataset.train_images[-VALIDATION_IMAGES:]
        labels = self.dataset.train_labels[-VALIDATION_IMAGES:]
        masks = {n: m.numpy() for n, m in self.masks.items()}
        summary = {
            "keep": current.keep,
            "images": current.images,
            "ticks": current.ticks,
            "side": current.side,
            "output": current.output.value,
            "validation_accuracy": self.accuracy(images, labels, current),
            "weight_sparsity": prune.sparsity(masks),
            "target": "exact" if current.keep < 1 and self.policy in balance.BALANCING else None,
            "filter_nnz": {n: balance.filter_nnz(m).tolist() for n, m in masks.items()},
            "input_sparsity": self.input_sparsity(images[:SPARSITY_IMAGES], current),
        }
        self.log(
            f"round {self.progress.round} done: validation accuracy "
            f"{summary['validation_accuracy']:.4f}, sparsity {summary['weight_sparsity']:.4f}"
        )
        return summary

    # ------------------------------------------------------------------ checkpoints

    def _identity(self, *, pruned: bool = False) -> str:
        """What a checkpoint's run must have in common with this one."""
        schedule = self.schedule if pruned else replace(self.schedule, pruned=(), weight_bits=16)
        return repr((schedule, self.seed, (self.policy, self.n_pe) if pruned else None))

    def _save(self, path: Path) -> None:
        if not self.devices.first:
            return
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "masks": self.masks,
            "last_alive": self.last_alive,
            "rewind_state": self.rewind_state,
            "progress": vars(self.progress),
        }
        checkpoint.save(state, self._identity(pruned=path.stem != "dense"), path)

    def _restore(self, path: Path) -> bool:
        if not path.is_file():
            return False
        state = checkpoint.load(path, self._identity(pruned=path.stem != "dense"))
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.masks, self.last_alive = state["masks"], state["last_alive"]
        self.rewind_state = state["rewind_state"]
        self.progress = Progress(**state["progress"])
        if self.devices.first:
            self.log(
                f"resuming {path.name} at round {self.progress.round}, image {self.progress.images}"
            )
        return True
