"""Training, pruning and balancing of a ticket, resumable at any moment.

A run is a sequence of rounds (schedules.py). All state that decides the result (network, optimizer,
masks, position, random generator) is one checkpoint, written atomically, so that a killed run goes
on to the same result. The dense rounds are the same for every method and are kept as `dense.pt`.
Checkpoints hold CPU tensors: a run may go on on another device, or on more of them.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F

from sw import balance, neurons, prune
from sw.datasets import Dataset
from sw.devices import Devices
from sw.fake_quantize import quantized
from sw.layers import Layer
from sw.model import SpikingNetwork, input_sparsity, loss, predict
from sw.schedules import Round, Schedule

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
        CPU if left out. fused: neurons compiled by `torch.compile`, where that works.
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
            why_not = neurons.can_fuse(self.device)
            fused = why_not is None
            if why_not and self.devices.first:
                log(f"neurons are not compiled: {why_not}")
        self.network = self.devices.place(SpikingNetwork(layers, fused=fused))
        weights = {n: w.detach().cpu() for n, w in self.network.prunable.items()}
        self.masks = {n: torch.ones_like(w).bool() for n, w in weights.items()}
        self.last_alive = {n: w.clone() for n, w in weights.items()}
        self.rewind_state: dict | None = None
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = self._new_optimizer()
        self.progress = Progress()
        count = len(dataset.train_images) - VALIDATION_IMAGES
        self.train_images = self._moved(torch.from_numpy(dataset.train_images[:count]))
        self.train_labels = self._moved(torch.from_numpy(dataset.train_labels[:count]))
        self.mean = self._moved(torch.tensor(dataset.mean).view(1, -1, 1, 1))
        self.std = self._moved(torch.tensor(dataset.std).view(1, -1, 1, 1))

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

    def run(self, method: str | None) -> None:
        """Train the dense rounds, then, with a method, the pruned rounds under its name."""
        dense_rounds = len(self.schedule.dense)
        dense = self.folder / "dense.pt"
        resumed = bool(method) and self._restore(self.folder / f"{method}.pt")
        resumed = resumed or self._restore(dense)
        self.devices.wait()  # all have read before one writes
        self.forward = self.devices.replicated(self.network)
        try:
            if not resumed or self.progress.round < dense_rounds:
                self._rounds(dense_rounds, dense)
            if method:
                self._rounds(len(self.schedule.rounds), self.folder / f"{method}.pt")
        finally:
            del self.forward  # a replica keeps the process group alive

    def _rounds(self, end: int, checkpoint: Path) -> None:
        while self.progress.round < end:
            current = self.schedule.rounds[self.progress.round]
            if self.progress.images == 0:
                self._start_round(current)
            self._train(current, checkpoint)
            if self.devices.first:
                self.progress.history.append(self._summary(current))
            self.progress.round += 1
            self.progress.images = 0
            self._save(checkpoint)

    def _start_round(self, current: Round) -> None:
        prunable = self.network.prunable
        with torch.no_grad():
            for name, w in prunable.items():
                self.last_alive[name] = torch.where(
                    self.masks[name], w.cpu(), self.last_alive[name]
                )
        before = {n: m.numpy() for n, m in self.masks.items()}
        if current.keep < 1 and current.keep < 1 - prune.sparsity(before) - 1e-4:
            self._prune(current.keep)
        self.optimizer = self._new_optimizer()
        self._apply_masks()

    def _prune(self, keep: float) -> None:
        """Prune, balance, then rewind or go on; the balanced mask is the one the round starts from."""
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
        rng = np.random.default_rng([self.seed, self.progress.round])
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

    def _train(self, current: Round, checkpoint: Path) -> None:
        self.network.train()
        saved = shown = time.monotonic()
        shown_images = self.progress.images
        if self.watch and self.devices.first:
            self.watch.start(f"round {self.progress.round}", current.images)
        while self.progress.images < current.images:
            value = self._step(current)
            if (
                self.rewind_state is None
                and self.schedule.rewind_images is not None
                and self.progress.images >= self.schedule.rewind_images
            ):
                self.rewind_state = _on_cpu(copy.deepcopy(self.network.state_dict()))
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
                self._save(checkpoint)
                saved = time.monotonic()

    def _step(self, current: Round) -> torch.Tensor:
        """One batch; its loss, on the device."""
        batch = self.schedule.batch
        for group in self.optimizer.param_groups:
            group["lr"] = current.learning_rate * _one_cycle(self.progress.images / current.images)
        images, labels = self._drawn(batch)
        images = self._prepared(images, current.side)
        self.optimizer.zero_grad(set_to_none=True)
        with self._as_loaded(current):
            with self._mixed_precision():
                outputs = self.forward(images, current.ticks)
            value = loss(outputs, labels)
            value.backward()
        self.optimizer.step()
        self._apply_masks()
        self.progress.images += batch
        return value.detach()

    def _as_loaded(self, current: Round) -> AbstractContextManager[None]:
        """Inside, the weights are those that the hardware loads, in rounds trained for that."""
        if not self.schedule.quantizes(current):
            return nullcontext()
        bits = self.schedule.weight_bits
        return quantized(self.network, self._device_masks, weight_bits=bits)

    def _drawn(self, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A random batch, or this process's share of it: uint8 images (B, C, H, W), augmented, and labels.

        A random crop out of 4 pixels of padding, and a horizontal flip. What is random is drawn on the
        CPU, for the whole batch: the same on every device and for any number of them.
        """
        index = torch.randint(len(self.train_images), (batch,), generator=self.generator)
        offset = torch.randint(0, 9, (2, batch, 1), generator=self.generator)
        flip = torch.randint(0, 2, (batch, 1), generator=self.generator).bool()
        side = torch.arange(self.train_images.shape[-1])
        rows, columns = offset[0] + side, offset[1] + side
        columns = torch.where(flip, columns.flip(1), columns)
        index, rows, columns = (
            self._moved(self.devices.share(part)) for part in (index, rows, columns)
        )
        padded = F.pad(self.train_images[index], (4, 4, 4, 4)).permute(0, 2, 3, 1)
        which = torch.arange(len(index), device=self.device).view(-1, 1, 1)
        picked = padded[which, rows[:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 1, 2), self.train_labels[index]

    def _prepared(self, images: torch.Tensor, side: int) -> torch.Tensor:
        """Normalized floats (B, C, side, side) of uint8 images (B, C, H, W)."""
        scaled = (images.float() / 255 - self.mean) / self.std
        if side < scaled.shape[-1]:
            scaled = F.avg_pool2d(scaled, scaled.shape[-1] // side)
        return scaled.contiguous(memory_format=torch.channels_last)

    def _apply_masks(self) -> None:
        with torch.no_grad():
            for name, w in self.network.prunable.items():
                w.mul_(self._device_masks[name])

    def _new_optimizer(self) -> torch.optim.Optimizer:
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        rest = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.schedule.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        if self.schedule.optimizer == "adamw":
            return torch.optim.AdamW(groups, lr=1e-3)
        return torch.optim.SGD(groups, lr=0.1, momentum=self.schedule.momentum, nesterov=True)

    @torch.no_grad()
    def accuracy(self, images: np.ndarray, labels: np.ndarray, current: Round) -> float:
        """Fraction of uint8 images (N, C, H, W) classified right, at a round's ticks and image side."""
        self.network.eval()
        right = 0
        with self._as_loaded(current):
            for start in range(0, len(images), 250):
                part = self._moved(torch.from_numpy(images[start : start + 250]))
                with self._mixed_precision():
                    outputs = self.network(self._prepared(part, current.side), current.ticks)
                chosen = predict(outputs).cpu().numpy()
                right += int((chosen == labels[start : start + 250]).sum())
        return right / len(images)

    def input_sparsity(self, images: np.ndarray, current: Round) -> dict[str, float]:
        """Share of zeros in each array layer's input, for uint8 images (N, C, H, W)."""
        prepared = self._prepared(self._moved(torch.from_numpy(images)), current.side)
        with self._as_loaded(current), self._mixed_precision():
            return input_sparsity(self.network, prepared, current.ticks)

    def _summary(self, current: Round) -> dict:
        images = self.dataset.train_images[-VALIDATION_IMAGES:]
        labels = self.dataset.train_labels[-VALIDATION_IMAGES:]
        masks = {n: m.numpy() for n, m in self.masks.items()}
        summary = {
            "keep": current.keep,
            "images": current.images,
            "ticks": current.ticks,
            "side": current.side,
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

    def _save(self, path: Path) -> None:
        if not self.devices.first:
            return
        state = {
            "network": _on_cpu(self.network.state_dict()),
            "optimizer": _on_cpu(self.optimizer.state_dict()),
            "masks": self.masks,
            "last_alive": self.last_alive,
            "rewind_state": self.rewind_state,
            "generator": self.generator.get_state(),
            "progress": vars(self.progress),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    def _restore(self, path: Path) -> bool:
        if not path.is_file():
            return False
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.masks, self.last_alive = state["masks"], state["last_alive"]
        self.rewind_state = state["rewind_state"]
        self.generator.set_state(state["generator"])
        self.progress = Progress(**state["progress"])
        if self.devices.first:
            self.log(
                f"resuming {path.name} at round {self.progress.round}, image {self.progress.images}"
            )
        return True


def _on_cpu(state: Any) -> Any:
    """A state of nested dictionaries and lists, its tensors on the CPU."""
    if isinstance(state, torch.Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {name: _on_cpu(value) for name, value in state.items()}
    return [_on_cpu(value) for value in state] if isinstance(state, list) else state


def _one_cycle(position: float) -> float:
    """Learning rate as a fraction of its peak at `position` of the round: up for a fifth, then down."""
    return max(position / 0.2, 0.02) if position < 0.2 else max((1 - position) / 0.8, 0.0)
