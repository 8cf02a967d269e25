"""The test images of a data set, in its own order: the first 100 ship beside the tickets."""

from __future__ import annotations

import numpy as np

from sim.catalog import TICKETS
from sim.errors import BadInput
from sw import datasets


def first_images(dataset: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` test images, uint8 (count, C, H, W), and their labels, int64 (count,).

    Beyond those that ship, the user's data set is used. Raises BadInput where it has too few.
    """
    images, labels = _shipped(dataset)
    if count > len(images):
        try:
            whole = datasets.load_test(dataset)
        except FileNotFoundError as error:
            raise BadInput(
                f"IMAGES = {count}: {len(images)} test images of {dataset} ship, and the whole set "
                f"is not there ({error.filename}); UTICKET_DATA names another folder"
            ) from None
        images, labels = whole
    if count > len(images):
        raise BadInput(f"IMAGES = {count}; allowed: 1 to {len(images)}, all that {dataset} has")
    return images[:count], labels[:count].astype(np.int64)


def _shipped(dataset: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(TICKETS / f"{dataset}_test100.npz", allow_pickle=False) as file:
        return file["images"], file["labels"]
