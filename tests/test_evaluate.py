"""Fast evaluation: the integers against the golden model, the floats against PyTorch, and the command."""

import numpy as np
import pytest
import torch

from hw.config import Config
from hw.neuron import NEURONS
from sim.commands.evaluate import command
from sw import datasets, evaluate, golden, ticket
from sw.layers import IMAGE, Pool, conv, linear
from sw.model import SpikingNetwork
from sw.quantize import quantize
from tests.random_networks import RESIDUAL, SMALL, random_ticket, with_neurons
from tests.soak import times

UNEVEN = (
    conv("conv1", (3, 5), IMAGE, pool=Pool.MAX2),
    conv("conv2", (5, 7), "conv1", padding=0, pool=Pool.MAX2),
    conv("conv3", (7, 6), "conv2", kernel=1, stride=2),
    conv("conv4", (6, 3), "conv3"),
    linear("fc", (3 * 16, 4), "conv4"),
)
"""Maps of 16, 7 (pooled from 14, of no padding) and 4; pooling of the first layer."""
NETWORKS = {"small": SMALL, "uneven": UNEVEN, "residual": RESIDUAL}


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, 3, 32, 32), np.uint8)


def trained(result: ticket.Ticket) -> SpikingNetwork:
    """The PyTorch network of a ticket."""
    network = SpikingNetwork(result.network.layers)
    state = network.state_dict()
    for p in result.parameters:
        names = {f"weights.{p.name}": {"weight": p.weight * p.mask, "bias": p.bias}}
        if (
            p.norm is not None
        ):  # the convolution before it has no bias: (x + b) - mean = x - (mean - b)
            del names[f"weights.{p.name}"]["bias"]
            names[f"norms.{p.name}"] = {
                "weight": p.norm.weight,
                "bias": p.norm.bias,
                "running_mean": p.norm.mean - p.bias,
                "running_var": p.norm.var,
            }
        for module, arrays in names.items():
            for name, array in arrays.items():
                state[f"{module}.{name}"] = torch.from_numpy(np.asarray(array))
    network.load_state_dict(state)
    return network.eval()


@pytest.mark.parametrize("layers", NETWORKS)
@pytest.mark.parametrize("leak_mode", NEURONS)
@pytest.mark.parametrize(("ticks", "count"), [(4, 3), (1, 1), (3, 20)])
def test_integers_are_the_golden_models(layers, leak_mode, ticks, count):
    config = Config(leak_mode=leak_mode, ticks=ticks)
    result = random_ticket(3, layers=NETWORKS[layers], leak=config.neuron.factor)
    network = quantize(result, config)
    images = pixels(count)
    spikes = golden.first_layer_spikes(network, images)
    batch = evaluate.first_layer(network, images)
    assert np.array_equal(np.moveaxis(batch, -1, 0), spikes)
    found = evaluate.outputs(evaluate.integers(network), batch)
    assert found.dtype == np.int32
    expected = np.stack([golden.run(network, s)[network.layers[-1].name].output for s in spikes])
    assert np.ptp(expected) > 0
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("seed", range(times(2)))
def test_integers_are_the_golden_models_with_a_neuron_a_layer(seed):
    config = Config(machine="event", ticks=3)
    network = quantize(with_neurons(random_ticket(seed, layers=RESIDUAL), seed), config)
    assert len({integer.neuron for integer in network.array}) > 2
    images = pixels(3)
    spikes = golden.first_layer_spikes(network, images)
    batch = evaluate.first_layer(network, images)
    assert np.array_equal(np.moveaxis(batch, -1, 0), spikes)
    found = evaluate.outputs(evaluate.integers(network), batch)
    expected = np.stack([golden.run(network, s)[network.layers[-1].name].output for s in spikes])
    assert np.ptp(expected) > 0
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("layers", NETWORKS)
def test_floats_are_pytorchs(layers):
    """Sums in another order seldom move a neuron across its threshold: here, none."""
    result = random_ticket(3, layers=NETWORKS[layers])
    network = quantize(result, Config())
    images = pixels(8)
    with torch.no_grad():
        x = torch.from_numpy(datasets.scaled(images, *datasets.STATISTICS["cifar10"]))
        expected = trained(result).double()(x, 4).numpy().transpose(1, 0, 2)
    found = evaluate.outputs(evaluate.floats(network), evaluate.first_layer(network, images))
    assert found.dtype == np.float32
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_accuracies_count_every_image_once():
    """Labels that each network gives: all right; any others: all wrong. Two threads, odd batches."""
    network = quantize(random_ticket(4), Config(weight_bits=4))  # so that the two differ
    images = pixels(37)
    spikes = evaluate.first_layer(network, images)
    float_labels, integer_labels = (
        evaluate.predict(evaluate.outputs(kind, spikes))
        for kind in (evaluate.floats(network), evaluate.integers(network))
    )
    assert len(set(integer_labels)) > 1
    same = float(np.mean(float_labels == integer_labels))
    assert same < 1
    done = []
    found = evaluate.accuracies(
        network, images, float_labels, threads=2, done=lambda: done.append(1)
    )
    assert found == (1, same)
    assert len(done) == evaluate.batches(37) == 3
    assert evaluate.accuracies(network, images, integer_labels) == (same, 1)
    assert evaluate.accuracies(network, images, integer_labels + 10) == (0, 0)


def test_ties_go_to_the_lowest_class():
    sums = np.array([[[1, 5, 3], [4, 0, 2]], [[0, 2**30, 2], [0, 2**30, 2]]], np.int32)
    assert evaluate.predict(sums).tolist() == [0, 1]  # 5, 5, 5 and 2^31


def test_the_command_measures_and_corrects(tmp_path, capsys):
    path = tmp_path / "t.npz"
    ticket.save(random_ticket(4, accuracy=0.99), path)
    before = path.read_bytes()
    arguments = [str(path), "--images", "100", "--threads", "1"]
    assert command.main(arguments, standalone_mode=False) == 1
    assert path.read_bytes() == before
    assert "stated: 0.99" in capsys.readouterr().out
    assert command.main([*arguments, "--write"], standalone_mode=False) == 0
    metadata = ticket.load(path).metadata
    assert metadata["test_images"] == 100
    assert 0 < metadata["accuracy"] < 0.4
    assert command.main(arguments, standalone_mode=False) == 0
    assert command.main([str(path), "--images", "50"], standalone_mode=False) == 0  # not comparable
