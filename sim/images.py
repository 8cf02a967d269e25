"""Images for a network: the test images of a data set, of which the first 100 ship, or a user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sim.catalog import TICKETS
from support.errors import BadInput
from sw import archive, datasets, own_data
from sw.layers import Encoding, Network


def first_images(dataset: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` test images, uint8 (count, C, H, W), and their labels, int64 (count,).

    Beyond those that ship, the user's data set is used. Raises BadInput where it has too few.
    """
    shipped = TICKETS / f"{dataset}_test100.npz"
    images, labels = _arrays(shipped) if shipped.is_file() else (np.empty(0), np.empty(0))
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


def read_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """The arrays of those names in an .npz, all if none is named.

    Raises BadInput, naming the file, for another or a damaged one.
    """
    try:
        with archive.opened(path) as file:
            return {name: file[name] for name in file.names if name in (names or file.names)}
    except archive.Unreadable as error:
        raise BadInput(f"{path}: not an .npz file, or a damaged one ({error})") from None


def own_images(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """As `first_images`, of a data set of the user's own."""
    images, labels = own_data.read_test(path)
    if count > len(images):
        raise BadInput(f"IMAGES = {count}; allowed: 1 to {len(images)}, all that {path} has")
    return images[:count], labels[:count]


def read_images(path: Path, network: Network, ticks: int) -> tuple[np.ndarray, np.ndarray | None]:
    """A user's `images`, as `Deployment.run` takes them, and `labels`, int64 (N,), if there are any.

    path: an .npz of `images` uint8 (N, C, H, W), or (N, H, W) of one channel, and perhaps `labels`
    (N,). A network that takes spikes gets them for each tick, (N, T, C, H, W), 0 or 1.
    Raises BadInput, naming file and array, for anything else.
    """
    arrays = read_arrays(path, "images", "labels")
    if "images" not in arrays:
        raise BadInput(f"{path}: images is missing; allowed: images, and labels if there are any")
    try:
        return checked_images(arrays["images"], arrays.get("labels"), network, ticks)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def checked_images(
    images: np.ndarray, labels: np.ndarray | None, network: Network, ticks: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Both as `read_images` has them. Raises BadInput, naming the array."""
    spikes = network.input.encoding is Encoding.SPIKES
    shape = (ticks, *network.input.shape) if spikes else network.input.shape
    if not spikes and shape[0] == 1 and images.ndim == 3:
        images = images[:, None]
    if images.dtype == bool and spikes:
        images = images.astype(np.uint8)
    if images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
        raise BadInput(
            f"images = {images.dtype} {images.shape}, allowed: uint8 (N, "
            f"{', '.join(map(str, shape))}), N at least 1"
        )
    if spikes and images.max() > 1:
        raise BadInput(f"images hold {images.max()}; allowed: spikes, 0 or 1")
    if labels is not None:
        if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
            raise BadInput(
                f"labels = {labels.dtype} {labels.shape}, allowed: integers "
                f"({len(images)},), one an image"
            )
        labels = labels.astype(np.int64)
    return images, labels


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return file["images"], file["labels"]
