"""Image data sets in their published layouts, as NumPy arrays of 32x32 images.

All are read from below the data folder (`$UTICKET_DATA`, else `data/`), and fetched from their home
pages if they are not there:

    cifar10        cifar-10-batches-py/data_batch_1 ... test_batch
    fashion_mnist  fashion-mnist/*-ubyte.gz (also where Debian's dataset-fashion-mnist puts them)
    svhn           svhn/train_32x32.mat, test_32x32.mat
"""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import tarfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sw.layers import Encoding, Input

SIDE = 32  # of every image, in pixels
MAX_BYTES = 100 << 20  # of a file of Fashion-MNIST, unpacked: twice the largest
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
Split = tuple[np.ndarray, np.ndarray]  # uint8 images (N, C, 32, 32), int64 labels (N,)


@dataclass(frozen=True)
class Dataset:
    """Images as uint8 (N, C, H, W) with labels (N,), and the per-channel statistics in [0, 1].

    Event frames are uint8 (N, T, C, H, W), 0 or 1, and have no statistics.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """Of an image."""
        return self.train_images.shape[-3]

    @property
    def ticks(self) -> int | None:
        """Of event frames; None for images."""
        return self.train_images.shape[1] if self.train_images.ndim == 5 else None

    @property
    def classes(self) -> int:
        """As many as there are labels."""
        return int(self.train_labels.max()) + 1

    @property
    def input(self) -> Input:
        """What a network sees of it."""
        shape = self.train_images.shape[-3:]
        if self.ticks:
            return Input(shape=shape, encoding=Encoding.SPIKES)
        return Input(shape=shape, mean=self.mean, std=self.std)


# Per-channel mean and deviation of the training images, in units of full scale. Fashion-MNIST's are
# those of the images as padded to 32x32.
STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "fashion_mnist": ((0.2190,), (0.3318,)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
}


def data_folder() -> Path:
    """Where data sets live: `$UTICKET_DATA`, else `data/` in the checkout."""
    return Path(os.environ.get("UTICKET_DATA", Path(__file__).parent.parent / "data"))


def load(name: str, folder: Path | None = None) -> Dataset:
    """Load a data set by name, fetching what is missing. Raises ValueError for an unknown name."""
    folder = folder or data_folder()
    mean, std = _known(name)
    train, test = (_LOADERS[name](folder, part, True) for part in ("train", "test"))
    return Dataset(name, *train, *test, mean=mean, std=std)


def load_test(name: str) -> Split:
    """Test images and labels alone. Raises FileNotFoundError where they are not there: no fetching.

    Raises ValueError, naming the file, for a damaged one.
    """
    _known(name)
    return _LOADERS[name](data_folder(), "test", False)


def scaled(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """uint8 images (N, C, H, W) as float64, (image / 255 - mean) / std for each channel."""
    shift, scale = (np.array(s).reshape(1, -1, 1, 1) for s in (mean, std))
    return (images / 255.0 - shift) / scale


def _known(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if name not in STATISTICS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(STATISTICS)}")
    return STATISTICS[name]


# --- CIFAR-10 ---

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
CIFAR10_MD5 = "c58f30108f718f92721af3b95e74349a"


def _cifar10(folder: Path, part: str, fetch: bool) -> Split:
    root = folder / "cifar-10-batches-py"
    if fetch and not (root / "test_batch").is_file():
        archive = folder / "cifar-10-python.tar.gz"
        _fetch("CIFAR-10", CIFAR10_URL, archive, CIFAR10_MD5, needed=root)
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        archive.unlink()
    files = ["test_batch"] if part == "test" else [f"data_batch_{k}" for k in range(1, 6)]
    batches = [_cifar10_batch(root / file) for file in files]
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return images, labels


class _Plain(pickle.Unpickler):
    """A batch holds dictionaries, lists, strings and numbers, and an array of bytes: nothing else is made."""

    ALLOWED: ClassVar[set[tuple[str, str]]] = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    }

    def find_class(self, module: str, name: str) -> Any:
        """The class or function of that name. Raises UnpicklingError where an array needs none such."""
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _cifar10_batch(path: Path) -> Split:
    with path.open("rb") as f, _refused(path):
        batch = _Plain(f, encoding="bytes").load()
        images, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
        return _split(images.reshape(-1, 3, SIDE, SIDE), labels)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Whatever a reader raises for a damaged file becomes a ValueError that names it."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: damaged, or not of its published format ({reason})") from None


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    """Raises ValueError unless there are bytes of images, one or more, and a label 0 to 9 for each."""
    if images.dtype != np.uint8 or not len(images):
        raise ValueError(f"images = {images.dtype} {images.shape}, allowed: uint8, one or more")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels = {labels.dtype} {labels.shape}, allowed: one of each image")
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"labels from {labels.min()} to {labels.max()}, allowed: 0 to 9")
    return images, labels.astype(np.int64)


# --- Fashion-MNIST ---

FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}


def _fashion_mnist(folder: Path, part: str, fetch: bool) -> Split:
    """28x28 images, with two rows and columns of zeros (their background) around them."""
    root, prefix = folder / "fashion-mnist", "t10k" if part == "test" else "train"
    arrays = []
    for kind, offset in (("images-idx3", 16), ("labels-idx1", 8)):
        file = f"{prefix}-{kind}-ubyte.gz"
        path = root / file
        if not path.is_file() and (DEBIAN_FASHION_MNIST / file).is_file():
            path = DEBIAN_FASHION_MNIST / file
        elif fetch and not path.is_file():
            url = FASHION_MNIST_URL + file
            _fetch("Fashion-MNIST", url, path, FASHION_MNIST_MD5[file], needed=path)
        with path.open("rb") as packed, _refused(path), gzip.open(packed) as f:
            content = f.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES:,} bytes")
            arrays.append(np.frombuffer(content, np.uint8, offset=offset))
            if kind == "images-idx3":
                arrays[0] = arrays[0].reshape(-1, 1, 28, 28)
    with _refused(path):
        images, labels = _split(*arrays)
    edge = (SIDE - 28) // 2
    padded = np.pad(images, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    return padded, labels


# --- SVHN ---

SVHN_URL = "http://ufldl.stanford.edu/housenumbers/"
SVHN_MD5 = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


def _svhn(folder: Path, part: str, fetch: bool) -> Split:
    file = f"{part}_32x32.mat"
    path = folder / "svhn" / file
    if fetch and not path.is_file():
        _fetch("SVHN", SVHN_URL + file, path, SVHN_MD5[file], needed=path)
    with path.open("rb") as f:
        try:
            from scipy.io import loadmat
        except ImportError:
            raise ValueError(
                f"{path}: SciPy is missing, which reads it; .venv/bin/pip install -e '.[train]'"
            ) from None
        with _refused(path):
            content = loadmat(f)
            images = np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1))  # (32, 32, 3, N)
            if images.shape[1:] != (3, SIDE, SIDE):
                raise ValueError(f"X = {content['X'].shape}, allowed: (32, 32, 3, N)")
            return _split(images, content["y"].ravel() % 10)  # the digit 0 is labelled 10


_LOADERS: dict[str, Callable[[Path, str, bool], Split]] = {
    "cifar10": _cifar10,
    "fashion_mnist": _fashion_mnist,
    "svhn": _svhn,
}


def _fetch(what: str, url: str, path: Path, md5: str, *, needed: Path) -> None:
    """Download one file whole; its checksum is verified before anything reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        urllib.request.urlretrieve(url, partial)  # noqa: S310 - constants above
        digest = hashlib.md5(partial.read_bytes(), usedforsecurity=False).hexdigest()
        if digest != md5:
            raise ValueError(f"{url}: MD5 is {digest}, should be {md5}")
        partial.replace(path)
    except OSError as error:
        raise ValueError(
            f"{what}: {needed} is not there and could not be fetched from {url} ({error}); "
            "put it there yourself, or set UTICKET_DATA"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
