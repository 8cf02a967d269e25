"""Event frames of a data set's images: what a camera of brightness changes sees when they move past it.

    python benchmarks/moving_images.py OUT.npz [--dataset cifar10] [--ticks 8] [--train 20000] [--test 2000]

CIFAR10-DVS and N-MNIST were recorded so, of images that a screen moves along a closed path. Here an image, in grey and at half
its sides, moves by a pixel each tick: right, down, left, up. A frame has two polarities: 1 where the
brightness has risen, or fallen, by more than an eighth since the tick before.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from sw import datasets

PATH = ((0, 1), (1, 0), (0, -1), (-1, 0))
CHANGE = 1 / 8
"""Of the brightness, 0 to 1, that makes an event."""


def frames(images: np.ndarray, ticks: int) -> np.ndarray:
    """uint8 (N, C, H, W) -> events, uint8 (N, T, 2, H / 2, W / 2), 0 or 1."""
    grey = images.mean(axis=1, dtype=np.float32) / 255
    count, height, width = grey.shape
    grey = grey.reshape(count, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    found = np.empty((count, ticks, 2, height // 2, width // 2), np.uint8)
    at = np.zeros(2, int)
    for t in range(ticks):
        step = np.array(PATH[t * len(PATH) // ticks])
        before, after = (np.roll(grey, place, (1, 2)) for place in (at, at + step))
        found[:, t, 0] = after - before > CHANGE
        found[:, t, 1] = before - after > CHANGE
        at += step
    return found


def main() -> None:
    """Write the file that `dataset:` of a MODEL.yaml names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--ticks", type=int, default=8)
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--test", type=int, default=2_000)
    given = parser.parse_args()
    data = datasets.load(given.dataset)
    arrays: dict[str, Any] = {}
    for name, images, labels, count in (
        ("train", data.train_images, data.train_labels, given.train),
        ("test", data.test_images, data.test_labels, given.test),
    ):
        found = frames(images[:count], given.ticks)
        arrays |= {f"{name}_images": found, f"{name}_labels": labels[:count]}
        print(f"{name}: {found.shape}, {found.mean():.1%} of it are events")
    np.savez_compressed(given.out, **arrays)


if __name__ == "__main__":
    main()
