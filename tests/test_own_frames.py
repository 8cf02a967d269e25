"""`uticket train` of event frames, soft resets, leaks of k/256, hidden linear layers and any number of ticks."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from hw.neuron import Share
from sw import evaluate, own_data, rows, schedules, ticket
from sw.augment import Batches
from sw.balance import filter_nnz
from sw.layers import Encoding, Input
from sw.model import SpikingNetwork
from sw.quantize import quantize, ticket_config
from tests.command import status as run
from tests.test_event_command import HARDWARE

TICKS, SIDE = 5, 8
LAYERS = [
    {"conv": 8, "kernel": 5, "pool": "max2"},
    {"linear": 24, "neuron": {"leak": 1, "reset": "subtract", "start": "half"}},
    {"linear": 4},
]
CONTENT = {
    "network": LAYERS,
    "neuron": {"leak": 230 / 256, "reset": "subtract"},
    "dataset": "moving.npz",
    "schedule": "direct:0.006",
    "sparsity": 0.7,
    "mirror": False,  # where a bar moves is its class
    "methods": {"uticket": "uticket.npz", "lth": "lth.npz"},
    "baseline": "lth",
    "hardware": HARDWARE,
}


def moving(count, seed):
    """Bars that move up, down, left or right: frames (count, T, 2, 8, 8), where they are and were; which way."""
    rng = np.random.default_rng(seed)
    ways = rng.integers(0, 4, count)
    frames = np.zeros((count, TICKS, 2, SIDE, SIDE), np.uint8)
    for frame, way in zip(frames, ways, strict=True):
        start, step = rng.integers(0, SIDE), 1 if way % 2 else -1
        for t, polarity in np.ndindex(TICKS, 2):
            line = (start + step * (t - polarity)) % SIDE
            frame[t, polarity][(line, slice(None)) if way < 2 else (slice(None), line)] = 1
    return frames ^ (rng.random(frames.shape) < 0.02), ways


def arrays(train, test):
    names = ("train_images", "train_labels", "test_images", "test_labels")
    return dict(zip(names, (*train, *test), strict=True))


@pytest.fixture(scope="module")
def bars():
    return arrays(moving(400, 1), moving(60, 2))


@pytest.fixture
def folder(tmp_path, monkeypatch, bars):
    np.savez(tmp_path / "moving.npz", **bars)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, **changed):
    content = {k: v for k, v in (CONTENT | changed).items() if v is not None}
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    return str(folder / "mine.yaml")


def test_frames_are_learned_pruned_and_proven(folder, bars, capsys):
    path = write(folder)
    assert run("train", path, "--threads", "1", "--no-compile") == 0
    found = {name: ticket.load(folder / f"{name}.npz") for name in ("uticket", "lth")}
    for name, one in found.items():
        assert (one.network.input.encoding, one.metadata["ticks"]) == (Encoding.SPIKES, TICKS)
        kinds = [layer.neuron and layer.neuron.hardware for layer in one.network.layers]
        assert kinds[0] == Share(230, "subtract")
        assert (kinds[1].factor, kinds[1].reset_to, kinds[2]) == (1, "subtract", None)
        assert [kind and kind.start for kind in kinds] == ["zero", "half", None]
        assert list(one.masks) == ["conv1", "fc2", "fc3"]  # no layer runs in software
        assert one.metadata["weight_sparsity"] == pytest.approx(0.7, abs=0.01), name
        assert [row["ticks"] for row in one.metadata["history"]] == [TICKS] * 3
        assert one.metadata["accuracy_quantized"] > 0.45, name  # by chance a quarter
    counts = [filter_nnz(one.masks["fc2"]).reshape(-1, 4) for one in found.values()]
    assert np.ptp(counts[0], axis=1).max() == 0 < np.ptp(counts[1], axis=1).max()
    same_as_trained(found["uticket"], folder, bars["test_images"])
    capsys.readouterr()
    assert run("estimate", path, "--images", "2") == 0
    assert run("sim", path, "--images", "2") == 0  # the RTL's spikes and cycles are the models'
    assert "proven: " in capsys.readouterr().out


def same_as_trained(one, folder, frames):
    """The ticket's outputs are those of the PyTorch network that was trained, tick by tick."""
    (checkpoint,) = folder.glob("build/train/mine/*/uticket.pt")
    network = SpikingNetwork(one.network.layers, frames=True)
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    with torch.no_grad():
        x = torch.from_numpy(frames).float().transpose(0, 1)
        expected = network.eval()(x, TICKS).transpose(0, 1).numpy()
    integers = quantize(one, ticket_config(one))
    outputs = evaluate.outputs(evaluate.floats(integers), evaluate.first_layer(integers, frames))
    same = np.isclose(outputs, expected, rtol=1e-3, atol=1e-3).all(axis=2)
    assert same.mean() > 0.98  # a potential within rounding of its threshold may differ
    assert np.ptp(expected) > 0.5


def test_images_are_trained_for_more_ticks_than_lanes(folder, bars, capsys):
    """With the same neurons; the first layer, whose reset subtracts as well, runs in software."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (60, 2, SIDE, SIDE)).astype(np.uint8)
    labels = pixels[:, 0].mean((1, 2)).argsort().argsort() % 4
    np.savez(folder / "pixels.npz", **arrays((pixels, labels), (pixels, labels)))
    methods = {"uticket": "uticket.npz"}
    given = {"dataset": "pixels.npz", "ticks": 7, "schedule": "direct:0.0001"}
    path = write(folder, **given, methods=methods, baseline=None)
    assert run("train", path, "--threads", "1", "--no-compile") == 0
    one = ticket.load(folder / "uticket.npz")
    assert (one.network.host.name, one.metadata["ticks"]) == ("conv1", 7)
    assert one.network.host.neuron.hardware == Share(230, "subtract")
    assert [row["ticks"] for row in one.metadata["history"]] == [7] * 3
    capsys.readouterr()
    assert run("sim", path) == 0
    assert "proven: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"neuron": {"leak": 0.9}}, "leak = 0.9; allowed: k / 256, nearest: 0.8984375 and 0.90234"),
        ({"neuron": {"reset": "soft"}}, "neuron: reset = 'soft'; allowed: .*zero|subtract"),
        ({"neuron": {"tau": 2}}, "neuron: tau = 2; allowed: leak, gain, reset, start"),
        ({"neuron": {"start": 0.5}}, "neuron: start = 0.5; allowed: "),
        ({"neuron": 0.5}, "neuron: it = 0.5; allowed: leak, gain, reset, start"),
        ({"network": "vgg16"}, "neuron of a named network; allowed: with a list of layers"),
        (
            {"network": [LAYERS[0], {"linear": 8, "neuron": {"leak": 0.3}}, LAYERS[2]]},
            r"network\[1\]: neuron: leak = 0.3; allowed: k / 256",
        ),
        (
            {"network": [LAYERS[0], {"linear": 4, "neuron": {"leak": 1}}]},
            r"network\[1\]: neuron of a linear layer, the last; allowed: linear, name",
        ),
        ({"ticks": 8}, "ticks = 8; allowed: 5, as moving has frames"),
        ({"ticks": 0}, "ticks = 0; allowed: 1 to 256"),
        ({"schedule": "vgg:0.001"}, "moving has event frames; allowed: a schedule all of whose"),
        ({"hardware": {}}, "layer conv1: leak 0.898437.* wanted; the array has 1, 2"),
        ({"hardware": HARDWARE | {"buffer_depth": 8}}, "buffer_depth"),
    ],
)
def test_what_cannot_be_trained_is_one_line(changed, message, folder, capsys):
    assert run("train", write(folder, **changed), "--threads", "1", "--no-compile") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("uticket: error: ")
    assert re.search(message, line), line
    assert not (folder / "uticket.npz").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a["test_images"].__imul__(2),
            "test_images hold 2; allowed of event frames: 0, 1",
        ),
        (lambda a: a.update(test_images=a["test_images"][:, :3]), r"allowed: \(N, 5, 2, 8, 8\)"),
    ],
)
def test_frames_that_are_none_are_one_line(change, message, bars, tmp_path):
    bars = {name: array.copy() for name, array in bars.items()}
    change(bars)
    np.savez(tmp_path / "bad.npz", **bars)
    with pytest.raises(ValueError, match=message):
        own_data.read(tmp_path / "bad.npz")


def test_all_ticks_of_a_frame_move_together():
    """On a map that is no square, too."""
    frames = torch.zeros(30, 3, 2, 16, 24, dtype=torch.uint8)
    at = torch.arange(30) % 10 + 3
    frames[torch.arange(30), :, :, at, at] = 1
    batches = Batches(frames, torch.arange(30), mean=(), std=(), seed=1, mirror=False)
    picked, labels = batches.picked(*batches.drawn(0, 30))
    seen = batches.normalized(picked, 32)
    assert (seen.shape, seen.dtype) == ((3, 30, 2, 16, 24), torch.float32)
    assert torch.equal(seen, seen[:1, :, :1].expand_as(seen))
    moves = {
        tuple((one.nonzero()[0] - at[k]).tolist())
        for one, k in zip(seen[0, :, 0], labels, strict=True)
    }
    assert len(moves) > 8
    assert {abs(move) for pair in moves for move in pair} == {0, 1, 2}  # an eighth of 16


def test_a_schedule_has_the_networks_ticks():
    def ticks(plan):
        return [r.ticks for r in plan.rounds]

    plan = schedules.named("vgg")
    assert plan.at_ticks(4) == plan
    assert ticks(plan.at_ticks(25)) == [1] * 7 + [25] * 2
    assert ticks(plan.at_ticks(1)) == [1] * 9
    two = replace(plan, pruned=(replace(plan.pruned[-1], ticks=2), *plan.pruned[-1:]))
    assert ticks(two.at_ticks(25)) == [1, 12, 25]
    assert ticks(schedules.named("direct").at_ticks(9, frames=True)) == [9] * 3


def test_neurons_of_a_row_come_before_the_networks():
    pixels = Input(shape=(2, 8, 8), encoding=Encoding.SPIKES)
    built = rows.build(rows.read(LAYERS), pixels, rows.read_neuron({"leak": 0.5, "gain": 2}))
    told = [
        layer.neuron and (layer.neuron.leak, layer.neuron.gain, layer.neuron.reset)
        for layer in built
    ]
    assert told == [(0.5, 2, "zero"), (1, 1, "subtract"), None]
    assert built[1].own.channels == 8 * 4 * 4
