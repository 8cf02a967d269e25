"""From a training checkpoint to a ticket: parameters, history, and the accuracy of both networks.

python -m sw.export build/train/vgg16_cifar10/cpu/uticket.pt tickets/vgg16_cifar10/uticket.npz
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch.nn import functional as F

from hw.config import Config
from sim import golden
from sw import datasets, networks, ticket
from sw.datasets import Dataset
from sw.model import SpikingNetwork, input_sparsity, predict
from sw.neurons import LEAK
from sw.quantize import IntegerNetwork, quantize
from sw.schedules import SCHEDULES
from sw.ticket import NOT_MEASURED, Norm, Parameters, Ticket
from sw.train import SPARSITY_IMAGES, VALIDATION_IMAGES

BATCH = 50  # images
NORM_EPS = torch.nn.BatchNorm2d(1).eps  # which model.py leaves at its default


def export(
    checkpoint: Path,
    dataset: Dataset,
    *,
    network: str,
    method: str,
    schedule: str,
    policy: str,
    n_pe: int,
    seed: int,
    config: Config,
    images: int,
    log: Callable[[str], None] = print,
) -> Ticket:
    """The ticket of a finished round, tested on the first `images` images of the test set.

    checkpoint: written by `train.Trainer`; method, schedule, policy, n_pe, seed: what it ran with.
    config: ticks, weight bits and leak of the integer network.
    Raises ValueError for a checkpoint inside a round, whose masks and weights are in flux.
    """
    state = torch.load(checkpoint, weights_only=True)
    if state["progress"]["images"] or not state["progress"]["history"]:
        raise ValueError(
            f"{checkpoint}: stands at image {state['progress']['images']} of round "
            f"{state['progress']['round']}, allowed: the end of a round"
        )
    layers = networks.build(network, in_channels=dataset.train_images.shape[1])
    model = SpikingNetwork(layers)
    model.load_state_dict(state["network"])
    model.eval()
    parameters = tuple(_parameters(layer, state["network"], state["masks"]) for layer in layers)
    history = state["progress"]["history"]
    if "input_sparsity" not in history[-1]:  # a round trained before this was recorded
        validation = dataset.train_images[-VALIDATION_IMAGES:][:SPARSITY_IMAGES]
        history[-1]["input_sparsity"] = input_sparsity(
            model, _normalized(validation, dataset), history[-1]["ticks"]
        )
    arrays = [layer.name for layer in layers[1:]]
    seen = sum(row["images"] for row in history)
    test_images, labels = dataset.test_images[:images], dataset.test_labels[:images]
    result = Ticket(
        metadata={
            "network": network,
            "dataset": dataset.name,
            "method": method,
            "schedule": schedule,
            "policy": policy,
            "n_pe": n_pe,
            "ticks": config.ticks,
            "leak": LEAK,
            "weight_bits": config.weight_bits,
            "seed": seed,
            "rounds": len(history),
            "epochs": seen / (len(dataset.train_images) - VALIDATION_IMAGES),
            "images_seen": seen,
            "rewound": SCHEDULES[schedule].rewind_images is not None,
            "test_images": len(test_images),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "torch": torch.__version__,
            },
            "history": [
                {k: v for k, v in row.items() if k not in ("filter_nnz", "input_sparsity")}
                for row in history
            ],
        },
        parameters=parameters,
        history_nnz={
            name: np.array([row["filter_nnz"][name] for row in history], np.int32)
            for name in arrays
        },
        history_input_sparsity={
            name: np.array(
                [row.get("input_sparsity", {}).get(name, NOT_MEASURED) for row in history],
                np.float32,
            )
            for name in arrays
        },
    )
    accuracy = float_accuracy(model, dataset, test_images, labels, config.ticks)
    log(f"float network: {accuracy:.4f} of {len(labels)} images")
    quantized = integer_accuracy(quantize(result, config), test_images, labels)
    log(f"integer network: {quantized:.4f}")
    metadata = {
        **result.metadata,
        **ticket.counts(result.masks),
        "accuracy": accuracy,
        "accuracy_quantized": quantized,
    }
    return replace(result, metadata=metadata)


def _parameters(
    layer: networks.Layer, state: dict[str, torch.Tensor], masks: dict[str, torch.Tensor]
) -> Parameters:
    """One layer's parameters, from the network's state, as contiguous float32 arrays."""

    def array(name: str) -> np.ndarray:
        return np.ascontiguousarray(state[name].numpy(), np.float32)

    weights, norms = f"weights.{layer.name}", f"norms.{layer.name}"
    weight = array(f"{weights}.weight")
    mask = np.ones(weight.shape, bool)
    if layer.name in masks:
        mask = np.ascontiguousarray(masks[layer.name].numpy())
    norm = None
    if f"{norms}.weight" in state:
        norm = Norm(
            weight=array(f"{norms}.weight"),
            bias=array(f"{norms}.bias"),
            mean=array(f"{norms}.running_mean"),
            var=array(f"{norms}.running_var"),
            eps=NORM_EPS,
        )
    return Parameters(layer, weight * mask, mask, array(f"{weights}.bias"), norm)


def _normalized(images: np.ndarray, dataset: Dataset) -> torch.Tensor:
    floats = torch.from_numpy(datasets.normalize(images, dataset.name)).float()
    return floats.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def float_accuracy(
    model: SpikingNetwork, dataset: Dataset, images: np.ndarray, labels: np.ndarray, ticks: int
) -> float:
    """Fraction of uint8 images (N, C, H, W) that the float32 network classifies right."""
    right = 0
    for at in range(0, len(images), BATCH):
        chosen = predict(model(_normalized(images[at : at + BATCH], dataset), ticks)).numpy()
        right += int((chosen == labels[at : at + BATCH]).sum())
    return right / len(images)


def integer_accuracy(network: IntegerNetwork, images: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of uint8 images (N, C, H, W) that the integer network classifies right.

    The first image of each call is compared with the golden model (RuntimeError if they differ).
    """
    right = 0
    for at in range(0, len(images), BATCH):
        spikes = golden.first_layer_spikes(network, images[at : at + BATCH])
        outputs = integer_outputs(network, spikes)
        if at == 0:
            expected = golden.run(network, spikes[0])[network.layers[-1].name].output
            if not np.array_equal(outputs[0], expected):
                raise RuntimeError("the batched integer network differs from the golden model")
        chosen = [golden.predict(acc) for acc in outputs]
        right += int((np.array(chosen) == labels[at : at + BATCH]).sum())
    return right / len(images)


@torch.no_grad()
def integer_outputs(network: IntegerNetwork, spikes: np.ndarray) -> np.ndarray:
    """The classifier's accumulators, int32 (N, T, K), for a batch of spikes (N, T, C, H, W).

    The golden model for many images, with float32 convolutions: every partial sum is an integer
    below 2^23 (quantize.py), hence exact in float32 in any order. NNPACK is left out, because its
    Winograd transforms are no mere sums; PyTorch asks oneDNN for direct convolution only.
    Raises RuntimeError for a sum that is not an integer.
    """
    batch, ticks = spikes.shape[:2]
    outputs = {network.layers[0].name: torch.from_numpy(spikes).float().transpose(0, 1)}
    for integer in network.array:
        layer = integer.layer
        x = outputs[layer.input].flatten(0, 1)
        weight = torch.from_numpy(integer.weight).float()
        with torch.backends.nnpack.flags(enabled=False):
            if layer.kind == "linear":
                acc = F.linear(x.flatten(1), weight)[:, :, None, None]
            else:
                acc = F.conv2d(x, weight, stride=layer.stride, padding=layer.padding)
        if not torch.equal(acc, acc.round()):
            raise RuntimeError(f"layer {layer.name}: a float32 sum of integers is no integer")
        acc = acc.int() + torch.from_numpy(integer.bias).int()[:, None, None]
        acc = acc.unflatten(0, (ticks, batch))
        if integer.threshold is None:
            return acc[..., 0, 0].transpose(0, 1).numpy()
        outputs[layer.name] = _fire(network.leak, layer, acc, integer.threshold)
    raise ValueError("the network has no classifier")


def _fire(
    leak: Callable[[Any], Any], layer: networks.Layer, acc: torch.Tensor, threshold: np.ndarray
) -> torch.Tensor:
    """LIF and pooling: int32 (T, N, K, H, W) -> float32 spikes."""
    limit = torch.from_numpy(threshold).int()[:, None, None]
    u = torch.zeros_like(acc[0])
    spikes = torch.empty(acc.shape)
    for t, current in enumerate(acc):
        u = leak(u) + current
        fires = u >= limit
        spikes[t] = fires
        u = u * ~fires
    if layer.pool == "max2":
        spikes = F.max_pool2d(spikes.flatten(0, 1), 2).unflatten(0, spikes.shape[:2])
    return spikes


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--network", default="vgg16", show_default=True)
@click.option("--dataset", default="cifar10", show_default=True)
@click.option("--method", help="Default: the checkpoint's name.")
@click.option("--schedule", help="Default: the name of the checkpoint's folder.")
@click.option("--policy", required=True, help="Balancing policy it was trained with.")
@click.option("--n-pe", default=16, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--weight-bits", default=16, show_default=True)
@click.option("--images", default=10_000, show_default=True, help="Of the test set.")
def main(
    checkpoint: Path,
    out: Path,
    network: str,
    dataset: str,
    method: str | None,
    schedule: str | None,
    policy: str,
    n_pe: int,
    seed: int,
    weight_bits: int,
    images: int,
) -> None:
    """Write the ticket of CHECKPOINT, at the end of a round, to OUT (.npz)."""
    result = export(
        checkpoint,
        datasets.load(dataset),
        network=network,
        method=method or checkpoint.stem,
        schedule=schedule or checkpoint.parent.name,
        policy=policy,
        n_pe=n_pe,
        seed=seed,
        config=Config(weight_bits=weight_bits),
        images=images,
        log=click.echo,
    )
    ticket.save(result, out)
    click.echo(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
