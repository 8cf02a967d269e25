"""Image data sets in their published layouts, as NumPy arrays.

CIFAR-10 is read from `cifar-10-batches-py/` below the data folder (`$UTICKET_DATA`, else `data/`),
and fetched from its home page if it is not there.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
CIFAR10_MD5 = "c58f30108f718f92721af3b95e74349a"


@dataclass(frozen=True)
class Dataset:
    """Images as uint8 (N, C, H, W) with labels (N,), and the per-channel statistics in [0, 1]."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    mean: tuple[float, ...]
    std: tuple[float, ...]


# Per-channel mean and deviation of the training images, in units of full scale.
STATISTICS = {"cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))}


def data_folder() -> Path:
    """Where data sets live: `$UTICKET_DATA`, else `data/` in the checkout."""
    return Path(os.environ.get("UTICKET_DATA", Path(__file__).parent.parent / "data"))


def load(name: str, folder: Path | None = None) -> Dataset:
    """Load a data set by name. Raises ValueError for an unknown name, listing the known."""
    if name != "cifar10":
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(STATISTICS)}")
    return _cifar10(folder or data_folder())


def load_test(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Test images and labels alone. Raises FileNotFoundError where they are not there: no fetching."""
    if name != "cifar10":
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(STATISTICS)}")
    return _batch(data_folder() / "cifar-10-batches-py" / "test_batch")


def normalize(images: np.ndarray, name: str) -> np.ndarray:
    """uint8 images (N, C, H, W) as float64 with zero mean and unit deviation per channel."""
    mean, std = (np.array(s).reshape(1, -1, 1, 1) for s in STATISTICS[name])
    return (images / 255.0 - mean) / std


def _cifar10(folder: Path) -> Dataset:
    root = folder / "cifar-10-batches-py"
    if not (root / "test_batch").is_file():
        _fetch_cifar10(folder)
    train = [_batch(root / f"data_batch_{k}") for k in range(1, 6)]
    test = _batch(root / "test_batch")
    mean, std = STATISTICS["cifar10"]
    return Dataset(
        "cifar10",
        np.concatenate([images for images, _ in train]),
        np.concatenate([labels for _, labels in train]),
        *test,
        mean=mean,
        std=std,
    )


def _batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with path.open("rb") as f:
        batch = pickle.load(f, encoding="bytes")  # noqa: S301 - the published format is a pickle
    images = np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32)
    return images, np.asarray(batch[b"labels"], np.int64)


def _fetch_cifar10(folder: Path) -> None:
    """Download and unpack CIFAR-10; the archive's checksum is verified before it is opened."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "cifar-10-python.tar.gz"
    try:
        urllib.request.urlretrieve(CIFAR10_URL, archive)
    except OSError as error:
        raise ValueError(
            f"CIFAR-10 is not in {folder} and could not be fetched from {CIFAR10_URL} ({error}); "
            "unpack cifar-10-batches-py there yourself, or set UTICKET_DATA"
        ) from None
    digest = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
    if digest != CIFAR10_MD5:
        archive.unlink()
        raise ValueError(f"{archive.name}: MD5 is {digest}, should be {CIFAR10_MD5}")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    archive.unlink()
