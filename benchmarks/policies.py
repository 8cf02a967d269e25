"""What balancing costs in accuracy: policies and their variants at equal nnz, over seeds.

    python benchmarks/policies.py [explore|confirm|bits|summary] ...      # all four if left out

A spiking VGG of four convolutions and a classifier (241 thousand weights after the first) on
Fashion-MNIST, averaged down to 16x16, pruned to 2.5 % in four steps. Every run of a seed starts from
the same dense network and sees the same images. `explore` compares variants by validation accuracy,
on seeds of its own; `confirm` the policies, on others, by the test set, which nothing else sees;
`bits` the integer networks of `confirm`. Each finished run is a line of build/policies/runs.csv and is not
repeated; a killed one goes on from its checkpoint. One thread.
"""

from __future__ import annotations

import argparse
import csv
import os
from dataclasses import dataclass, replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch

from hw.config import Config
from sim.workload import layer_workload, totals
from sw import balance, datasets, export, networks, prune, ticket
from sw.datasets import Dataset
from sw.networks import Layer
from sw.schedules import SCHEDULES, Round, Schedule
from sw.train import Trainer

# Chosen before the first run.
EXPLORE_SEEDS = (101, 102, 103)
CONFIRM_SEEDS = (1, 2, 3, 4, 5, 6)
NETWORK, SCHEDULE = "study", "study"
N_PE, TICKS = 16, 2
FOLDER = Path("build/policies")
FIELDS = (
    "phase", "seed", "variant", "weight_bits", "nnz", "weight_sparsity", "moved",
    "utilization", "occupancy", "validation", "test", "test_integer",
)  # fmt: skip

SCHEDULES[SCHEDULE] = Schedule(
    dense=(Round(keep=1.0, images=55_040, ticks=1, learning_rate=0.1, side=16),),
    pruned=(
        Round(keep=0.30, images=8_960, ticks=1, learning_rate=0.05, side=16),
        Round(keep=0.10, images=8_960, ticks=1, learning_rate=0.05, side=16),
        Round(keep=0.05, images=8_960, ticks=1, learning_rate=0.05, side=16),
        Round(keep=0.025, images=25_600, ticks=TICKS, learning_rate=0.05, side=16),
    ),
)


@dataclass(frozen=True)
class Variant:
    """How the masks of a pruning are balanced."""

    policy: str = "magnitude"
    ranked: bool = False  # targets that keep the most magnitude instead of each group's mean
    gradient: bool = False  # recover by |gradient| of the loss instead of the last value
    zero: bool = False  # recovered weights start at 0 instead of their last value
    late: bool = False  # balance at the last pruning only
    grouped: bool = False  # first sort the channels by nnz, so that like filters share a group


VARIANTS = {
    "none": Variant(policy="none"),
    "random": Variant(policy="random"),
    "magnitude": Variant(),
    "zero": Variant(zero=True),
    "gradient": Variant(gradient=True, zero=True),
    "late": Variant(late=True),
    "ranked": Variant(ranked=True),
    "grouped": Variant(grouped=True),
    "grouped_ranked": Variant(grouped=True, ranked=True),
}


def study_network(classes: int = 10, in_channels: int = 1) -> tuple[Layer, ...]:
    """Four convolutions, each pooled: maps of 16, 8, 4 and 2; 128 -> classes."""
    layers, channels, previous = [], in_channels, "image"
    for number, width in enumerate((32, 64, 128, 128), 1):
        name = f"conv{number}"
        layers.append(
            Layer(
                name=name, kind="conv", in_channels=channels, out_channels=width, kernel=3,
                padding=1, pool="max2", input=previous,
            )
        )  # fmt: skip
        channels, previous = width, name
    fc = Layer(
        name="fc", kind="linear", in_channels=channels, out_channels=classes, kernel=1,
        input=previous,
    )  # fmt: skip
    return (*layers, fc)


networks.NETWORKS[NETWORK] = study_network


class StudyTrainer(Trainer):
    """A trainer that balances as a variant says and does not augment: no image is seen often."""

    variant = Variant()
    moved = 0  # weights set or cleared by the last balancing

    def _augment(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def _prune(self, keep: float) -> None:
        if self.variant.gradient:
            self._gradients()
        if self.variant.grouped:
            self._group(keep)
        super()._prune(keep)
        if self.variant.zero and self.variant.policy == "magnitude":
            with torch.no_grad():
                for name, w in self.network.prunable.items():
                    w[self.masks[name] & ~torch.from_numpy(self.unbalanced[name])] = 0

    def _balanced(self, masks: prune.Masks, values: prune.Masks) -> prune.Masks:
        self.unbalanced, variant = masks, self.variant
        current = self.schedule.rounds[self.progress.round]
        if variant.late and current.keep > self.schedule.rounds[-1].keep:
            return masks
        if variant.gradient:
            values = {
                name: np.where(masks[name], values[name], self.gradients[name]) for name in masks
            }
        if variant.ranked:
            result = ranked(values, masks, n_pe=self.n_pe, floor=self.schedule.floor)
        else:
            result = super()._balanced(masks, values)
        self.moved = sum(int(np.count_nonzero(result[n] != masks[n])) for n in masks)
        return result

    def _gradients(self) -> None:
        """Of the loss of 1,024 training images, for every weight, in its mask or not."""
        self.network.eval()
        self.network.zero_grad()
        images = self._prepared(self.train_images[:1024], 16)
        outputs = self.network(images, TICKS)
        torch.nn.functional.cross_entropy(
            outputs.flatten(0, 1), self.train_labels[:1024].repeat(TICKS)
        ).backward()
        self.gradients = {n: w.grad.numpy().copy() for n, w in self.network.prunable.items()}
        self.network.zero_grad(set_to_none=True)
        self.network.train()

    def _group(self, keep: float) -> None:
        """Sort the channels of every hidden layer by the nnz they are about to have."""
        masks = prune.global_magnitude(
            {n: w.numpy() for n, w in self.last_alive.items()},
            {n: m.numpy() for n, m in self.masks.items()},
            keep=keep,
            floor=self.schedule.floor,
        )
        state = self.network.state_dict()
        for layer, after in zip(self.layers[1:-1], self.layers[2:], strict=True):
            order = balance.sort_order(balance.filter_nnz(masks[layer.name]))
            order = torch.from_numpy(order)
            for tensors in (self.masks, self.last_alive):
                tensors[layer.name] = tensors[layer.name][order]
                tensors[after.name] = tensors[after.name][:, order]
            for name in state:
                if name.split(".")[1] == layer.name and state[name].ndim:
                    state[name] = state[name][order]
            state[f"weights.{after.name}.weight"] = state[f"weights.{after.name}.weight"][:, order]
            masks[after.name] = masks[after.name][:, order.numpy()]
        self.network.load_state_dict(state)


def ranked(values: prune.Masks, masks: prune.Masks, *, n_pe: int, floor: float) -> prune.Masks:
    """Balanced masks of the nnz of `masks`: whole ranks of a group, largest mean magnitude first.

    Rank r of a group is the r-th largest |value| of each of its filters; it is kept or dropped as one.
    """
    mean, size, where = [], [], []
    for name, value in values.items():
        rows = np.abs(value.reshape(len(value), -1))
        guaranteed = int(np.ceil(floor * rows.shape[1]))
        for start in range(0, len(rows), n_pe):
            group = -np.sort(-rows[start : start + n_pe], axis=1)
            score = group.mean(0)
            score[:guaranteed] = np.inf
            mean.append(score)
            size.append(np.full(len(score), len(group)))
            where += [(name, start)] * len(score)
    order = np.argsort(-np.concatenate(mean), kind="stable")
    held = np.cumsum(np.concatenate(size)[order])
    nnz = sum(int(m.sum()) for m in masks.values())
    last = int(np.argmin(np.abs(held - nnz)))
    target = {name: np.zeros(len(value), int) for name, value in values.items()}
    for unit in order[: last + 1]:
        name, start = where[unit]
        target[name][start : start + n_pe] += 1
    result = {}
    for name, value in values.items():
        rows = np.abs(value.reshape(len(value), -1))
        rank = np.argsort(np.argsort(-rows, axis=1, kind="stable"), axis=1)
        result[name] = (rank < target[name][:, None]).reshape(value.shape)
    return result


def small_images() -> Dataset:
    """Fashion-MNIST at 16x16: means of 2x2 pixels."""
    full = datasets.load("fashion_mnist")

    def half(images: np.ndarray) -> np.ndarray:
        n, c, h, w = images.shape
        mean = images.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5), dtype=np.float32)
        return np.rint(mean).astype(np.uint8)

    return replace(full, train_images=half(full.train_images), test_images=half(full.test_images))


def load_runs() -> list[dict[str, str]]:
    """The lines of runs.csv."""
    path = FOLDER / "runs.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as f:
        return list(csv.DictReader(f))


def record(row: dict) -> None:
    """Append a line to runs.csv."""
    path = FOLDER / "runs.csv"
    new = not path.is_file()
    with path.open("a", newline="") as f:
        writer = csv.DictWriter(f, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(", ".join(f"{k} {v}" for k, v in row.items()), flush=True)


def workload(masks: dict[str, np.ndarray], *, sort: bool) -> tuple[float, float]:
    """Network utilization and occupancy of masks, in the network's order or sorted."""
    sides = dict(zip(masks, (8, 4, 2, 1), strict=True))
    rows = []
    for name, mask in masks.items():
        nnz = balance.filter_nnz(mask)
        if sort:
            nnz = nnz[balance.sort_order(nnz)]
        rows.append(
            layer_workload(
                name, nnz, parameters=mask.size, positions=sides[name] ** 2, ticks=TICKS, n_pe=N_PE
            )
        )
    total = totals(rows)
    return total.utilization or 0.0, total.occupancy or 0.0


def train(phase: str, seed: int, name: str, dataset: Dataset, *, test: bool) -> None:
    """One run, recorded. test: whether the test set is looked at."""
    folder = FOLDER / f"seed{seed}"
    trainer = StudyTrainer(
        study_network(), dataset, SCHEDULES[SCHEDULE],
        policy=VARIANTS[name].policy, n_pe=N_PE, seed=seed, folder=folder, log=lambda line: None,
    )  # fmt: skip
    trainer.variant = VARIANTS[name]
    trainer.run(name)
    masks = {n: m.numpy() for n, m in trainer.masks.items()}
    utilization, occupancy = workload(masks, sort=False)
    row = {
        "phase": phase, "seed": seed, "variant": name, "weight_bits": 16,
        **ticket.counts(masks), "moved": trainer.moved,
        "utilization": utilization, "occupancy": occupancy,
        "validation": trainer.progress.history[-1]["validation_accuracy"],
    }  # fmt: skip
    if test:
        result = export.export(
            folder / f"{name}.pt", dataset, network=NETWORK, method=name, schedule=SCHEDULE,
            policy=VARIANTS[name].policy, n_pe=N_PE, seed=seed, config=Config(ticks=TICKS),
            images=10_000, log=lambda line: None,
        )  # fmt: skip
        ticket.save(result, folder / f"{name}.npz")
        row["test"] = result.metadata["accuracy"]
        row["test_integer"] = result.metadata["accuracy_quantized"]
    record(row)


def explore(dataset: Dataset) -> None:
    """All variants, by validation accuracy."""
    done = {(r["seed"], r["variant"]) for r in load_runs() if r["phase"] == "explore"}
    for seed in EXPLORE_SEEDS:
        for name in VARIANTS:
            if (str(seed), name) not in done:
                train("explore", seed, name, dataset, test=False)


PHASES = {"explore": explore}


def main() -> None:
    """Run the phases named on the command line, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("phase", nargs="*", choices=[*PHASES, []])
    torch.set_num_threads(1)
    dataset = small_images()
    for phase in parser.parse_args().phase or PHASES:
        PHASES[phase](dataset)


if __name__ == "__main__":
    main()
