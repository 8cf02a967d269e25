"""The tickets that ship: what they are, a real layer under stalls, and a whole network on one image."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from sim import cycles, golden
from sim.commands.sim import command
from sim.images import first_images
from sim.model import load_model
from sim.rtl import Rtl, Stalls
from sw.compile import compile_network
from sw.quantize import quantize

MODEL = "vgg16_cifar10"


@pytest.fixture(scope="module")
def model():
    return load_model(MODEL)


@pytest.fixture(scope="module")
def tickets(model):
    return {name: model.ticket(model.method(name)) for name in ("lth", "uticket")}


def test_the_pair_is_what_it_claims(tickets):
    nnz = {}
    for name, ticket in tickets.items():
        masks = ticket.masks
        nnz[name] = sum(int(m.sum()) for m in masks.values())
        size = sum(m.size for m in masks.values())
        assert size == 14_710_464 + 5_120 - 1_728, "VGG-16 in full, without the first convolution"
        assert 1 - nnz[name] / size >= 0.98
        assert all(m.sum() >= 0.003 * m.size for m in masks.values()), "the floor of each layer"
        assert ticket.metadata["nnz"] == nnz[name]
        assert ticket.metadata["test_images"] >= 1000
        assert ticket.metadata["accuracy"] >= 0.40
        assert ticket.metadata["accuracy_quantized"] >= 0.40
    assert abs(nnz["uticket"] / nnz["lth"] - 1) <= 0.001


def test_a_real_layer_under_stalls(model, tickets):
    config = model.hardware
    network = quantize(tickets["uticket"], config)
    images, _ = first_images(network.dataset, 1)
    results = golden.run(network, golden.first_layer_spikes(network, images)[0])
    integer = next(i for i in network.array if i.layer.name == "conv8")
    source = next(layer for layer in network.layers if layer.name == integer.layer.input)
    alone = replace(network, layers=(source, integer.layer), array=(integer,))
    spikes = results["conv8"].input
    program = compile_network(alone, config, input_side=spikes.shape[-1])
    bound = cycles.bound(program, spikes)
    with Rtl(config) as rtl:
        for stalls in (None, Stalls(seed=4, program=0.4, results=0.4)):
            run = rtl.run(program, spikes, max_cycles=bound * (5 if stalls else 1), stalls=stalls)
            assert np.array_equal(run.input, spikes)
            assert np.array_equal(run.layers[0].output, results["conv8"].output)


def test_the_whole_network_on_one_image(tmp_path):
    path = tmp_path / "report.json"
    result = CliRunner().invoke(command, [MODEL, "--json", str(path)], standalone_mode=False)
    assert result.exception is None
    assert not result.return_value
    report = json.loads(path.read_text())
    checks = report["checks"]
    assert checks["spikes_match"]
    assert checks["cycles_match"]
    assert checks["counters_match"]
    assert checks["outputs_compared"] > 300_000
    assert len(report["layers"]) == 13
    assert report["totals"]["rtl_efficiency"] >= 0.95
    assert report["totals"]["utilization"] > report["baseline"]["totals"]["utilization"]
