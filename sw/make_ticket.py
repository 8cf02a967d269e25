"""From a training checkpoint to a ticket: parameters, history, and the accuracy of both networks.

python -m sw.make_ticket build/train/vgg16_cifar10/cpu/uticket.pt tickets/vgg16_cifar10/uticket.npz
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch

from hw.config import Config
from sw import checkpoint as training
from sw import datasets, evaluate, history, networks, schedules, ticket
from sw.datasets import Dataset
from sw.layers import Layer, Network, Source
from sw.model import SpikingNetwork
from sw.quantize import quantize
from sw.ticket import Norm, Parameters, Ticket

NORM_EPS = torch.nn.BatchNorm2d(1).eps  # which model.py leaves at its default


def make_ticket(
    checkpoint: Path,
    dataset: Dataset,
    *,
    network: str,
    layers: Sequence[Layer],
    method: str,
    schedule: str,
    policy: str,
    n_pe: int,
    seed: int,
    config: Config,
    images: int,
    ticks: int | None = None,
    log: Callable[[str], None] = print,
) -> Ticket:
    """The ticket of a finished round, tested on the first `images` images of the test set.

    network: its name; layers: as trained. checkpoint: written by `train.Trainer`; method, schedule, policy, n_pe, seed: what it ran with.
    config: weight bits and machine of the integer network. ticks: by default as many as the hardware has lanes.
    Raises ValueError for a checkpoint inside a round, whose masks and weights are in flux.
    """
    state = training.load(checkpoint)
    if state["progress"]["images"] or not state["progress"]["history"]:
        raise ValueError(
            f"{checkpoint}: stands at image {state['progress']['images']} of round "
            f"{state['progress']['round']}, allowed: the end of a round"
        )
    described = Network(input=dataset.input, layers=tuple(layers))
    fitting = SpikingNetwork(layers, frames=described.host is None)
    fitting.load_state_dict(state["network"])  # raises where it is another network's
    parameters = tuple(
        _parameters(layer, source, state["network"], state["masks"])
        for layer, source in described.sources()
    )
    rows = state["progress"]["history"]
    test_images, labels = dataset.test_images[:images], dataset.test_labels[:images]
    result = Ticket(
        metadata={
            "network": network,
            "dataset": dataset.name,
            "method": method,
            "schedule": schedule,
            "policy": policy,
            "n_pe": n_pe,
            "ticks": ticks or config.ticks,
            **_leak(layers),
            "weight_bits": config.weight_bits,
            "seed": seed,
            **_trained(rows, dataset),
            "rewound": schedules.named(schedule).rewind_images is not None,
            "test_images": len(test_images),
            **_made(),
            "history": [
                {k: v for k, v in row.items() if k not in ("filter_nnz", "input_sparsity")}
                for row in rows
            ],
        },
        network=described,
        parameters=parameters,
        history_nnz=_by_source(rows, "filter_nnz", np.int32),
        history_input_sparsity=_by_source(rows, "input_sparsity", np.float32),
    )
    accuracy, quantized = evaluate.accuracies(
        quantize(result, config), test_images, labels, threads=torch.get_num_threads()
    )
    log(f"float network: {accuracy:.4f} of {len(labels)} images; integer network: {quantized:.4f}")
    metadata = {
        **result.metadata,
        **ticket.counts(result.masks),
        "accuracy": accuracy,
        "accuracy_quantized": quantized,
    }
    return replace(result, metadata=metadata)


def _leak(layers: Sequence[Layer]) -> dict:
    """The neurons', where they have one."""
    leaks = {layer.neuron.leak for layer in layers if layer.neuron}
    return {"leak": leaks.pop()} if len(leaks) == 1 else {}


def _trained(rows: list[dict], dataset: Dataset) -> dict:
    """How long it was trained. rows: the history, one a round."""
    seen = sum(row["images"] for row in rows)
    return {
        "rounds": len(rows),
        "epochs": seen / (len(dataset.train_images) - history.validation_images(dataset)),
        "images_seen": seen,
    }


def _made() -> dict:
    """When, and by which versions."""
    versions = {"numpy": np.__version__, "torch": torch.__version__}
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {"python": platform.python_version(), **versions},
    }


def _by_source(rows: list[dict], field: str, dtype: type) -> dict[str, np.ndarray]:
    """A field of the history that has a list or a number a source: arrays, one row a round."""
    return {name: np.array([row[field][name] for row in rows], dtype) for name in rows[0][field]}


def _parameters(
    layer: Layer, source: Source, state: dict[str, torch.Tensor], masks: dict[str, torch.Tensor]
) -> Parameters:
    """One source's parameters, from the network's state, as contiguous float32 arrays."""

    def array(name: str) -> np.ndarray:
        return np.ascontiguousarray(state[name].numpy(), np.float32)

    weights, norms = f"weights.{source.name}", f"norms.{source.name}"
    weight = array(f"{weights}.weight")
    mask = np.ones(weight.shape, bool)
    if source.name in masks:
        mask = np.ascontiguousarray(masks[source.name].numpy())
    norm = None
    if f"{norms}.weight" in state:
        norm = Norm(
            weight=array(f"{norms}.weight"),
            bias=array(f"{norms}.bias"),
            mean=array(f"{norms}.running_mean"),
            var=array(f"{norms}.running_var"),
            eps=NORM_EPS,
        )
    bias = np.zeros(len(weight), np.float32)  # of a convolution: batch norm has one of its own
    if f"{weights}.bias" in state:
        bias = array(f"{weights}.bias")
    return Parameters(layer, source, weight * mask, mask, bias, norm)


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
    data = datasets.load(dataset)
    result = make_ticket(
        checkpoint,
        data,
        network=network,
        layers=networks.build(network, in_channels=data.channels),
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
