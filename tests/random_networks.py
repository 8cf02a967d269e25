"""Random sparse networks, drawn from a seed: for tests that need a ticket before one is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hw.config import Config
from hw.neuron import RESETS, STARTS
from sw import networks
from sw.balance import balance, filter_nnz
from sw.floats import FloatLayer, FloatSource
from sw.integers import IntegerLayer, IntegerNetwork
from sw.layers import IMAGE, Layer, Network, Pool, Reduce, Source, conv, identity, linear
from sw.quantize import quantize, quantize_layer
from sw.ticket import NOT_MEASURED, Norm, Parameters, Ticket, counts
from sw.trained_neuron import TrainedNeuron


def shortcut(name: str, channels: int, source: str, *, stride: int = 1) -> Source:
    """A 1x1 convolution beside a layer's own."""
    return Source(name=name, map=source, channels=channels, kernel=(1, 1), stride=stride)


SMALL = (
    conv("conv1", (3, 8), IMAGE),
    conv("conv2", (8, 20), "conv1", pool=Pool.MAX2),
    conv("conv3", (20, 12), "conv2", stride=2),
    conv("conv4", (12, 7), "conv3", kernel=1, pool=Pool.MAX2),
    linear("fc", (7 * 16, 10), "conv4"),
)
"""Layers in a row, for images of 32x32: maps of 32, 16, 8 and 4."""

POOLED = (
    conv("conv1", (3, 8), IMAGE, pool=Pool.MAX2),
    conv("conv2", (8, 6), "conv1", pool=Pool.MAX2),
    conv("conv3", (6, 5), "conv2", stride=2),
    conv("conv4", (5, 9), "conv3", pool=Pool.MAX2),
    conv("conv5", (9, 7), "conv4", pool=Pool.MAX2),
    linear("fc", (7, 10), "conv5"),
)
"""Six layers for the array `tiny`: maps of 32, 16, 8, 4 and 2, then one neuron a class."""

RESIDUAL = (
    conv("conv1", (3, 8), IMAGE),
    conv("conv2", (8, 20), "conv1", stride=2),
    conv("conv3", (20, 20), "conv2", more=(shortcut("conv3_shortcut", 8, "conv1", stride=2),)),
    conv("conv4", (20, 9), "conv3", stride=2),
    conv("conv5", (9, 20), "conv4"),
    conv("conv6", (20, 20), "conv5", more=(shortcut("conv6_shortcut", 20, "conv3", stride=2),)),
    conv("conv7", (20, 20), "conv6", more=(identity("conv7_identity", "conv6", 20),)),
    conv(
        "conv8", (20, 20), "conv7", pool=Pool.MAX2, more=(identity("conv8_identity", "conv6", 20),)
    ),
    conv("fc1", (20, 12), "conv8", kernel=1, reduce=Reduce.MEAN),
    linear("fc2", (12, 10), "fc1"),
)
"""Shortcuts of both kinds and an average, as in ResNet-19: maps of 32, 16, 8 and 4."""


def random_ticket(
    seed: int = 0,
    *,
    layers: tuple[Layer, ...] = SMALL,
    density: float = 0.3,
    policy: str = "none",
    n_pe: int = 16,
    rounds: int = 3,
    **metadata,
) -> Ticket:
    """A ticket of random weights, scaled so that a fair share of the neurons fires in every layer."""
    rng = np.random.default_rng(seed)
    leak = metadata.get("leak", 0.25)
    neuron = TrainedNeuron(leak=leak, gain=1 if leak == 1 else 1 - leak)
    network = Network(
        input=networks.images("cifar10"),
        layers=tuple(replace(layer, neuron=neuron) if layer.neuron else layer for layer in layers),
    )
    parameters = tuple(
        _random_parameters(rng, layer, source, 1.0 if i == 0 else density, policy, n_pe)
        for i, (layer, source) in enumerate(network.sources())
    )
    masks = {p.name: p.mask for p in parameters[1:]}
    return Ticket(
        metadata={
            "network": "vgg16" if layers[0].filters == 64 else "small",
            "dataset": "cifar10",
            "method": "random",
            "schedule": "none",
            "policy": policy,
            "n_pe": n_pe,
            "ticks": 4,
            "leak": 0.25,
            "weight_bits": 16,
            "seed": seed,
            "rounds": rounds,
            "epochs": 0.5,
            "images_seen": 22_500,
            "rewound": False,
            "accuracy": 0.1,
            "accuracy_quantized": 0.1,
            "test_images": 100,
            "date": "2026-01-31",
            "versions": {"numpy": np.__version__},
            "history": [{"keep": 1.0 - r / 10} for r in range(rounds)],
            **counts(masks),
            **metadata,
        },
        network=network,
        parameters=parameters,
        history_nnz={n: np.tile(filter_nnz(m), (rounds, 1)) for n, m in masks.items()},
        history_input_sparsity={
            n: np.array([NOT_MEASURED, *rng.random(max(rounds - 1, 0))])[:rounds] for n in masks
        },
    )


def random_vgg16_ticket(seed: int = 0, *, density: float = 0.019, **options) -> Ticket:
    """A VGG-16 of the paper's size and sparsity."""
    return random_ticket(seed, layers=networks.vgg16(), density=density, **options)


def random_vgg16(seed: int = 0, config: Config | None = None, **options) -> IntegerNetwork:
    """The integer network of `random_vgg16_ticket`."""
    return quantize(random_vgg16_ticket(seed, **options), config or Config())


def random_neuron(rng: np.random.Generator) -> TrainedNeuron:
    """One of those that the event machine has; its gain and threshold are 1, as if they were folded."""
    share, shift = int(rng.integers(1, 257)), int(rng.integers(1, 9))
    return TrainedNeuron(
        leak=float(rng.choice([1, 2.0**-shift, 1 - 2.0**-shift, share / 256])),
        gain=1.0,
        reset=str(rng.choice(RESETS)),
        start=str(rng.choice(STARTS)),
        fires=str(rng.choice(["at", "above"])),
    )


def with_neurons(ticket: Ticket, seed: int = 0) -> Ticket:
    """The same weights with another neuron in each layer, for the event machine."""
    rng = np.random.default_rng(seed)
    layers = tuple(
        replace(layer, neuron=random_neuron(rng)) if layer.neuron else layer
        for layer in ticket.network.layers
    )
    return replace(ticket, network=replace(ticket.network, layers=layers))


def random_layer(
    rng: np.random.Generator, layer: Layer, *, density: float = 0.3, config: Config | None = None
) -> IntegerLayer:
    """One random layer for the array, of one source."""
    mask = rng.random(layer.own.weight_shape(layer.filters)) < density
    weight = rng.normal(0, 1, mask.shape) * mask
    bias = rng.normal(0, 1, len(mask))
    own = FloatSource(layer.own, weight, mask, bias)
    return quantize_layer(FloatLayer(layer, (own,)), config or Config())


def with_own(integer: IntegerLayer, **arrays) -> IntegerLayer:
    """A layer whose own source has other arrays: weight, mask."""
    own = replace(integer.own, **arrays)
    return replace(integer, sources=(own, *integer.sources[1:]))


def random_spikes(
    rng: np.random.Generator, shape: tuple[int, int, int, int], rate: float = 0.2
) -> np.ndarray:
    """Spikes, uint8 (T, C, H, W)."""
    return (rng.random(shape) < rate).astype(np.uint8)


def _random_parameters(
    rng: np.random.Generator,
    layer: Layer,
    source: Source,
    density: float,
    policy: str,
    n_pe: int,
) -> Parameters:
    filters, shape = layer.filters, source.weight_shape(layer.filters)
    # Densities of filters differ log-normally, as trained masks' do.
    spread = np.exp(rng.normal(0, 0.2, filters)).reshape(-1, *[1] * (len(shape) - 1))
    mask = rng.random(shape) < density * (spread if density < 1 else 1)
    mask = balance(mask, n_pe=n_pe, policy=policy, rng=rng)
    weight = (rng.normal(0, 1, mask.shape) * mask).astype(np.float32)
    if source.kernel is None:
        bias = rng.normal(0, 1, filters).astype(np.float32)
        return Parameters(layer, source, weight, mask, bias, None)
    fan_in = max(density * mask[0].size, 1.0)
    norm = Norm(
        weight=rng.uniform(0.5, 1.5, filters).astype(np.float32),
        bias=rng.normal(0.2, 0.5, filters).astype(np.float32),
        mean=rng.normal(0, 0.3, filters).astype(np.float32),
        var=(fan_in * rng.uniform(0.2, 0.6, filters)).astype(np.float32),
        eps=1e-5,
    )
    bias = rng.normal(0, 0.3, filters).astype(np.float32)
    return Parameters(layer, source, weight, mask, bias, norm)
