"""How often an imported network's integers do what the user's own network does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import click
import numpy as np

from support.errors import BadInput
from sw import golden
from sw.datasets import scaled
from sw.importers import reference
from sw.importers.door import Imported
from sw.importers.graph import Refused
from sw.quantize import quantize, ticket_config
from sw.ticket import Ticket

FLOATS = "floats"
"""The graph as its file says, in float64: sw/importers/reference.py."""
BATCH = 16


def compare(
    network: Imported,
    ticket: Ticket,
    images: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    known: Mapping[str, np.ndarray | Batched] | None = None,
    against: str = FLOATS,
) -> dict[str, Any]:
    """Integers against the graph in float64, or against `known` spikes: shares of what is equal.

    images: uint8 (N, C, H, W), or spikes (N, T, C, H, W). labels: int64 (N,). known: by node, (N, T, ...).
    against: whose they are.
    Raises BadInput for images that the network does not take, or spikes of another shape.
    """
    config = ticket_config(ticket)
    integers = quantize(ticket, config)
    seen, ticks = integers.input, integers.ticks
    wanted = seen.shape if integers.host is not None else (ticks, *seen.shape)
    if images.shape[1:] != wanted:
        raise BadInput(f"images are {images.shape[1:]}; the network takes {wanted}")
    rows = network.lowered.rows
    known = known or {}
    _check_reference(network, known, len(images))
    equal = {row.name: [0, 0] for row in rows if _fires(network, row.name)}
    predictions: dict[str, list[int]] = {"integer": [], "reference": []}
    for n, (image, spikes) in enumerate(
        zip(images, golden.first_layer_spikes(integers, images), strict=True)
    ):
        values = {} if len(known) == len(rows) else _reference(network, image)
        values |= {node: spikes_of[n] for node, spikes_of in known.items()}
        found = {integers.first_map: spikes} | {
            name: result.output for name, result in golden.run(integers, spikes).items()
        }
        for row in rows:
            ours, theirs = found[row.name], values[row.node]
            if theirs.size != ours.size:
                text = f"{row.node} has {theirs.shape} an image; the layer {ours.shape}"
                raise BadInput(f"--reference: {text}")
            if row.name in equal:
                theirs = theirs != 0  # spikes that a scale behind the neurons has changed, too
                equal[row.name][0] += int((ours.ravel() == theirs.ravel()).sum())
                equal[row.name][1] += ours.size
        predictions["integer"].append(golden.predict(found[rows[-1].name]))
        predictions["reference"].append(_prediction(theirs))
    return {"against": against, **_summary(equal, predictions, labels)}


@dataclass(frozen=True)
class Batched:
    """What one node fires, an image after the other, (T, ...); a batch of images is run at a time."""

    run: Callable[[int], dict[str, np.ndarray]]  # of a batch's number
    node: str

    def __getitem__(self, image: int) -> np.ndarray:
        number, at = divmod(image, BATCH)
        return self.run(number)[self.node][at]


def framework_spikes(
    network: Imported, images: np.ndarray
) -> tuple[dict[str, Batched] | None, str]:
    """What the user's framework itself fires, by node, and its name; None for a file, or if it cannot run.

    images: as of `compare`. Then the name is FLOATS, with why.
    """
    live_module = network.graph.live
    if live_module is None:
        return None, FLOATS
    from sw.importers import live

    seen, name = network.lowered.network.input, live.framework(live_module)

    @lru_cache(maxsize=1)
    def run(number: int) -> dict[str, np.ndarray]:
        inputs = images[number * BATCH : (number + 1) * BATCH]
        if seen.mean is not None and seen.std is not None:
            inputs = scaled(inputs, seen.mean, seen.std)
        return live.spikes(network, inputs)

    try:
        nodes = list(run(0))
    except Refused as error:
        return None, f"{FLOATS} ({name} did not run: {error})"
    return {node: Batched(run, node) for node in nodes}, name


def _check_reference(network: Imported, known: Mapping[str, Any], count: int) -> None:
    """Raises BadInput for spikes of no node, of other images, or that are none."""
    named = {row.node: row.name for row in network.lowered.rows}
    for node, values in known.items():
        if node not in named:
            text = f"{node} is no layer's node; allowed: {', '.join(named)}"
            raise BadInput(f"--reference: {text}")
        if isinstance(values, Batched):  # a framework's, of these images
            continue
        if values.ndim < 2 or len(values) != count or values.dtype.kind not in "buif":
            text = f"{node} = {values.dtype} {values.shape}; allowed: ({count}, T, ...)"
            raise BadInput(f"--reference: {text}")
        if _fires(network, named[node]):
            wrong, allowed = values[(values != 0) & (values != 1)], "0 and 1"
        else:
            wrong, allowed = values[~np.isfinite(values)], "finite numbers"
        if wrong.size:
            raise BadInput(f"--reference: {node} holds {wrong[0]}; allowed: {allowed}")


def _fires(network: Imported, name: str) -> bool:
    return any(layer.name == name and layer.neuron for layer in network.lowered.network.layers)


def _reference(network: Imported, image: np.ndarray) -> dict[str, np.ndarray]:
    seen = network.lowered.network.input
    if seen.mean is not None and seen.std is not None:
        pixels = scaled(image[None], seen.mean, seen.std)
        image = np.repeat(pixels, network.options.ticks, axis=0)
    return reference.run(network.graph, image)


def _prediction(result: np.ndarray) -> int:
    """From (T, K, ...): the most, the lowest index on ties."""
    return int(result.reshape(*result.shape[:2], -1).sum(axis=(0, 2)).argmax())


def _summary(
    equal: dict[str, list[int]], predictions: dict[str, list[int]], labels: np.ndarray | None
) -> dict[str, Any]:
    ours, theirs = (np.array(predictions[who]) for who in ("integer", "reference"))
    total = np.sum(list(equal.values()), axis=0)
    result: dict[str, Any] = {
        "images": len(ours),
        "layers": {name: same / count for name, (same, count) in equal.items()},
        "spikes_equal": float(total[0] / total[1]),
        "predictions_equal": float((ours == theirs).mean()),
    }
    if labels is not None:
        result["accuracy"] = float((ours == labels).mean())
        result["accuracy_reference"] = float((theirs == labels).mean())
    return result


def print_agreement(agreement: dict[str, Any]) -> None:
    """A line a layer."""
    click.echo(f"\nintegers against {agreement['against']}, {agreement['images']} images:")
    for name, share in agreement["layers"].items():
        click.echo(f"    {name:20}{share:.4%} of its spikes are equal")
    click.echo(f"    {'all':20}{agreement['spikes_equal']:.4%}")
    click.echo(f"    {'predictions':20}{agreement['predictions_equal']:.2%} are equal")
    if "accuracy" in agreement:
        click.echo(
            f"    accuracy {agreement['accuracy']:.2%}, of the other {agreement['accuracy_reference']:.2%}"
        )
