"""A data set of one's own: an .npz of images or event frames, and labels (docs/training.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sw import archive
from sw.datasets import Dataset, Split

PARTS = ("train", "test")
LEAST = 10  # training images: some of them are held out
MAX_CLASSES = 1024


def read(path: Path) -> Dataset:
    """The data set of a file, under the file's name.

    path: an .npz of train_images, train_labels, test_images, test_labels. Images are uint8 (N, C, H, W),
    or (N, H, W) of one channel, or event frames (N, T, C, H, W), 0 or 1; labels are whole numbers from 0. The
    statistics are those of the training images; frames have none.
    Raises ValueError, naming file and array, for anything else.
    """
    (train_images, train_labels), test = (_split(path, part) for part in PARTS)
    if len(train_images) < LEAST:
        raise ValueError(f"{path}: {len(train_images)} training images; allowed: at least {LEAST}")
    if test[0].shape[1:] != train_images.shape[1:]:
        raise ValueError(
            f"{path}: test_images = {test[0].shape}, allowed: (N, "
            f"{', '.join(map(str, train_images.shape[1:]))}), as train_images"
        )
    if test[1].max() > train_labels.max():
        raise ValueError(
            f"{path}: test_labels hold {test[1].max()}; allowed: 0 to {train_labels.max()}, as train_labels"
        )
    mean, std = np.zeros(0), np.zeros(0)
    if train_images.ndim == 4:
        mean = train_images.mean((0, 2, 3)) / 255
        std = np.maximum(train_images.std((0, 2, 3)) / 255, 1 / 255)
    return Dataset(
        path.stem,
        train_images,
        train_labels,
        *test,
        mean=tuple(float(f"{value:.4f}") for value in mean),
        std=tuple(float(f"{value:.4f}") for value in std),
    )


def read_test(path: Path) -> Split:
    """Its test images and labels alone. Raises ValueError as `read` does."""
    return _split(path, "test")


def _split(path: Path, part: str) -> Split:
    names = f"{part}_images", f"{part}_labels"
    try:
        with archive.opened(path) as file:
            for name in names:
                if name not in file.names:
                    allowed = ", ".join(
                        f"{p}_{what}" for p in PARTS for what in ("images", "labels")
                    )
                    raise ValueError(f"{path}: {name} is missing; allowed: {allowed}")
            images, labels = (file[name] for name in names)
    except archive.Unreadable as error:
        raise ValueError(f"{path}: no .npz of images and labels ({error})") from None
    if images.ndim == 3:
        images = images[:, None]
    if images.dtype != np.uint8 or images.ndim not in (4, 5) or 0 in images.shape:
        raise ValueError(
            f"{path}: {names[0]} = {images.dtype} {images.shape}, allowed: uint8 (N, C, H, W), or "
            "event frames (N, T, C, H, W)"
        )
    if images.ndim == 5 and images.max() > 1:
        raise ValueError(f"{path}: {names[0]} hold {images.max()}; allowed of event frames: 0, 1")
    if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
        raise ValueError(
            f"{path}: {names[1]} = {labels.dtype} {labels.shape}, allowed: integers "
            f"({len(images)},), one an image"
        )
    if labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise ValueError(
            f"{path}: {names[1]} from {labels.min()} to {labels.max()}, allowed: 0 to {MAX_CLASSES - 1}"
        )
    return images, labels.astype(np.int64)
