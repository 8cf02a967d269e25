"""`uticket train MODEL.yaml` of one's own layers and data, and what is refused."""

import re

import numpy as np
import pytest
import yaml

from sim.catalog import load_model
from support.errors import BadInput
from sw import own_data, rows, ticket
from sw.layers import Input, Pool, Reduce
from tests.command import status as run

LAYERS = [
    {"conv": 8, "pool": "max2"},
    {"conv": 16, "name": "wide"},
    {"conv": 16, "add": "wide", "pool": "max2"},
    {"conv": 24, "kernel": 1, "reduce": "mean"},
    {"linear": 4},
]
PIXELS = Input(shape=(1, 16, 16))


def squares(count, seed):
    """Images (count, 16, 16) with a bright square in one of four corners, and the corner."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    images = rng.integers(0, 60, (count, 16, 16)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = 8 * (label // 2), 8 * (label % 2)
        image[row + 1 : row + 7, column + 1 : column + 7] += 150
    return images, labels


@pytest.fixture
def arrays():
    train, test = squares(200, 1), squares(40, 2)
    return dict(
        zip(
            ("train_images", "train_labels", "test_images", "test_labels"),
            train + test,
            strict=True,
        )
    )


@pytest.fixture
def folder(tmp_path, monkeypatch, arrays):
    np.savez(tmp_path / "squares.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, **changed):
    content = {
        "network": LAYERS,
        "dataset": "squares.npz",
        "schedule": "vgg:0.0001",
        "sparsity": 0.75,
        "mirror": False,  # a square's side is its class
        "methods": {"uticket": "uticket.npz", "lth": "lth.npz"},
        "baseline": "lth",
        "hardware": {"n_pe": 4},
    }
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**content, **changed}))
    return path


def test_a_network_of_ones_own_is_trained_pruned_balanced_and_estimated(folder, capsys):
    path = write(folder)
    assert run("train", str(path), "--threads", "1", "--no-compile") == 0
    found = {name: ticket.load(folder / f"{name}.npz") for name in ("uticket", "lth")}
    for name, one in found.items():
        assert one.metadata["weight_sparsity"] == pytest.approx(0.75, abs=0.01), name
        assert (one.metadata["network"], one.metadata["dataset"]) == ("mine", "squares")
        assert one.metadata["test_images"] == 40
        assert one.network.input.shape == (1, 16, 16)
        assert [layer.filters for layer in one.network.layers] == [8, 16, 16, 24, 4]
    counts = [one.masks["conv3"].sum((1, 2, 3)) for one in (found["uticket"], found["lth"])]
    spread = [np.ptp(c.reshape(-1, 4), axis=1).max() for c in counts]
    assert spread[0] <= 1 < spread[1]  # groups of four PEs are balanced
    capsys.readouterr()
    assert run("estimate", str(path), "--images", "2") == 0  # its own test images
    assert "conv3" in capsys.readouterr().out


def test_rows_become_layers():
    built = rows.build(rows.read(LAYERS), PIXELS)
    assert [layer.name for layer in built] == ["conv1", "wide", "conv3", "conv4", "fc5"]
    assert built[0].pool is Pool.MAX2
    assert built[3].reduce is Reduce.MEAN
    assert built[2].identities[0].map == "wide"
    assert built[4].own.channels == 24
    assert built[4].neuron is None


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ([], r"network = \[\]; allowed: a list of 1 to 1000 layers"),
        ([{"convolution": 8}], r"network\[0\]: convolution = 8; allowed: conv, linear, name"),
        (
            [{"conv": 0}, {"linear": 4}],
            r"network\[0\]: conv = 0; allowed: .*greater than or equal to 1",
        ),
        (
            [{"conv": 8, "pool": "avg"}, {"linear": 4}],
            r"network\[0\]: pool = 'avg'; allowed: .*max2",
        ),
        (["conv"], r"network\[0\]: a row = 'conv'; allowed: conv, linear"),
        ([{"conv": 8}], r"network\[0\]: conv; allowed: linear in the last row"),
        ([{"conv": 8, "linear": 4}], r"network\[0\]: conv and linear; allowed: one of them"),
        (
            [{"linear": 8, "pool": "max2"}, {"linear": 4}],
            r"network\[0\]: pool of a linear layer; allowed: linear, name, neuron$",
        ),
        (
            [{"linear": 4, "stride": 2}],
            r"network\[0\]: stride of a linear layer, the last; allowed: linear, name$",
        ),
    ],
)
def test_rows_that_say_no_network_are_one_line(network, message, folder):
    with pytest.raises(BadInput, match=message):
        load_model(str(write(folder, network=network)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"network": [*LAYERS[:2], {"conv": 8, "add": "wide"}, {"linear": 4}]},
            "channels = 8, allowed: 16",
        ),
        (
            {"network": [*LAYERS[:-1], {"linear": 3}]},
            "3 classes in the last layer; allowed: 4 or more",
        ),
        (
            {"network": [{"conv": 8, "kernel": 40, "padding": 0}, {"linear": 4}]},
            "at least one position",
        ),
        (
            {"network": [*LAYERS[:2], {"linear": 4}]},
            "the array needs side 1",
        ),  # a linear layer on a map
        ({"sparsity": 2}, "sparsity = 2; allowed: a number between 0 and 1"),
        ({"mirror": "no"}, "mirror = 'no'; allowed: true, false"),
        (
            {"sparsity": 0.998},
            "sparsity = 0.998; allowed: at most 0.997, since a layer keeps 0.003",
        ),
        ({"dataset": "cifar10.npz"}, "allowed: .*an .npz of another name"),
        ({"dataset": "nothing.npz"}, "nothing.npz"),
    ],
)
def test_what_cannot_be_trained_is_one_line(changed, message, folder, capsys):
    assert run("train", str(write(folder, **changed)), "--threads", "1", "--no-compile") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("uticket: error: ")
    assert re.search(message, line), line
    assert not (folder / "uticket.npz").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.pop("test_labels"),
            "test_labels is missing; allowed: train_images, train_labels",
        ),
        (lambda a: a.update(train_images=a["train_images"] / 255), r"train_images = float64 \(200"),
        (
            lambda a: a.update(train_labels=a["train_labels"][:5]),
            r"train_labels = int64 \(5,\), allowed",
        ),
        (
            lambda a: a.update(test_labels=a["test_labels"] + 9),
            "test_labels hold 12; allowed: 0 to 3",
        ),
        (
            lambda a: a.update(test_images=a["test_images"][:, :8]),
            r"test_images = \(40, 1, 8, 16\), allowed",
        ),
        (
            lambda a: a.update(train_labels=a["train_labels"] - 1),
            "train_labels from -1 to 2, allowed",
        ),
    ],
)
def test_data_that_cannot_be_used_names_its_array(change, message, arrays, tmp_path):
    change(arrays)
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        own_data.read(tmp_path / "bad.npz")
