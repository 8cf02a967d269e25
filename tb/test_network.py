"""The tickets that ship: what they are, a real layer under stalls, and a whole network on one image."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from sim.catalog import known_models, load_model
from sim.commands.sim import command
from sim.images import first_images
from sim.models import cycles
from sim.rtl.harness import Rtl, Stalls
from sw import golden
from sw.balance import filter_nnz
from sw.integers import part
from sw.layers import Shape
from sw.machines import compile_network
from sw.quantize import quantize

WEIGHTS = {"vgg16": 14_713_856, "resnet19": 12_618_240}  # after the first convolution
CHANCE = 0.1
N_PE = 16  # that the u-Tickets are balanced for
MODELS = known_models()


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return load_model(request.param)


@pytest.fixture(scope="module")
def tickets(model):
    return {name: model.ticket(model.method(name)) for name in ("lth", "uticket")}


def test_models_ship():
    networks, datasets = ("vgg16", "resnet19"), ("cifar10", "fashion_mnist")
    assert {f"{n}_{d}" for n in networks for d in datasets} <= set(MODELS)


def test_the_pair_is_what_it_claims(tickets):
    nnz = {}
    for name, ticket in tickets.items():
        masks = ticket.masks
        nnz[name] = sum(int(m.sum()) for m in masks.values())
        size = sum(m.size for m in masks.values())
        assert size == WEIGHTS[ticket.metadata["network"]]
        assert 1 - nnz[name] / size >= 0.98
        moved = (
            N_PE / 2 if name == "uticket" else 0
        )  # balancing moves a layer by half a group at most
        for layer, mask in masks.items():
            assert mask.sum() >= 0.003 * mask.size - moved, f"the floor of {layer}"
        assert ticket.metadata["nnz"] == nnz[name]
        assert ticket.metadata["test_images"] == 10_000
        assert ticket.metadata["accuracy"] >= 4 * CHANCE
        assert ticket.metadata["accuracy_quantized"] >= 4 * CHANCE
        for mask in masks.values() if name == "uticket" else ():
            counts = filter_nnz(mask)
            for start in range(0, len(counts) - len(counts) % N_PE, N_PE):
                assert len(set(counts[start : start + N_PE].tolist())) == 1
    assert abs(nnz["uticket"] / nnz["lth"] - 1) <= 0.001


def test_a_real_layer_under_stalls():
    model = load_model("vgg16_cifar10")
    config = model.hardware
    network = quantize(model.ticket(model.method("uticket")), config)
    images, _ = first_images("cifar10", 1)
    results = golden.run(network, golden.first_layer_spikes(network, images)[0])
    spikes = results["conv8"].inputs["conv8"]
    alone = part(network, ["conv8"], Shape(*spikes.shape[1:]))
    program = compile_network(alone, config)
    bound = cycles.bound(program, spikes)
    with Rtl(config) as rtl:
        for stalls in (None, Stalls(seed=4, program=0.4, results=0.4)):
            run = rtl.run(program, spikes, max_cycles=bound * (5 if stalls else 1), stalls=stalls)
            assert np.array_equal(run.input, spikes)
            assert np.array_equal(run.layers[0].output, results["conv8"].output)


@pytest.mark.parametrize("name", ["vgg16_cifar10", "resnet19_cifar10"])
def test_the_whole_network_on_one_image(tmp_path, name):
    path = tmp_path / "report.json"
    result = CliRunner().invoke(command, [name, "--json", str(path)], standalone_mode=False)
    assert result.exception is None
    assert not result.return_value
    report = json.loads(path.read_text())
    checks = report["checks"]
    assert checks["spikes_match"]
    assert checks["cycles_match"]
    assert checks["counters_match"]
    assert checks["outputs_compared"] > 300_000
    assert len(report["layers"]) == {"vgg16_cifar10": 13, "resnet19_cifar10": 21}[name]
    assert report["totals"]["rtl_efficiency"] >= 0.95
    assert report["totals"]["utilization"] > report["baseline"]["totals"]["utilization"]
