"""The ticket file: nothing is lost, nothing invalid passes, and NumPy alone can read it."""

import dataclasses
import hashlib
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sw import ticket as tickets
from sw import ticket_v1
from sw.layers import IMAGE, Encoding, Input, Network, conv, linear
from sw.ticket import Ticket
from sw.trained_neuron import TrainedNeuron
from tests.random_networks import RESIDUAL, SMALL, random_ticket, random_vgg16_ticket


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "good.npz"


def assert_equal(a: Ticket, b: Ticket) -> None:
    assert a.metadata == b.metadata
    assert a.network == b.network
    for p, q in zip(a.parameters, b.parameters, strict=True):
        assert (p.layer, p.source) == (q.layer, q.source)
        for name in ("weight", "mask", "bias"):
            assert np.array_equal(getattr(p, name), getattr(q, name))
            assert getattr(p, name).dtype == getattr(q, name).dtype
        assert (p.norm is None) == (q.norm is None)
        if p.norm is not None:
            for name, value in vars(p.norm).items():
                assert np.array_equal(value, getattr(q.norm, name)), name
    for table in ("history_nnz", "history_input_sparsity"):
        x, y = getattr(a, table), getattr(b, table)
        assert list(x) == list(y)
        assert all(np.array_equal(x[n].astype(np.float32), y[n].astype(np.float32)) for n in x)


@pytest.mark.parametrize("rounds", [0, 1, 4])
def test_round_trip(path, rounds):
    ticket = random_ticket(1, rounds=rounds)
    tickets.save(ticket, path)
    assert_equal(ticket, tickets.load(path))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_weight_of_zero_stays_in_the_mask(path):
    ticket = random_ticket(1)
    p = ticket.parameters[1]
    weight = p.weight.copy()
    weight.flat[np.flatnonzero(p.mask)[0]] = 0
    parameters = (
        ticket.parameters[0],
        dataclasses.replace(p, weight=weight),
        *ticket.parameters[2:],
    )
    tickets.save(dataclasses.replace(ticket, parameters=parameters), path)
    assert np.array_equal(tickets.load(path).masks["conv2"], p.mask)


def test_equal_tickets_are_equal_bytes(tmp_path):
    for name in ("a", "b"):
        tickets.save(random_ticket(1), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_vgg16_is_small(path):
    ticket = random_vgg16_ticket(0, rounds=15)
    assert ticket.metadata["weight_sparsity"] == pytest.approx(0.981, abs=0.001)
    tickets.save(ticket, path)
    assert path.stat().st_size < 3 * 2**20


def test_a_refused_ticket_leaves_the_old_one(path):
    tickets.save(random_ticket(1), path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"metadata.accuracy = 1.5, allowed: 0 to 1"):
        tickets.save(random_ticket(1, accuracy=1.5), path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def changed(path: Path, name: str, value) -> None:
    """Rewrite one array of a ticket; None removes it, a function is applied to it."""
    arrays = dict(np.load(path))
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value(arrays[name].copy()) if callable(value) else np.asarray(value)
    np.savez_compressed(path, **arrays)


def at(*index, value):
    """A change: the element at `index` becomes `value`."""

    def change(a: np.ndarray) -> np.ndarray:
        a[index] = value
        return a

    return change


BAD_ARRAYS = [
    ("metadata", None, "metadata is missing; is this a ticket?"),
    ("metadata", "no json", "metadata is not JSON"),
    ("metadata", 3, "metadata = '<i8', allowed: one string"),
    ("metadata", "[1]", "metadata = [1], allowed: a JSON object"),
    ("metadata", "{}", "metadata.format is missing"),
    ("conv1.weight", None, "conv1.weight is missing"),
    (
        "conv1.weight",
        at(0, 0, 0, 1, value=np.nan),
        "conv1.weight[0, 0, 0, 1] = nan, allowed: finite",
    ),
    ("conv2.index", at(3, value=1440), "conv2.index[3] = 1440, allowed: 0 to 1439"),
    ("conv2.index", at(0, value=-1), "conv2.index[0] = -1, allowed: 0 to 1439"),
    ("conv2.index", lambda a: np.concatenate([a[:1], a[:-1]]), "allowed: ascending, no duplicates"),
    ("conv2.index", lambda a: a.astype(float), "conv2.index.dtype = 'float64', allowed: integers"),
    ("conv2.value", lambda a: a[:-1], "conv2.value.shape = "),
    ("conv2.value", at(2, value=np.inf), "conv2.value[2] = inf, allowed: finite numbers"),
    ("conv2.bias", np.zeros(19), "conv2.bias.shape = (19,), allowed: (20)"),
    ("conv2.norm.weight", None, "conv2.norm.weight is missing"),
    ("conv2.norm.mean", np.zeros(3), "conv2.norm.mean.shape = (3,), allowed: (20)"),
    ("conv2.norm.var", at(5, value=-1), "conv2.norm.var[5] = -1.0, allowed: at least 0"),
    ("conv2.norm.eps", 0.0, "conv2.norm.eps[0] = 0.0, allowed: above 0"),
    ("fc.index", None, "fc.index is missing"),
    ("history.conv2.nnz", at(0, 1, value=73), "history.conv2.nnz[0, 1] = 73, allowed: 0 to 72"),
    ("history.conv2.nnz", at(2, 0, value=0), "history.conv2.nnz[2, 0] = 0, allowed: in the end"),
    (
        "history.conv2.input_sparsity",
        at(1, value=1.25),
        "history.conv2.input_sparsity[1] = 1.25, allowed: 0 to 1, or -1 (not measured)",
    ),
    ("history.fc.nnz", lambda a: a[1:], "history.fc.nnz.shape = (2, 10), allowed: (3, 10)"),
    ("conv9.index", [1], "conv9.index is no array of this network's ticket"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_ARRAYS)
def test_bad_arrays_are_refused(path, name, value, message):
    tickets.save(random_ticket(1), path)
    changed(path, name, value)
    refused(path, message)


def refused(path: Path, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        tickets.load(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


BAD_METADATA = [
    ("version", 3, "metadata.version = 3, allowed: 1, 2"),
    ("format", "other", "metadata.format is missing or not 'uticket-ticket'"),
    ("network", "", "metadata.network = '', allowed: a name"),
    ("policy", "best", "metadata.policy = 'best', allowed: none, sort, random, magnitude"),
    ("n_pe", 0, "metadata.n_pe = 0, allowed: a whole number, at least 1"),
    ("ticks", 4.5, "metadata.ticks = 4.5, allowed: a whole number, at least 1"),
    ("ticks", True, "metadata.ticks = True, allowed: a whole number, at least 1"),
    ("leak", 0, "metadata.leak = 0, allowed: a number above 0, at most 1"),
    ("leak", 0.5, "metadata.leak = 0.5, allowed: 0.25, as of the neurons"),
    ("weight_bits", 12, "metadata.weight_bits = 12, allowed: 4, 8 or 16"),
    ("seed", -1, "metadata.seed = -1, allowed: a whole number, at least 0"),
    ("rounds", 4, "metadata.history = '3 rounds', allowed: 4 rounds"),
    ("epochs", "many", "metadata.epochs = 'many', allowed: a number, at least 0"),
    ("nnz", 5, "metadata.nnz = 5, allowed: "),
    ("weight_sparsity", 0.5, "metadata.weight_sparsity = 0.5, allowed: "),
    ("accuracy", float("nan"), "metadata is not JSON (NaN is no JSON)"),
    ("accuracy_quantized", -0.1, "metadata.accuracy_quantized = -0.1, allowed: 0 to 1"),
    ("test_images", 0, "metadata.test_images = 0"),
    ("date", 3, "metadata.date = 3, allowed: a date"),
    ("versions", [], "metadata.versions = [], allowed: name: version"),
    ("versions", {"numpy": 2}, "allowed: name: version"),
    ("history", [1, 2, 3], "metadata.history[0] = 1, allowed: a list with an object a round"),
    ("layers", [], "metadata.layers = [], allowed: a list of layers"),
    ("treshold", 1, "metadata.treshold is no field of a ticket"),
    ("input", {}, "metadata.input.shape is missing"),
]
BAD_INPUT = [
    ("shape", [3, 32], "metadata.input.shape[2] is missing"),
    ("shape", [3, 0, 32], "metadata.input.shape[1] = 0, allowed: a whole number, at least 1"),
    ("encoding", "rate", "metadata.input.encoding = 'rate', allowed: image, spikes"),
    ("mean", [0.5], "metadata.input.mean = (0.5,), allowed: 3 numbers, one a channel"),
    ("std", [1, 0, 1], "metadata.input.std[1] = 0, allowed: a number above 0"),
    ("std", None, "metadata.input.std = None, allowed: 3 numbers, one a channel"),
    ("encoding", "spikes", "metadata.input.mean = "),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD_METADATA)
def test_bad_metadata_is_refused(path, key, value, message):
    tickets.save(random_ticket(1), path)
    change_metadata(path, lambda m: m.update({key: value}))
    refused(path, message)


@pytest.mark.parametrize(("key", "value", "message"), BAD_INPUT)
def test_bad_inputs_are_refused(path, key, value, message):
    tickets.save(random_ticket(1), path)
    change_metadata(path, lambda m: m["input"].update({key: value}))
    refused(path, message)


@pytest.mark.parametrize("key", ["input", "layers", "ticks", "weight_bits", "format", "version"])
def test_missing_metadata_is_refused(path, key):
    tickets.save(random_ticket(1), path)
    change_metadata(path, lambda m: m.pop(key))
    refused(path, f"metadata.{key}")


def test_all_that_is_missing_is_said_at_once(path):
    tickets.save(random_ticket(1), path)

    def thin(metadata):
        del metadata["ticks"], metadata["input"], metadata["layers"][1]["filters"]

    change_metadata(path, thin)
    refused(path, "metadata.ticks, metadata.input, metadata.layers[1].filters are missing")


def test_what_an_outsider_cannot_know_may_be_missing(path):
    full = random_ticket(1, rounds=0)
    known = {"ticks": 4, "weight_bits": 16}
    tickets.save(dataclasses.replace(full, metadata=known), path)
    found = tickets.load(path)
    assert found.network == full.network
    derived = tickets.counts(full.masks) | {"leak": 0.25, "rounds": 0, "history": []}
    assert found.metadata == known | derived


BAD_LAYERS = [
    (
        1,
        ("sources", 0, "map"),
        "conv3",
        "sources[0].map = 'conv3', allowed: an earlier layer: conv1",
    ),
    (2, ("name",), "conv2", "metadata.layers[2].name = 'conv3', allowed: a name of its own"),
    (
        2,
        ("sources", 0, "name"),
        "conv2",
        "metadata.layers[2].name = 'conv2', allowed: a name of its",
    ),
    (
        2,
        ("sources", 0, "channels"),
        9,
        "layers[2].sources[0].channels = 9, allowed: 20, as its map",
    ),
    (2, ("sources", 0, "groups"), 3, "layers[2].sources[0].groups = 3, allowed: a divisor of 20"),
    (2, ("sources", 0, "kernel"), [0, 3], "layers[2].sources[0].kernel[0] = 0, allowed: "),
    (2, ("sources", 0, "kernel"), 3, "layers[2].sources[0].kernel = 3, allowed: null or [height"),
    (2, ("sources", 0, "kernel"), [40, 40], "layers[2] = 'an output of "),
    (
        2,
        ("sources", 0, "stride"),
        "2",
        "layers[2].sources[0].stride = '2', allowed: a whole number",
    ),
    (2, ("sources",), [], "metadata.layers[2].sources = [], allowed: at least one source"),
    (2, ("extra",), 9, "metadata.layers[2].extra is no field of a ticket"),
    (2, ("pool",), "avg", "metadata.layers[2].pool = 'avg', allowed: null, max2"),
    (2, ("neuron",), None, "metadata.layers[2].neuron = None, allowed: a neuron"),
    (
        2,
        ("neuron", "reset"),
        "soft",
        "layers[2].neuron.reset = 'soft', allowed: zero, subtract, late",
    ),
    (2, ("neuron", "threshold"), 0, "layers[2].neuron.threshold = 0, allowed: a number above 0"),
    (0, ("neuron",), None, "metadata.layers[0] = 'conv1', allowed: one source and neurons"),
]


@pytest.mark.parametrize(("number", "keys", "value", "message"), BAD_LAYERS)
def test_bad_layers_are_refused(path, number, keys, value, message):
    tickets.save(random_ticket(1), path)

    def change(metadata):
        place = metadata["layers"][number]
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    change_metadata(path, change)
    refused(path, message)


def test_a_second_source_must_meet_the_first(path):
    tickets.save(random_ticket(1, layers=RESIDUAL), path)
    change_metadata(path, lambda m: m["layers"][2]["sources"][1].update(stride=1))
    refused(path, "layers[2].sources[1] = 'a map of 32x32', allowed: 16x16, as of the layer's own")


def test_groups_spikes_and_spiking_outputs_are_kept(path):
    """What version 1 could not say: a depthwise layer, spikes as input, no batch norm, counts as result."""
    layers = (
        conv("a", (4, 4), IMAGE, groups=4, neuron=TrainedNeuron(leak=0.5, gain=1, threshold=2)),
        linear("out", (4 * 6 * 5, 3), "a", neuron=TrainedNeuron(leak=0.5, gain=1, threshold=0.5)),
    )
    network = Network(input=Input(shape=(4, 6, 5), encoding=Encoding.SPIKES), layers=layers)
    rng = np.random.default_rng(0)
    parameters = []
    for layer, source in network.sources():
        weight = rng.normal(0, 1, source.weight_shape(layer.filters)).astype(np.float32)
        bias = np.zeros(layer.filters, np.float32)
        mask = np.ones(weight.shape, bool)
        parameters.append(tickets.Parameters(layer, source, weight, mask, bias, None))
    made = Ticket({"ticks": 4, "weight_bits": 16}, network, tuple(parameters), {}, {})
    tickets.save(made, path)
    found = tickets.load(path)
    assert found.network == network
    assert found.masks["a"].shape == (4, 1, 3, 3)
    assert all(
        np.array_equal(p.weight, q.weight)
        for p, q in zip(parameters, found.parameters, strict=True)
    )


def change_metadata(path: Path, change) -> None:
    content = json.loads(str(np.load(path)["metadata"]))
    change(content)
    changed(path, "metadata", json.dumps(content))


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.9999])
def test_truncated_files_are_refused(path, share):
    tickets.save(random_ticket(1), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path, "not a ticket file, or a damaged one")


def test_flipped_bytes_never_pass_unnoticed(path):
    ticket = random_ticket(1)
    tickets.save(ticket, path)
    data = path.read_bytes()
    for position in np.random.default_rng(0).integers(0, len(data), 60):
        flipped = bytearray(data)
        flipped[position] ^= 0x10
        path.write_bytes(bytes(flipped))
        try:
            found = tickets.load(path)
        except ValueError:
            continue
        assert_equal(ticket, found)  # a field of the zip that says nothing of the content


def test_other_files_are_refused(path):
    with pytest.raises(ValueError, match="no such file"):
        tickets.load(path)
    with pytest.raises(ValueError, match="a folder"):
        tickets.load(path.parent)
    path.write_text("not a zip")
    refused(path, "not a ticket file")
    with path.open("wb") as f:
        np.save(f, np.zeros(3))
    refused(path, "not a ticket file")
    np.savez(path, metadata=np.array([{}], dtype=object))
    refused(path, "not a ticket file")
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("metadata", "text")
    refused(path, "not a ticket file")


def test_a_ticket_is_plain_numpy(path):
    """The recipe of docs/formats.md, without this project: arrays back to weights."""
    ticket = random_ticket(1)
    tickets.save(ticket, path)
    file = np.load(path, allow_pickle=False)
    metadata = json.loads(str(file["metadata"]))
    layers = {row["name"]: row for row in metadata["layers"]}
    row = layers["conv2"]
    source = row["sources"][0]
    shape = (row["filters"], source["channels"] // source["groups"], *source["kernel"])
    weight = np.zeros(shape, np.float32)
    weight.flat[file["conv2.index"]] = file["conv2.value"]
    assert np.array_equal(weight, ticket.parameters[1].weight)
    assert metadata["nnz"] == sum(len(file[f"{n}.index"]) for n in list(layers)[1:])


OLD = Path(__file__).with_name(
    "ticket_v1.npz"
)  # shortcuts, an average, three rounds: written by version 1
SHIPPED = [OLD, *sorted((Path(__file__).parent.parent / "tickets").glob("*/*.npz"))]


def test_version_1_is_read_as_it_was_written():
    digest = hashlib.sha256(OLD.read_bytes()).hexdigest()
    assert digest == "aedb706939ae18bf7a4e88108a147a36d151e04c0095037cdbd83ef020fac81a"
    old = tickets.load(OLD)
    assert old.version == 1
    assert old.network.layers == RESIDUAL
    made = random_ticket(1, layers=RESIDUAL)  # the same draws as then
    for p, q in zip(old.parameters, made.parameters, strict=True):
        assert (p.name, p.source) == (q.name, q.source)
        assert np.array_equal(p.weight, q.weight)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_ticket_is_read_and_kept(path, tmp_path):
    """Version 1 as version 2: the same weights, masks, norms and rounds under the same names."""
    old = tickets.load(path)
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    content = json.loads(str(arrays["metadata"]))
    assert {
        k: v for k, v in content.items() if k not in ("format", "version", "layers", "input")
    } == (old.metadata)
    if content["version"] == 1:
        assert ticket_v1.rows_of(old.network) == content["layers"]
    for p in old.array:
        assert np.array_equal(np.flatnonzero(p.mask), arrays[f"{p.name}.index"])
        assert np.array_equal(p.weight[p.mask], arrays[f"{p.name}.value"])
    tickets.save(old, tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz", allow_pickle=False) as file:
        assert set(file.files) == set(arrays)
        for name in set(arrays) - {"metadata"}:
            assert np.array_equal(file[name], arrays[name]), name
    new = tickets.load(tmp_path / "new.npz")
    assert (old.version, new.version) == (content["version"], 2)
    assert_equal(old, new)


def version_1(path: Path, layers=SMALL) -> None:
    """A ticket as version 1 wrote it."""
    made = random_ticket(1, layers=layers)
    tickets.save(made, path)

    def older(metadata):
        del metadata["input"]
        metadata["version"] = 1
        metadata["layers"] = ticket_v1.rows_of(made.network)

    change_metadata(path, older)
    assert tickets.load(path).version == 1


BAD_OLD_LAYERS = [
    (1, "kind", "pool", "metadata.layers[1].kind = 'pool', allowed: conv, linear"),
    (1, "kernel", 5, "metadata.layers[1].kernel = 5, allowed: 1 or 3"),
    (1, "input", "conv3", "metadata.layers[1].input = 'conv3', allowed: an earlier layer: conv1"),
    (2, "name", "conv2", "metadata.layers[2].name = 'conv2', allowed: a name no other layer has"),
    (2, "in_channels", 9, "metadata.layers[2].in_channels = 9, allowed: 20"),
    (2, "extra", 9, "metadata.layers[2].extra is no field of a ticket"),
    (4, "kind", "conv", "metadata.layers[4].in_channels = 112, allowed: 7"),
    (2, "shortcut", "identity", "metadata.layers[2].shortcut_input = None, allowed: a layer"),
]
BAD_SHORTCUTS = [
    (
        "conv3",
        "shortcut_input",
        "conv1",
        "input = 'conv1', allowed: a layer with neurons",
    ),
    ("conv3", "shortcut_input", "conv9", "shortcut_input = 'conv9', allowed: an earlier layer"),
    ("conv3_shortcut", "pool", "max2", "allowed: a convolution without pool or shortcut"),
    ("conv4", "input", "conv3_shortcut", "input = 'conv3_shortcut', allowed: a layer with neurons"),
    ("conv3_shortcut", "stride", 1, "= 'a map of 32x32', allowed: 16x16"),
]


@pytest.mark.parametrize(("number", "key", "value", "message"), BAD_OLD_LAYERS)
def test_bad_layers_of_version_1_are_refused(path, number, key, value, message):
    version_1(path)
    change_metadata(path, lambda m: m["layers"][number].update({key: value}))
    refused(path, message)


@pytest.mark.parametrize(("name", "key", "value", "message"), BAD_SHORTCUTS)
def test_contradictory_shortcuts_of_version_1_are_refused(path, name, key, value, message):
    version_1(path, RESIDUAL)

    def change(metadata):
        next(row for row in metadata["layers"] if row["name"] == name)[key] = value

    change_metadata(path, change)
    refused(path, message)


def test_version_1_needs_all_of_its_metadata(path):
    version_1(path)
    change_metadata(path, lambda m: [m.pop(k) for k in ("seed", "network", "leak")])
    refused(path, "metadata.network, metadata.leak, metadata.seed are missing")


def test_version_1_has_a_batch_norm_for_every_convolution(path):
    version_1(path)
    with np.load(path) as file:
        kept = {n: file[n] for n in file.files if not n.startswith("conv2.norm.")}
    np.savez_compressed(path, **kept)
    refused(path, "conv2.norm.weight is missing")
