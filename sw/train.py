"""Training, pruning and balancing of a ticket, resumable at any moment.

A run is a sequence of rounds (schedules.py). All state that decides the result (network, optimizer,
masks, position, random generator) is one checkpoint, written atomically, so that a killed run goes
on to the same result. The dense rounds are the same for every method and are kept as `dense.pt`.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from sw import balance, prune
from sw.datasets import Dataset
from sw.fake_quantize import quantized
from sw.model import SpikingNetwork, input_sparsity, loss, predict
from sw.networks import Layer
from sw.schedules import Round, Schedule

VALIDATION_IMAGES = 5_000  # the last of the training set; never trained on
SPARSITY_IMAGES = 250  # of the validation set, for the input sparsity of each round
CHECKPOINT_SECONDS = 60.0
TARGETS = {"random": "exact", "magnitude": "ranked"}  # of a policy: how many weights a filter gets
Log = Callable[[str], None]


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
    ) -> None:
        """folder: where checkpoints go. policy: of `balance.POLICIES`, applied after each pruning."""
        torch.manual_seed(seed)
        self.layers, self.dataset, self.schedule = layers, dataset, schedule
        self.policy, self.n_pe, self.seed, self.folder, self.log = policy, n_pe, seed, folder, log
        self.network = SpikingNetwork(layers).to(memory_format=torch.channels_last)
        self.masks = {n: torch.ones_like(w).bool() for n, w in self.network.prunable.items()}
        self.last_alive = {n: w.detach().clone() for n, w in self.network.prunable.items()}
        self.rewind_state: dict | None = None
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = self._new_optimizer()
        self.progress = Progress()
        count = len(dataset.train_images) - VALIDATION_IMAGES
        self.train_images = torch.from_numpy(dataset.train_images[:count])
        self.train_labels = torch.from_numpy(dataset.train_labels[:count])
        self.mean = torch.tensor(dataset.mean).view(1, -1, 1, 1)
        self.std = torch.tensor(dataset.std).view(1, -1, 1, 1)

    def run(self, method: str | None) -> None:
        """Train the dense rounds, then, with a method, the pruned rounds under its name."""
        dense_rounds = len(self.schedule.dense)
        dense = self.folder / "dense.pt"
        if method and self._restore(self.folder / f"{method}.pt"):
            pass
        elif not self._restore(dense) or self.progress.round < dense_rounds:
            self._rounds(dense_rounds, dense)
        if method:
            self._rounds(len(self.schedule.rounds), self.folder / f"{method}.pt")

    def _rounds(self, end: int, checkpoint: Path) -> None:
        while self.progress.round < end:
            current = self.schedule.rounds[self.progress.round]
            if self.progress.images == 0:
                self._start_round(current)
            self._train(current, checkpoint)
            self.progress.history.append(self._summary(current))
            self.progress.round += 1
            self.progress.images = 0
            self._save(checkpoint)

    def _start_round(self, current: Round) -> None:
        prunable = self.network.prunable
        with torch.no_grad():
            for name, w in prunable.items():
                self.last_alive[name] = torch.where(self.masks[name], w, self.last_alive[name])
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
        if self.policy == "magnitude":
            nnz = sum(int(np.count_nonzero(mask)) for mask in masks.values())
            return balance.ranked(values, nnz=nnz, n_pe=self.n_pe, floor=self.schedule.floor)
        rng = np.random.default_rng([self.seed, self.progress.round])
        return {
            name: balance.balance(mask, n_pe=self.n_pe, policy=self.policy, rng=rng)
            for name, mask in masks.items()
        }

    def _train(self, current: Round, checkpoint: Path) -> None:
        self.network.train()
        saved = shown = time.monotonic()
        shown_images = self.progress.images
        while self.progress.images < current.images:
            self._step(current)
            if (
                self.rewind_state is None
                and self.schedule.rewind_images is not None
                and self.progress.images >= self.schedule.rewind_images
            ):
                self.rewind_state = copy.deepcopy(self.network.state_dict())
            now = time.monotonic()
            if now - shown > 30:
                rate = (self.progress.images - shown_images) / (now - shown)
                self.log(
                    f"round {self.progress.round}: {self.progress.images}/{current.images} images, "
                    f"{rate:.0f} images/s, loss {self._loss:.3f}"
                )
                shown, shown_images = now, self.progress.images
            if now - saved > CHECKPOINT_SECONDS:
                self._save(checkpoint)
                saved = time.monotonic()

    def _step(self, current: Round) -> None:
        batch = self.schedule.batch
        for group in self.optimizer.param_groups:
            group["lr"] = current.learning_rate * _one_cycle(self.progress.images / current.images)
        index = torch.randint(len(self.train_images), (batch,), generator=self.generator)
        images = self._prepared(self._augment(self.train_images[index]), current.side)
        self.optimizer.zero_grad(set_to_none=True)
        with self._as_loaded(current):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.schedule.mixed_precision):
                outputs = self.network(images, current.ticks)
            value = loss(outputs, self.train_labels[index])
            value.backward()
        self.optimizer.step()
        self._apply_masks()
        self._loss = value.item()
        self.progress.images += batch

    def _as_loaded(self, current: Round) -> AbstractContextManager[None]:
        """Inside, the weights are those that the hardware loads, in rounds trained for that."""
        if not self.schedule.quantizes(current):
            return nullcontext()
        bits = self.schedule.weight_bits
        return quantized(self.network.prunable, self.masks, weight_bits=bits)

    def _augment(self, images: torch.Tensor) -> torch.Tensor:
        """Random crop out of 4 pixels of padding, and a horizontal flip: uint8 (B, C, H, W)."""
        size, side = len(images), images.shape[-1]
        padded = F.pad(images, (4, 4, 4, 4))
        offset = torch.randint(0, 9, (2, size, 1), generator=self.generator)
        flip = torch.randint(0, 2, (size, 1), generator=self.generator).bool()
        rows, columns = offset[0] + torch.arange(side), offset[1] + torch.arange(side)
        columns = torch.where(flip, columns.flip(1), columns)
        which = torch.arange(size).view(-1, 1, 1)
        picked = padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 1, 2)

    def _prepared(self, images: torch.Tensor, side: int) -> torch.Tensor:
        """Normalized floats (B, C, side, side) of uint8 images (B, C, H, W)."""
        scaled = (images.float() / 255 - self.mean) / self.std
        if side < scaled.shape[-1]:
            scaled = F.avg_pool2d(scaled, scaled.shape[-1] // side)
        return scaled.contiguous(memory_format=torch.channels_last)

    def _apply_masks(self) -> None:
        with torch.no_grad():
            for name, w in self.network.prunable.items():
                w.mul_(self.masks[name])

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
                part = torch.from_numpy(images[start : start + 250])
                with torch.autocast("cpu", torch.bfloat16, enabled=self.schedule.mixed_precision):
                    outputs = self.network(self._prepared(part, current.side), current.ticks)
                chosen = predict(outputs).numpy()
                right += int((chosen == labels[start : start + 250]).sum())
        return right / len(images)

    def input_sparsity(self, images: np.ndarray, current: Round) -> dict[str, float]:
        """Share of zeros in each array layer's input, for uint8 images (N, C, H, W)."""
        prepared = self._prepared(torch.from_numpy(images), current.side)
        with (
            self._as_loaded(current),
            torch.autocast("cpu", torch.bfloat16, enabled=self.schedule.mixed_precision),
        ):
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
            "target": None if current.keep == 1 else TARGETS.get(self.policy),
            "filter_nnz": {n: balance.filter_nnz(m).tolist() for n, m in masks.items()},
            "input_sparsity": self.input_sparsity(images[:SPARSITY_IMAGES], current),
        }
        self.log(
            f"round {self.progress.round} done: validation accuracy "
            f"{summary['validation_accuracy']:.4f}, sparsity {summary['weight_sparsity']:.4f}"
        )
        return summary

    def _save(self, path: Path) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "masks": self.masks,
            "last_alive": self.last_alive,
            "rewind_state": self.rewind_state,
            "generator": self.generator.get_state(),
            "progress": vars(self.progress),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
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
        self.log(
            f"resuming {path.name} at round {self.progress.round}, image {self.progress.images}"
        )
        return True


def _one_cycle(position: float) -> float:
    """Learning rate as a fraction of its peak at `position` of the round: up for a fifth, then down."""
    return max(position / 0.2, 0.02) if position < 0.2 else max((1 - position) / 0.8, 0.0)
