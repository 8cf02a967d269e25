"""What rounding to integers does to answers: how many change, and whether for better or worse.

    python benchmarks/rounding.py [MODEL ...] [--images N]      # all models of tickets/ if left out

Beside the integers stand floats whose weights are all off by one part in 100,000, up or down at random. Rounding to 16
bits moves a filter's largest weight by at most 1.5 such parts, and its smaller ones by more.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from sim.catalog import load_model
from sim.deployment import Deployment
from sw import evaluate
from sw.evaluate import Arithmetic
from sw.integers import IntegerNetwork
from sw.quantize import quantize

MODELS = ("vgg16_cifar10", "resnet19_cifar10", "vgg16_fashion_mnist", "resnet19_fashion_mnist")
OFF = 1e-5
COLUMNS = (
    "ticket",
    "weights",
    "right",
    "answers that differ from the floats'",
    "of them right no more",
    "right now",
)


def off(network: Arithmetic, rng: np.random.Generator) -> Arithmetic:
    """The network with each weight changed by OFF of it, up or down."""
    layers = []
    for layer in network.layers:
        learned = []
        for part in layer.learned:
            factor = 1 + OFF * rng.choice((-1, 1), part.weight.shape)
            learned.append(replace(part, weight=(part.weight * factor).astype(np.float32)))
        layers.append(replace(layer, learned=tuple(learned)))
    return replace(network, layers=tuple(layers))


def answers(
    kinds: list[Arithmetic], network: IntegerNetwork, images: np.ndarray
) -> list[np.ndarray]:
    """Classes of images, uint8 (N, C, H, W), by each arithmetic, int64 (N,)."""
    found: list[list[np.ndarray]] = []
    for at in range(0, len(images), evaluate.BATCH):
        spikes = evaluate.first_layer(network, images[at : at + evaluate.BATCH])
        found.append([evaluate.predict(evaluate.outputs(kind, spikes)) for kind in kinds])
    return [np.concatenate(each) for each in zip(*found, strict=True)]


def rows(model: str, count: int) -> list[list[str]]:
    """Two rows a ticket, as COLUMNS."""
    made = []
    for method in load_model(model).methods.values():
        if method.sort:
            continue
        one = Deployment.load(model, method.name)
        network = quantize(one.ticket, one.config)
        images, labels = one.test_images(count)
        floats = evaluate.floats(network)
        kinds = [floats, evaluate.integers(network), off(floats, np.random.default_rng(0))]
        first, *others = answers(kinds, network, images)
        for name, found in zip(("16-bit integers", f"off by {OFF:g}"), others, strict=True):
            worse = np.sum((first == labels) & (found != labels))
            better = np.sum((first != labels) & (found == labels))
            shares = f"{np.mean(found == labels):.2%}", f"{np.mean(found != first):.2%}"
            made.append([f"{model}, {method.name}", name, *shares, str(worse), str(better)])
    return made


def main() -> None:
    """A row as it comes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for model in options.models:
        for row in rows(model, options.images):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
