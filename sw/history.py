"""What a ticket records of each round of its training."""

from __future__ import annotations

from typing import Any

from sw import prune
from sw.balance import filter_nnz
from sw.datasets import Dataset
from sw.forward import Forward
from sw.schedule import Round

VALIDATION_IMAGES = 5_000  # the last of the training set, at most a fifth of it; never trained on
SPARSITY_IMAGES = 250  # of the validation set, for the input sparsity of each round


def validation_images(dataset: Dataset) -> int:
    """How many training images are held out."""
    return min(VALIDATION_IMAGES, len(dataset.train_images) // 5)


def summary(runs: Forward, dataset: Dataset, current: Round) -> dict[str, Any]:
    """Of the network as it stands at the end of a round, measured on the validation images."""
    held_out = validation_images(dataset)
    images, labels = dataset.train_images[-held_out:], dataset.train_labels[-held_out:]
    masks = {name: mask.numpy() for name, mask in runs.kept.masks.items()}
    return {
        "keep": current.keep,
        "images": current.images,
        "ticks": current.ticks,
        "side": current.side,
        "output": current.output.value,
        "validation_accuracy": runs.accuracy(images, labels, current),
        "weight_sparsity": prune.sparsity(masks),
        "filter_nnz": {name: filter_nnz(mask).tolist() for name, mask in masks.items()},
        "input_sparsity": runs.input_sparsity(images[:SPARSITY_IMAGES], current),
    }
