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
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch
from scipy import stats

from hw.config import Config
from sim.models.workload import layer_workload, totals
from sw import balance, datasets, evaluate, make_ticket, networks, ticket
from sw.datasets import Dataset
from sw.layers import IMAGE, Layer, Pool, conv, linear
from sw.prune import Masks
from sw.pruner import Pruner
from sw.quantize import quantize
from sw.schedule import FULL_SIDE, Round, Schedule
from sw.schedules import SCHEDULES
from sw.ticket import Ticket
from sw.train import Trainer

# Chosen before the first run.
EXPLORE_SEEDS = (101, 102, 103)
CONFIRM_SEEDS = (1, 2, 3, 4, 5, 6)
ALTERNATIVES = ("ranked",)  # `explore` chose it; `confirm` did not bear it out
NETWORK, SCHEDULE = "study", "study"
N_PE, TICKS = 16, 2
BITS_IMAGES = 2_000  # of the test set, for integer networks
FOLDER = Path("build/policies")
FIELDS = (
    "phase", "seed", "variant", "weight_bits", "nnz", "weight_sparsity", "moved",
    "utilization", "occupancy", "validation", "test", "test_integer",
)  # fmt: skip

SCHEDULES[SCHEDULE] = Schedule(
    dense=(Round(keep=1.0, images=55_040, ticks=1, learning_rate=0.1),),
    pruned=(
        Round(keep=0.30, images=8_960, ticks=1, learning_rate=0.05),
        Round(keep=0.10, images=8_960, ticks=1, learning_rate=0.05),
        Round(keep=0.05, images=8_960, ticks=1, learning_rate=0.05),
        Round(keep=0.025, images=25_600, ticks=TICKS, learning_rate=0.05),
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
    layers, channels, previous = [], in_channels, IMAGE
    for number, width in enumerate((32, 64, 128, 128), 1):
        name = f"conv{number}"
        layers.append(conv(name, (channels, width), previous, pool=Pool.MAX2))
        channels, previous = width, name
    fc = linear("fc", (channels, classes), previous)
    return (*layers, fc)


networks.NETWORKS[NETWORK] = study_network


class StudyPruner(Pruner):
    """A pruner that balances as a variant says."""

    def __init__(self, trainer: Trainer, variant: Variant) -> None:
        super().__init__(
            trainer.network, trainer.kept, trainer.schedule,
            policy=variant.policy, n_pe=trainer.n_pe, seed=trainer.seed,
        )  # fmt: skip
        self.variant, self.batches, self.layers = variant, trainer.batches, trainer.layers
        self.moved = 0  # weights set or cleared by the last balancing

    def prune(self, keep: float, number: tuple[int, int]) -> None:
        """With what the variant needs before, and sets to zero after."""
        if self.variant.gradient:
            self._gradients()
        if self.variant.grouped:
            self._group(keep)
        super().prune(keep, number)
        if self.variant.zero and self.variant.policy == "magnitude":
            with torch.no_grad():
                for name, w in self.network.prunable.items():
                    w[self.kept.masks[name] & ~torch.from_numpy(self.unbalanced[name])] = 0

    def balanced(self, masks: Masks, values: Masks, number: tuple[int, int]) -> Masks:
        """Balanced as the variant says, or not yet."""
        self.unbalanced, variant = masks, self.variant
        current = self.schedule.rounds[number[0]]
        if variant.late and current.keep > self.schedule.rounds[-1].keep:
            return masks
        if variant.gradient:
            values = {
                name: np.where(masks[name], values[name], self.gradients[name]) for name in masks
            }
        if variant.ranked:
            nnz = sum(int(np.count_nonzero(mask)) for mask in masks.values())
            result = balance.ranked(values, nnz=nnz, n_pe=self.n_pe, floor=self.schedule.floor)
        else:
            result = super().balanced(masks, values, number)
        self.moved = sum(int(np.count_nonzero(result[n] != masks[n])) for n in masks)
        return result

    def _gradients(self) -> None:
        """Of the loss of 1,024 training images, for every weight, in its mask or not."""
        self.network.eval()
        self.network.zero_grad()
        images = self.batches.normalized(self.batches.images[:1024].permute(0, 3, 1, 2), FULL_SIDE)
        outputs = self.network(images, TICKS)
        torch.nn.functional.cross_entropy(
            outputs.flatten(0, 1), self.batches.labels[:1024].repeat(TICKS)
        ).backward()
        self.gradients = {n: w.grad.numpy().copy() for n, w in self.network.prunable.items()}
        self.network.zero_grad(set_to_none=True)
        self.network.train()

    def _group(self, keep: float) -> None:
        """Sort the channels of every hidden layer by the nnz they are about to have."""
        masks = self.chosen(keep)
        state = self.network.state_dict()
        for layer, after in zip(self.layers[1:-1], self.layers[2:], strict=True):
            order = balance.sort_order(balance.filter_nnz(masks[layer.name]))
            order = torch.from_numpy(order)
            for tensors in (self.kept.masks, self.kept.last_alive):
                tensors[layer.name] = tensors[layer.name][order]
                tensors[after.name] = tensors[after.name][:, order]
            for name in state:
                if name.split(".")[1] == layer.name and state[name].ndim:
                    state[name] = state[name][order]
            state[f"weights.{after.name}.weight"] = state[f"weights.{after.name}.weight"][:, order]
            masks[after.name] = masks[after.name][:, order.numpy()]
        self.network.load_state_dict(state)


class StudyTrainer(Trainer):
    """A trainer that does not augment: no image is seen often. What it leaves may go on with more rounds, or fewer bits."""

    pruner: StudyPruner

    def _identity(self, *, pruned: bool = False) -> str:
        balanced = (self.policy, self.n_pe) if pruned else None
        return repr((SCHEDULES[SCHEDULE], self.seed, balanced))

    def _tell_time(self, method: bool) -> None:
        """Nobody reads it."""

    def _drawn(self, batch: int) -> list[torch.Tensor]:
        index, rows, columns = super()._drawn(batch)
        height, width = self.batches.images.shape[1:3]
        return [index, torch.arange(height).expand_as(rows), torch.arange(width).expand_as(columns)]


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


def workload(masks: dict[str, np.ndarray], *, sort: bool = False) -> dict[str, float | None]:
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
    return {"utilization": total.utilization, "occupancy": total.occupancy}


def trainer_of(seed: int, name: str, dataset: Dataset, schedule: Schedule) -> StudyTrainer:
    """A trainer of one variant; the dense network of a seed is shared."""
    result = StudyTrainer(
        study_network(), dataset, schedule, policy=VARIANTS[name].policy, n_pe=N_PE, seed=seed,
        folder=FOLDER / f"seed{seed}", log=lambda line: None,
    )  # fmt: skip
    result.pruner = StudyPruner(result, VARIANTS[name])
    return result


def exported(seed: int, name: str, method: str, dataset: Dataset, *, images: int = 100) -> Ticket:
    """The ticket of a finished run, tested on the first `images` images of the test set."""
    folder = FOLDER / f"seed{seed}"
    return make_ticket.make_ticket(
        folder / f"{method}.pt", dataset, network=NETWORK, layers=study_network(), method=method, schedule=SCHEDULE,
        policy=VARIANTS[name].policy, n_pe=N_PE, seed=seed,
        config=Config(ticks=TICKS), images=images, log=lambda line: None,
    )  # fmt: skip


def train(phase: str, seed: int, name: str, dataset: Dataset, *, test: bool) -> None:
    """One run, recorded. test: whether the test set is looked at."""
    trainer = trainer_of(seed, name, dataset, SCHEDULES[SCHEDULE])
    trainer.run(name)
    masks = {n: m.numpy() for n, m in trainer.kept.masks.items()}
    row = {
        "phase": phase, "seed": seed, "variant": name, "weight_bits": 16, **ticket.counts(masks),
        "moved": trainer.pruner.moved, **workload(masks),
        "validation": trainer.progress.history[-1]["validation_accuracy"],
    }  # fmt: skip
    if test:
        result = exported(seed, name, name, dataset, images=len(dataset.test_images))
        row["test"] = result.metadata["accuracy"]
        row["test_integer"] = result.metadata["accuracy_quantized"]
    record(row)


def check_sorted(result: Ticket, images: np.ndarray) -> None:
    """Raise RuntimeError unless the network in order of nnz computes what it computes unsorted."""
    network = quantize(result, Config(ticks=TICKS))
    layers = list(network.array)
    for i in range(len(layers) - 1):  # the classifier's order only names its outputs anew
        order = balance.sort_order(layers[i].filter_nnz)
        own = layers[i].own
        sorted_own = replace(own, weight=own.weight[order], mask=own.mask[order])
        fields = ("bias", "threshold", "scale")
        layers[i] = replace(
            layers[i],
            sources=(sorted_own,),
            **{field: getattr(layers[i], field)[order] for field in fields},
        )
        after = layers[i + 1].own
        moved = replace(after, weight=after.weight[:, order], mask=after.mask[:, order])
        layers[i + 1] = replace(layers[i + 1], sources=(moved,))
    spikes = evaluate.first_layer(network, images)
    expected, found = (
        evaluate.outputs(evaluate.integers(n), spikes)
        for n in (network, replace(network, array=tuple(layers)))
    )
    if not np.array_equal(expected, found):
        raise RuntimeError("the sorted network differs from the unsorted one")


def explore(dataset: Dataset, seeds: Sequence[int]) -> None:
    """All variants, by validation accuracy."""
    done = {(r["seed"], r["variant"]) for r in load_runs() if r["phase"] == "explore"}
    for seed in seeds:
        for name in VARIANTS:
            if (str(seed), name) not in done:
                train("explore", seed, name, dataset, test=False)


def confirm(dataset: Dataset, seeds: Sequence[int]) -> None:
    """The policies and what `explore` chose, by test accuracy."""
    done = {(r["seed"], r["variant"]) for r in load_runs() if r["phase"] == "confirm"}
    for seed in seeds:
        for name in ("none", "random", "magnitude", *ALTERNATIVES):
            if (str(seed), name) not in done:
                train("confirm", seed, name, dataset, test=True)


def bits(dataset: Dataset, seeds: Sequence[int]) -> None:
    """16, 8 and 4 bits: the networks of `confirm` rounded, as they are and after one more round."""
    done = {(r["seed"], r["variant"]) for r in load_runs() if r["phase"] == "bits"}
    for seed in seeds:
        for name in ("none", "magnitude", *ALTERNATIVES):
            folder = FOLDER / f"seed{seed}"
            if (str(seed), name) not in done:
                rounded = exported(seed, name, name, dataset)
                if name == "none":
                    check_sorted(rounded, dataset.test_images[:500])
                for weight_bits in (8, 4, 16):
                    record_bits(seed, name, rounded, dataset, weight_bits=weight_bits)
            for suffix, trained_bits in (("more", 16), ("more4bit", 4)):
                method = f"{name}_{suffix}"
                if (str(seed), method) not in done:
                    if not (folder / f"{method}.pt").is_file():
                        shutil.copyfile(folder / f"{name}.pt", folder / f"{method}.pt")
                    trainer_of(seed, name, dataset, more(trained_bits)).run(method)
                    trained = exported(seed, name, method, dataset)
                    record_bits(seed, method, trained, dataset, weight_bits=4)


def more(weight_bits: int) -> Schedule:
    """The schedule with one more short round, which trains with weights of so many bits."""
    schedule = SCHEDULES[SCHEDULE]
    last = schedule.rounds[-1]
    last = replace(last, images=min(last.images, 8_960), learning_rate=0.02)
    return replace(schedule, pruned=(*schedule.pruned, last), weight_bits=weight_bits)


def record_bits(
    seed: int, name: str, source: Ticket, dataset: Dataset, *, weight_bits: int
) -> None:
    """Record a ticket's integer network: its balance, by the integers, and its test accuracy."""
    network = quantize(source, Config(ticks=TICKS, weight_bits=weight_bits))
    loaded = {layer.name: layer.own.weight != 0 for layer in network.array}
    images, labels = dataset.test_images[:BITS_IMAGES], dataset.test_labels[:BITS_IMAGES]
    _, accuracy = evaluate.accuracies(network, images, labels)
    row = {
        "phase": "bits", "seed": seed, "variant": name, "weight_bits": weight_bits,
        **ticket.counts(loaded), **workload(loaded), "test_integer": accuracy,
    }  # fmt: skip
    if name == "none":
        record({**row, "variant": "sort", **workload(loaded, sort=True)})
    record(row)


def summary(seeds: Sequence[int] | None) -> None:
    """Mean differences to `none`, in points, paired by seed, with 95 % intervals (t)."""
    runs = [r for r in load_runs() if seeds is None or int(r["seed"]) in seeds]
    values = {
        (r["phase"], r["variant"], r["weight_bits"], r["seed"]): r
        for r in runs
    }  # fmt: skip
    fields = (
        ("explore", "validation"),
        ("confirm", "validation"),
        ("confirm", "test"),
        ("confirm", "test_integer"),
        ("bits", "test_integer"),
    )
    for phase, field in fields:
        print(f"\n{phase}, {field}: seeds, mean, mean difference to none (95 % interval), balance")
        kinds = dict.fromkeys((r["variant"], r["weight_bits"]) for r in runs if r["phase"] == phase)
        for variant, weight_bits in kinds:
            mine = {k[3]: r for k, r in values.items() if k[:3] == (phase, variant, weight_bits)}
            base = (phase, "none", "16")
            pairs = [
                (float(r[field]), float(values[(*base, seed)][field]))
                for seed, r in mine.items()
                if (*base, seed) in values and r[field] and values[(*base, seed)][field]
            ]
            if not pairs:
                continue
            mean = 100 * np.mean([a for a, _ in pairs])
            middle, half = interval([100 * (a - b) for a, b in pairs])
            balanced = [np.mean([float(r[f]) for r in mine.values()])
                        for f in ("nnz", "utilization", "occupancy")]  # fmt: skip
            print(
                f"{variant:16}{weight_bits:>3} bit {len(pairs):2}  {mean:6.2f}  {middle:+.2f} "
                f"({middle - half:+.2f} to {middle + half:+.2f})  nnz {balanced[0]:.0f}, "
                f"utilization {balanced[1]:.4f}, occupancy {balanced[2]:.4f}"
            )


def interval(differences: list[float]) -> tuple[float, float]:
    """Mean and half of its 95 % confidence interval by Student's t; NaN for fewer than two."""
    n = len(differences)
    if n < 2:
        return float(np.mean(differences)), float("nan")
    spread = np.std(differences, ddof=1) / np.sqrt(n)
    return float(np.mean(differences)), float(stats.t.ppf(0.975, n - 1) * spread)


PHASES = {"explore": explore, "confirm": confirm, "bits": bits}
SEEDS = {"explore": EXPLORE_SEEDS, "confirm": CONFIRM_SEEDS, "bits": CONFIRM_SEEDS}


def main() -> None:
    """Run the phases named on the command line, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("phase", nargs="*", choices=[*PHASES, "summary", []])
    parser.add_argument("--seeds", type=int, nargs="+", help="Some of a phase's seeds.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for phase in arguments.phase or [*PHASES, "summary"]:
        if phase == "summary":
            summary(arguments.seeds)
        else:
            PHASES[phase](small_images(), arguments.seeds or SEEDS[phase])


if __name__ == "__main__":
    main()
