"""From a training checkpoint to a ticket, on random images."""

import json

import numpy as np
import pytest
import torch

from hw.config import Config
from sw import golden, history, make_ticket, networks, ticket, train
from sw.balance import filter_nnz
from sw.datasets import STATISTICS, Dataset
from sw.model import SpikingNetwork, input_sparsity
from sw.quantize import quantize
from sw.schedules import SCHEDULES
from tests.random_networks import SMALL

VALIDATION = 16


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    train_images, test_images = (
        rng.integers(0, 256, (n, 3, 32, 32), np.uint8) for n in (VALIDATION + 64, 12)
    )
    labels = rng.integers(0, 10, 200)
    mean, std = STATISTICS["cifar10"]
    return Dataset(
        "cifar10", train_images, labels[: len(train_images)], test_images, labels[:12], mean, std
    )


@pytest.fixture(scope="module")
def checkpoint(dataset, tmp_path_factory):
    """A small network after the four rounds of the smoke schedule."""
    folder = tmp_path_factory.mktemp("smoke")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "VALIDATION_IMAGES", VALIDATION)
        trainer = train.Trainer(
            SMALL,
            dataset,
            SCHEDULES["smoke"],
            policy="magnitude",
            n_pe=16,
            seed=5,
            folder=folder,
            log=lambda _: None,
        )
        trainer.run("uticket")
    return folder / "uticket.pt"


def lively(network: SpikingNetwork) -> SpikingNetwork:
    """Untrained, but with biases that make its neurons fire."""
    for norm in network.norms.values():
        torch.nn.init.ones_(norm.bias)
    return network


def exported(checkpoint, dataset, monkeypatch) -> ticket.Ticket:
    monkeypatch.setattr(history, "VALIDATION_IMAGES", VALIDATION)
    monkeypatch.setitem(networks.NETWORKS, "small", lambda **_: SMALL)
    return make_ticket.make_ticket(
        checkpoint,
        dataset,
        network="small",
        layers=SMALL,
        method="uticket",
        schedule="smoke",
        policy="magnitude",
        n_pe=16,
        seed=5,
        config=Config(),
        images=10,
        log=lambda _: None,
    )


def test_the_ticket_holds_what_was_trained(checkpoint, dataset, monkeypatch, tmp_path):
    result = exported(checkpoint, dataset, monkeypatch)
    ticket.save(result, tmp_path / "t.npz")
    loaded = ticket.load(tmp_path / "t.npz")
    state = torch.load(checkpoint, weights_only=True)
    for p in loaded.parameters:
        name = p.name
        assert np.array_equal(p.weight, state["network"][f"weights.{name}.weight"].numpy())
        if name == "fc":
            assert np.array_equal(p.bias, state["network"][f"weights.{name}.bias"].numpy())
        else:
            assert not p.bias.any()  # the norm has one
            var = state["network"][f"norms.{name}.running_var"].numpy()
            assert np.array_equal(p.norm.var, var)
    for name, mask in loaded.masks.items():
        assert np.array_equal(mask, state["masks"][name].numpy())
        group = filter_nnz(mask)[:16]
        # balanced; a layer with less than half a weight a filter stays as it is
        assert len(set(group)) == 1 or group.sum() < len(group) / 2
        assert loaded.history_nnz[name].shape == (4, len(mask))
        share = loaded.history_input_sparsity[name]
        assert np.all((share >= 0) & (share <= 1))
    m = loaded.metadata
    assert m["test_images"] == 10
    assert m["rounds"] == len(m["history"]) == 4
    assert m["images_seen"] == 128
    assert m["epochs"] == 128 / 64
    assert m["weight_sparsity"] == pytest.approx(0.981, abs=2e-3)
    assert [row["ticks"] for row in m["history"]] == [1, 1, 2, 4]
    assert json.dumps(m, allow_nan=False)


def test_accuracies_are_those_of_both_networks(checkpoint, dataset, monkeypatch):
    result = exported(checkpoint, dataset, monkeypatch)
    network = quantize(result, Config())
    spikes = golden.first_layer_spikes(network, dataset.test_images[:10])
    chosen = [golden.predict(golden.run(network, s)["fc"].output) for s in spikes]
    right = np.mean(np.array(chosen) == dataset.test_labels[:10])
    assert result.metadata["accuracy_quantized"] == right
    assert abs(result.metadata["accuracy"] - right) <= 0.3


def test_a_checkpoint_inside_a_round_is_refused(checkpoint, dataset, monkeypatch, tmp_path):
    state = torch.load(checkpoint, weights_only=True)
    state["progress"]["images"] = 16
    torch.save(state, tmp_path / "inside.pt")
    with pytest.raises(ValueError, match="stands at image 16 of round 4"):
        exported(tmp_path / "inside.pt", dataset, monkeypatch)


def test_input_sparsity_counts_zeros():
    torch.manual_seed(0)
    network = lively(SpikingNetwork(SMALL))
    seen = {}
    network.weights["conv3"].register_forward_hook(lambda _, x, y: seen.update(x=x[0]))
    shares = input_sparsity(network, torch.randn(2, 3, 32, 32), 3)
    assert list(shares) == [layer.name for layer in SMALL[1:]]
    assert seen["x"].shape == (6, 20, 16, 16)
    assert shares["conv3"] == pytest.approx(float((seen["x"] == 0).double().mean()))
    assert 0 < shares["conv3"] < 1
    assert not network.weights["conv3"]._forward_pre_hooks
