"""The loaders, on small files in each data set's published format."""

import gzip
import os
import pickle
import sys

import numpy as np
import pytest
from scipy.io import savemat

from sim.images import first_images
from support.errors import BadInput
from sw import datasets

COUNTS = {"train": 12, "test": 5}


def images(count, channels, side, seed):
    rng = np.random.default_rng(seed)
    shape = (count, channels, side, side)
    return rng.integers(0, 256, shape, np.uint8), rng.integers(0, 10, count)


def cifar10(folder):
    root = folder / "cifar-10-batches-py"
    root.mkdir()
    parts = [*(images(3, 3, 32, k) for k in range(5)), images(5, 3, 32, 9)]
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    for name, (pixels, labels) in zip(names, parts, strict=True):
        batch = {b"data": pixels.reshape(len(pixels), -1), b"labels": labels.tolist()}
        (root / name).write_bytes(pickle.dumps(batch))
    train = [np.concatenate(arrays) for arrays in zip(*parts[:5], strict=True)]
    return train, parts[5]


def fashion_mnist(folder):
    root = folder / "fashion-mnist"
    root.mkdir()
    result = []
    for prefix, count in (("train", COUNTS["train"]), ("t10k", COUNTS["test"])):
        pixels, labels = images(count, 1, 28, count)
        header = np.array([2051, count, 28, 28], ">i4").tobytes()
        (root / f"{prefix}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(header + pixels.tobytes())
        )
        header = np.array([2049, count], ">i4").tobytes()
        content = header + labels.astype(np.uint8).tobytes()
        (root / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))
        wide = np.zeros((count, 1, 32, 32), np.uint8)
        wide[:, :, 2:30, 2:30] = pixels
        result.append((wide, labels))
    return result


def svhn(folder):
    root = folder / "svhn"
    root.mkdir()
    result = []
    for part, count in COUNTS.items():
        pixels, labels = images(count, 3, 32, count)
        labels[0] = 0
        published = np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)
        savemat(root / f"{part}_32x32.mat", {"X": pixels.transpose(2, 3, 1, 0), "y": published})
        result.append((pixels, labels))
    return result


@pytest.mark.parametrize("write", [cifar10, fashion_mnist, svhn])
def test_published_files_are_read(tmp_path, monkeypatch, write):
    train, test = write(tmp_path)
    name = write.__name__
    loaded = datasets.load(name, tmp_path)
    for got, want in ((loaded.train_images, train[0]), (loaded.test_images, test[0])):
        assert got.dtype == np.uint8
        assert np.array_equal(got, want)
    for got, want in ((loaded.train_labels, train[1]), (loaded.test_labels, test[1])):
        assert got.dtype == np.int64
        assert np.array_equal(got, want)
    assert len(loaded.mean) == len(loaded.std) == loaded.channels
    monkeypatch.setenv("UTICKET_DATA", str(tmp_path))
    for got, want in zip(datasets.load_test(name), test, strict=True):
        assert np.array_equal(got, want)


@pytest.mark.parametrize("name", ["cifar10", "svhn"])
def test_a_missing_test_set_is_not_fetched(tmp_path, monkeypatch, name):
    monkeypatch.setenv("UTICKET_DATA", str(tmp_path))
    monkeypatch.setattr(datasets.urllib.request, "urlretrieve", None)
    with pytest.raises(FileNotFoundError):
        datasets.load_test(name)


def test_what_cannot_be_fetched_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(url, path):
        path.write_bytes(b"half")
        raise OSError("no route to host")

    monkeypatch.setattr(datasets.urllib.request, "urlretrieve", fail)
    with pytest.raises(ValueError, match=r"SVHN: .*train_32x32.mat is not there .* UTICKET_DATA"):
        datasets.load("svhn", tmp_path)
    assert not list(tmp_path.rglob("*.mat*"))


def test_a_download_with_another_checksum_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        datasets.urllib.request, "urlretrieve", lambda url, path: path.write_bytes(b"other")
    )
    with pytest.raises(ValueError, match=r"train_32x32.mat: MD5 is [0-9a-f]{32}, should be e26d"):
        datasets.load("svhn", tmp_path)
    assert not list(tmp_path.rglob("*.mat*"))


def test_unknown_data_sets_are_named(tmp_path):
    for call in (lambda: datasets.load("mnist", tmp_path), lambda: datasets.load_test("mnist")):
        with pytest.raises(ValueError, match="unknown data set 'mnist'; known: cifar10, fashion"):
            call()


class Harm:
    """Its pickle makes a folder when it is read as any pickle."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_pickle_is_not_executed(tmp_path, monkeypatch):
    cifar10(tmp_path)
    monkeypatch.setenv("UTICKET_DATA", str(tmp_path))
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(pickle.dumps({b"data": Harm(tmp_path / "harmed"), b"labels": [1]}))
    with pytest.raises(ValueError, match=r"test_batch: damaged, .*asks for posix.mkdir"):
        datasets.load_test("cifar10")
    assert not (tmp_path / "harmed").exists()


def test_the_published_protocol_is_read(tmp_path, monkeypatch):
    """CIFAR-10's batches were written by Python 2, whose strings are bytes: protocol 2, names of old modules."""
    _, test = cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    batch = {b"data": test[0].reshape(5, -1), b"labels": test[1].tolist()}
    path.write_bytes(
        pickle.dumps(batch, protocol=2).replace(b"numpy._core.multi", b"numpy.core.multi")
    )
    monkeypatch.setenv("UTICKET_DATA", str(tmp_path))
    assert np.array_equal(datasets.load_test("cifar10")[0], test[0])


FILES = {
    "cifar10": "cifar-10-batches-py/test_batch",
    "fashion_mnist": "fashion-mnist/t10k-images-idx3-ubyte.gz",
    "svhn": "svhn/test_32x32.mat",
}


@pytest.mark.parametrize("write", [cifar10, fashion_mnist, svhn])
@pytest.mark.parametrize("damage", ["empty", "other", "cut"])
def test_damaged_files_are_one_line_that_names_them(tmp_path, monkeypatch, write, damage):
    write(tmp_path)
    path = tmp_path / FILES[write.__name__]
    content = path.read_bytes()
    cut = content[: len(content) // 2]
    path.write_bytes({"empty": b"", "other": b"<html>not found</html>", "cut": cut}[damage])
    monkeypatch.setenv("UTICKET_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="damaged, or not of its published format") as error:
        datasets.load_test(write.__name__)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_image_less_than_labels_is_told(tmp_path, monkeypatch):
    fashion_mnist(tmp_path)
    path = tmp_path / FILES["fashion_mnist"]
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[: -28 * 28]))
    monkeypatch.setenv("UTICKET_DATA", str(tmp_path))
    with pytest.raises(
        ValueError, match=r"t10k-labels.*labels = uint8 \(5,\), allowed: one of each"
    ):
        datasets.load_test("fashion_mnist")


def test_svhn_without_scipy_says_so(tmp_path, monkeypatch):
    svhn(tmp_path)
    monkeypatch.setenv("UTICKET_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ValueError, match=r"test_32x32.mat: SciPy is missing"):
        datasets.load_test("svhn")


def test_svhn_whose_images_do_not_ship_is_read_or_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("UTICKET_DATA", str(tmp_path))
    with pytest.raises(BadInput, match=r"0 test images of svhn ship.*test_32x32.mat.*UTICKET_DATA"):
        first_images("svhn", 1)
    _, (pixels, labels) = svhn(tmp_path)
    found = first_images("svhn", 2)
    assert np.array_equal(found[0], pixels[:2])
    assert np.array_equal(found[1], labels[:2])
