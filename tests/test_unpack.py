"""`uticket unpack` and `show`: their output alone is enough to recompute the network."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional as F

from hw.config import Config
from sim.cli import main, uticket
from sw import datasets, golden, ticket
from sw.networks import vgg16
from sw.quantize import quantize
from tests.random_networks import RESIDUAL, SMALL, random_ticket, random_vgg16_ticket, with_neurons

PARTS = {"weight", "bias", "weight_int", "bias_int", "threshold_int", "scale"}


def unpack(loaded: ticket.Ticket, folder) -> dict[str, np.ndarray]:
    ticket.save(loaded, folder / "ticket.npz")
    result = CliRunner().invoke(
        uticket, ["unpack", str(folder / "ticket.npz"), str(folder / "out.npz")]
    )
    assert result.exit_code == 0, result.output
    return dict(np.load(folder / "out.npz", allow_pickle=False))


def recompute(out: dict[str, np.ndarray], image: np.ndarray, ticks: int) -> dict[str, np.ndarray]:
    """All layers' outputs from the unpacked file and one uint8 image (C, H, W), in torch alone."""
    rows = json.loads(str(out["network"]))
    added = {row["shortcut_input"] for row in rows if row["shortcut"] == "conv"}
    arrays = {n: torch.from_numpy(a) for n, a in out.items() if n != "network"}
    results = {}
    for number, row in enumerate(rows):
        name = row["name"]
        if number == 0:
            x = torch.from_numpy(datasets.scaled(image[None], *datasets.STATISTICS["cifar10"]))
            w, b = arrays[f"{name}.weight"], arrays[f"{name}.bias"]
            current = F.conv2d(x, w, b, row["stride"], row["padding"]).expand(ticks, -1, -1, -1)
            threshold = torch.ones(len(b)).double()
        else:
            x = results[row["input"]].double()
            w, b = arrays[f"{name}.weight_int"].double(), arrays[f"{name}.bias_int"].double()
            if row["kind"] == "linear":
                current = F.linear(x.flatten(1), w, b)[:, :, None, None]
            else:
                current = F.conv2d(x, w, None, row["stride"], row["padding"])
                if row["pool"] == "avg":
                    current = current.sum((2, 3), keepdim=True)
                current = current + b[:, None, None]
            if row["shortcut"] == "conv":
                current = current + results[row["shortcut_input"]]
            if row["shortcut"] == "identity":
                factor = arrays[f"{name}.shortcut_int"][:, None, None]
                current = current + factor * results[row["shortcut_input"]]
            if f"{name}.threshold_int" not in arrays:
                results[name] = current if name in added else current[:, :, 0, 0]
                continue
            threshold = arrays[f"{name}.threshold_int"]
        spikes, u = [], torch.zeros_like(current[0])
        for x in current:
            u = (u * 0.25 if number == 0 else (u * 0.25).floor()) + x
            spikes.append((u >= threshold[:, None, None]).double())
            u = u * (1 - spikes[-1])
        result = torch.stack(spikes)
        results[name] = F.max_pool2d(result, 2) if row["pool"] == "max2" else result
    return {n: r.numpy() for n, r in results.items()}


def random_residual_ticket(seed, **options):
    return random_ticket(seed, layers=RESIDUAL, **options)


@pytest.mark.parametrize("make", [random_ticket, random_vgg16_ticket, random_residual_ticket])
@pytest.mark.parametrize("weight_bits", [16, 8])
def test_unpacked_network_recomputed_equals_golden(tmp_path, make, weight_bits):
    loaded = make(2, weight_bits=weight_bits)
    out = unpack(loaded, tmp_path)
    network = quantize(loaded, Config(weight_bits=weight_bits))
    image = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
    expected = recompute(out, image, 4)
    spikes = golden.first_layer_spikes(network, image[None])[0]
    assert np.array_equal(spikes, expected["conv1"])
    for name, result in golden.run(network, spikes).items():
        assert np.array_equal(result.output, expected[name]), name


def test_contents_are_the_contracts(tmp_path):
    loaded = random_ticket(3)
    out = unpack(loaded, tmp_path)
    names = {"network", "conv1.weight", "conv1.bias"}
    for layer in SMALL[1:]:
        parts = PARTS - {"threshold_int"} if layer.name == "fc" else PARTS
        names |= {f"{layer.name}.{part}" for part in parts}
    assert set(out) == names
    rows = json.loads(str(out["network"]))
    assert [row["name"] for row in rows] == [layer.name for layer in SMALL]
    needed = {"name", "kind", "kernel", "stride", "padding", "pool", "input", "shortcut"}
    assert all(needed <= set(row) for row in rows)
    for layer in SMALL[1:]:
        w, scale = out[f"{layer.name}.weight"], out[f"{layer.name}.scale"]
        assert (
            w.shape
            == out[f"{layer.name}.weight_int"].shape
            == layer.own.weight_shape(layer.filters)
        )
        assert scale.shape == out[f"{layer.name}.bias_int"].shape == (layer.filters,)
        back = out[f"{layer.name}.weight_int"] / scale.reshape(-1, *[1] * (w.ndim - 1))
        half = 0.5 / scale.reshape(-1, *[1] * (w.ndim - 1))
        assert np.all(np.abs(back - w) <= half * 1.001 + (np.abs(w) < half) * half)


def test_other_neurons_are_told(tmp_path):
    loaded = with_neurons(random_ticket(3), 5)
    out = unpack(loaded, tmp_path)
    network = quantize(loaded, Config(machine="event"))
    for layer in network.array:
        if layer.threshold is not None:
            assert out[f"{layer.name}.neuron_int"].tolist() == list(layer.neuron.code.values())


def test_show_prints_and_writes_the_metadata(tmp_path):
    loaded = random_vgg16_ticket(1)
    path = tmp_path / "ticket.npz"
    ticket.save(loaded, path)
    result = CliRunner().invoke(uticket, ["show", str(path), "--json", str(tmp_path / "m.json")])
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "m.json").read_text())
    assert {**content, "history": loaded.metadata["history"]} == ticket.public_metadata(loaded)
    assert content["format"] == "uticket-ticket"
    assert "accuracy_quantized" in result.output
    assert all(layer.name in result.output for layer in vgg16()[1:])


@pytest.mark.parametrize("command", [["show"], ["unpack", "OUT"]])
def test_bad_tickets_are_one_line_and_status_2(tmp_path, capsys, command):
    path = tmp_path / "bad.npz"
    path.write_bytes(b"PK\x03\x04 nothing")
    rest = [str(tmp_path / name) for name in command[1:]]
    with pytest.raises(SystemExit) as stopped:
        main([command[0], str(path), *rest])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "bad.npz: not a ticket file" in error
    assert not (tmp_path / "OUT").exists()
