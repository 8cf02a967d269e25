"""`tickets/MODEL.yaml`: what it may hold, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from hw.config import PRESETS, Config
from sim.catalog import known_models, load_hardware, load_model
from sim.images import first_images
from support.errors import BadInput
from sw import datasets, ticket
from tests.random_networks import random_ticket

GOOD = """
network: small
dataset: cifar10
methods:
  uticket: folder/uticket.npz
  lth: lth.npz
  sort: {ticket: lth.npz, policy: sort}
baseline: lth
hardware: {preset: tiny, n_pe: 2}
"""


def written(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_a_model_names_tickets_and_hardware(tmp_path):
    model = load_model(written(tmp_path, GOOD))
    assert (model.name, model.network, model.dataset) == ("mine", "small", "cifar10")
    assert model.method(None).name == "uticket"
    assert model.method("uticket").ticket == tmp_path / "folder" / "uticket.npz"
    assert [m.sort for m in model.methods.values()] == [False, False, True]
    assert model.method("sort").ticket == model.method("lth").ticket
    assert model.baseline == "lth"
    assert model.hardware == replace(PRESETS["tiny"], n_pe=2)


def test_the_models_that_ship_load():
    assert "vgg16_cifar10" in known_models()
    for name in known_models():
        model = load_model(name)
        assert {"uticket", "lth", "sort"} <= set(model.methods)
    assert load_model("vgg16_cifar10").hardware == PRESETS["paper"]


@pytest.mark.parametrize("name", known_models())
def test_a_model_that_ships_trains_by_the_schedule_of_its_tickets(name):
    """`make train MODEL=` makes the shipped pair again."""
    model = load_model(name)
    for method in ("uticket", "lth"):
        assert model.ticket(model.method(method)).metadata["schedule"] == model.schedule, method


def test_a_ticket_is_a_model_on_the_hardware_it_was_trained_for(tmp_path):
    path = tmp_path / "one.npz"
    ticket.save(random_ticket(method="lth", n_pe=8, ticks=2, weight_bits=8), path)
    model = load_model(str(path))
    assert list(model.methods) == ["lth", "sort"]
    assert model.baseline is None
    assert model.hardware == Config(n_pe=8, ticks=2, weight_bits=8)
    assert model.ticket(model.method(None)).metadata["n_pe"] == 8


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("network: small", "", "network is missing"),
        ("network: small", "network: 3", "network = 3; allowed: a name"),
        ("dataset: cifar10", "dataset: imagenet", "'imagenet'; allowed: cifar10"),
        ("baseline", "base", "unknown key 'base'; allowed: network, neuron, dataset"),
        ("baseline: lth", "baseline: dense", "'dense'; allowed: uticket, lth, sort"),
        ("lth: lth.npz", "lth: 3", "methods.lth = 3; allowed: a ticket file"),
        ("policy: sort", "policy: best", "methods.sort"),
        ("policy: sort", "order: sort", "methods.sort"),
        ("preset: tiny", "preset: huge", "'huge', allowed: paper, compact, tiny"),
        ("preset: tiny", "preset: [tiny]", "allowed: paper, compact, tiny"),
        ("n_pe: 2", "pes: 2", "unknown field 'pes'; allowed: preset, n_pe, ticks"),
        ("n_pe: 2", "n_pe: 0", "n_pe = 0, allowed: 1 to 64"),
        ("n_pe: 2", "n_pe: two", "n_pe = 'two', allowed: a whole number"),
        (GOOD, "methods: [", "not YAML"),
        (GOOD, "just words", "the file holds 'just words'"),
        (GOOD, "", "the file holds None"),
        ("network: small", "network: small\nignored: 1", "unknown key 'ignored'"),
        ("network: small", "network: small\nbaseline: uticket", "'baseline' is given twice"),
    ],
)
def test_bad_models_are_refused(tmp_path, old, new, message):
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(BadInput) as error:
        load_model(path)
    assert message in str(error.value)
    assert path in str(error.value)


def test_unknown_models_methods_and_files_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"unknown MODEL 'alexnet'; allowed: .*vgg16_cifar10"):
        load_model("alexnet")
    with pytest.raises(BadInput, match=r"no.yaml: no such file"):
        load_model(str(tmp_path / "no.yaml"))
    with pytest.raises(ValueError, match=r"no.npz: no such file"):
        load_model(str(tmp_path / "no.npz"))
    model = load_model(written(tmp_path, GOOD))
    with pytest.raises(BadInput, match="unknown METHOD 'x'; allowed for mine: uticket, lth, sort"):
        model.method("x")


def test_a_ticket_of_another_network_is_refused(tmp_path):
    model = load_model(written(tmp_path, GOOD.replace("small", "vgg16")))
    ticket.save(random_ticket(), tmp_path / "lth.npz")
    with pytest.raises(BadInput, match=r"network = 'small'; allowed for mine: 'vgg16'"):
        model.ticket(model.method("lth"))


def test_hardware_replaces_fields(tmp_path):
    path = tmp_path / "hardware.yaml"
    path.write_text("scratchpad_depth: 128\n")
    assert load_hardware(path, PRESETS["tiny"]) == replace(PRESETS["tiny"], scratchpad_depth=128)
    path.write_text("preset: paper\n")
    assert load_hardware(path, PRESETS["tiny"]) == PRESETS["paper"]
    path.write_text("lanes: 4\n")
    with pytest.raises(BadInput, match="unknown field 'lanes'"):
        load_hardware(path, Config())


def test_the_first_hundred_images_ship():
    images, labels = first_images("cifar10", 100)
    assert (images.shape, images.dtype) == ((100, 3, 32, 32), np.uint8)
    assert labels[:8].tolist() == [
        1,
        5,
        2,
        3,
        0,
        5,
        0,
        4,
    ]  # not the published order: docs/report.md
    assert set(labels) == set(range(10))
    assert 0.4 < images.mean() / 255 < 0.55
    assert len(first_images("cifar10", 1)[0]) == 1


def test_more_images_come_from_the_users_data(monkeypatch):
    images, labels = first_images("cifar10", 100)
    whole = np.concatenate([images, images]), np.concatenate([labels, labels])
    monkeypatch.setattr(datasets, "load_test", lambda _: whole)
    assert len(first_images("cifar10", 150)[1]) == 150
    with pytest.raises(BadInput, match="IMAGES = 201; allowed: 1 to 200"):
        first_images("cifar10", 201)


def test_without_the_users_data_a_hundred_is_all(monkeypatch, tmp_path):
    monkeypatch.setenv("UTICKET_DATA", str(tmp_path))
    with pytest.raises(BadInput, match="IMAGES = 101: 100 test images of cifar10 ship"):
        first_images("cifar10", 101)
