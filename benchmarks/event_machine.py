"""What balancing buys on the event machine: cycles and energy of tickets, filters and weights in several orders.

    python benchmarks/event_machine.py [MODEL ...] [--images 10] [--json FILE]

Cycles are the cycle model's, from the golden model's spikes, the input included; energy is that of the PEs, by
Eq. 3 and by components. Orders by activity are made from test images 20 to 23, and judged on images 0 and on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hw.config import Config
from sim.catalog import load_model
from sim.deployment import Deployment, deployments
from sim.models import cycles
from sim.models.components import add_counts, breakdown, total_pj
from sim.models.eq3 import energies
from sim.models.event_costs import costs
from sim.models.event_cycles import EventCycles
from sim.models.event_layout import own_beats
from sim.models.memory import rtl_counts
from sim.models.workload import of_program, totals
from sim.rtl.runner import Loaded
from sw import golden
from sw.event.compile import layer_weights
from sw.event.encode import SHORTCUT, Weights
from sw.event.program import EventLayer, EventProgram
from sw.integers import IntegerLayer, IntegerNetwork
from sw.machines import compile_network
from sw.order import sort_orders

MODELS = ("vgg16_cifar10", "resnet19_cifar10", "vgg16_fashion_mnist")
CALIBRATION = slice(20, 24)
SEED = 16
COLUMNS = ("cycles", "fewest", "most", "E_dyn (M)", "uJ", "occupancy")


@dataclass(frozen=True)
class Seen:
    """A network with what the golden model made of some images."""

    network: IntegerNetwork
    spikes: np.ndarray
    results: list[dict[str, golden.LayerResult]]


def seen(one: Deployment, images: np.ndarray) -> Seen:
    """Of a deployment's network."""
    spikes = one.spikes(images)
    return Seen(one.network, spikes, [golden.run(one.network, each) for each in spikes])


def expected_costs(program: EventProgram, calibration: Seen) -> dict[str, np.ndarray]:
    """Cycles that a weight of a beat, channel of the beat and tap takes over all tiles, mean over the images."""
    found: dict[str, np.ndarray] = {}
    for spikes, result in zip(calibration.spikes, calibration.results, strict=True):
        maps = {name: one.output for name, one in result.items()}
        maps[calibration.network.first_map] = spikes
        for layer in program.layers:
            tiles = list(layer.tiling(program.config).tiles())
            most = costs(layer, maps, tiles, program.config, program.ticks).most
            mean = np.maximum(most, 1).sum(axis=-1) / len(calibration.results)
            found[layer.name] = found.get(layer.name, 0) + mean
    return found


def weight_costs(layer: EventLayer, weights: Weights, by_tap: np.ndarray) -> np.ndarray:
    """Of each weight."""
    beats = weights.beats & ((1 << SHORTCUT) - 1)
    beats = beats + np.where(weights.beats >> SHORTCUT & 1, own_beats(layer), 0)
    return by_tap[beats, weights.subs, weights.taps]


def event_program(one: Deployment) -> EventProgram:
    """A deployment's program, of this machine."""
    if not isinstance(one.program, EventProgram):
        raise TypeError("a program of the other machine")
    return one.program


def cost_orders(program: EventProgram, by_tap: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Filters of each layer in descending order of their expected cycles."""
    orders = {}
    for layer in program.layers:
        weights = layer_weights(layer.integer, layer.descriptor, layer.inputs)
        each = np.zeros(layer.descriptor.filters)
        np.add.at(each, weights.filters, weight_costs(layer, weights, by_tap[layer.name]))
        orders[layer.name] = np.argsort(-each, kind="stable")
    return orders


def moved(
    layer: EventLayer, by_tap: np.ndarray, n_pe: int, rng: np.random.Generator
) -> tuple[IntegerLayer, int]:
    """The layer with weights moved until filters of a group have equal expected cycles, and how many were.

    A filter keeps its number of weights; a weight that a shortcut has stays.
    """
    integer = layer.integer
    own = integer.own
    every = replace(own, weight=np.ones_like(own.weight[:1]), mask=np.ones_like(own.mask[:1]))
    alone = replace(integer, sources=(every,))
    price = weight_costs(layer, layer_weights(alone, layer.descriptor, layer.inputs[:1]), by_tap)
    weights = layer_weights(integer, layer.descriptor, layer.inputs)
    total = np.zeros(layer.descriptor.filters)
    np.add.at(total, weights.filters, weight_costs(layer, weights, by_tap))
    mask = own.mask.reshape(len(own.mask), -1).copy()
    weight = own.weight.reshape(mask.shape).copy()
    count = 0
    for first in range(0, len(mask), n_pe):
        group = range(first, min(first + n_pe, len(mask)))
        target = total[list(group)].mean()
        for k in group:
            for _ in range(50):
                missing = target - total[k]
                there, free = np.flatnonzero(mask[k]), np.flatnonzero(~mask[k])
                if abs(missing) < 1 or not len(there) or not len(free):
                    break
                old = rng.choice(there)
                gap = np.abs(price[free] - price[old] - missing)
                new = rng.choice(free[gap == gap.min()])
                if gap.min() >= abs(missing):
                    continue
                mask[k, [old, new]] = False, True
                weight[k, new], weight[k, old] = weight[k, old], 0
                total[k] += price[new] - price[old]
                count += 1
    part = replace(own, mask=mask.reshape(own.mask.shape), weight=weight.reshape(own.weight.shape))
    sources = tuple(part if source is own else source for source in integer.sources)
    return replace(integer, sources=sources), count


def accumulates(layer: IntegerLayer, result: golden.LayerResult) -> float:
    """Spikes under all weights of a layer's masks."""
    total = 0.0
    for part in layer.learned:
        source, spikes = part.source, result.inputs[part.name].sum(axis=0, dtype=np.int64)
        mask = part.mask.reshape(len(part.mask), len(spikes), -1)
        if source.kernel is None:
            total += float(mask[:, :, 0].sum(axis=0) @ spikes.reshape(len(spikes), -1)[:, 0])
            continue
        height, width = source.output(*spikes.shape[1:])
        padded = np.pad(spikes, ((0, 0), *[(source.padding, source.padding)] * 2))
        for tap in range(mask.shape[2]):
            y, x = divmod(tap, source.kernel[1])
            window = padded[:, y :: source.stride, x :: source.stride][:, :height, :width]
            total += float(mask[:, :, tap].sum(axis=0) @ window.sum(axis=(1, 2)))
    return total


def row(
    network: IntegerNetwork, orders: dict[str, np.ndarray] | None, images: Seen, config: Config
) -> dict[str, Any]:
    """Of a network, or of one of other masks, on the spikes of the one that was seen."""
    program = compile_network(network, config, orders=orders)
    loaded = Loaded(network=network, program=program, cycles=None)
    spent = energies(None)
    taken, counts, work, slots = [], [], 0, 0
    for spikes, expected in zip(images.spikes, images.results, strict=True):
        predicted = loaded.predict(spikes, expected)
        for layer, found in zip(program.layers, predicted, strict=True):
            result = expected[layer.name]
            sums = {
                "accumulates": np.array([accumulates(layer.integer, result)]),
                "shortcut_accumulates": result.shortcut_accumulates,
            }
            counts.append((sums, rtl_counts(layer, {**found.counters, **sums}, config)))
            if isinstance(found, EventCycles):
                work += int(found.group_positions.sum())
                slots += int(found.group_positions.max(axis=1).sum()) * config.n_pe
        taken.append(
            sum(layer.cycles for layer in predicted) + cycles.input_cycles(program, spikes)
        )
    every = add_counts(count for _, count in counts)
    lines = breakdown(spent.table, every, accounting="rtl", config=config)
    load = totals(of_program(program))
    spikes_added = sum(float(sums["accumulates"][0]) for sums, _ in counts) / len(taken)
    return {
        "cycles": float(np.mean(taken)),
        "fewest": min(taken),
        "most": max(taken),
        "E_dyn (M)": 1e-6 * (spikes_added + spent.eq3.leak * (load.work + load.idle)),
        "uJ": 1e-6 * total_pj(lines) / len(taken),
        "occupancy": work / slots,
    }


def table(model: str, count: int, tell: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """All rows of a model."""
    chosen = load_model(model)
    config = replace(chosen.hardware, machine="event")
    found: dict[str, dict[str, Any]] = {}
    for name in ("lth", "uticket"):
        (one,) = deployments(chosen, [chosen.methods[name]], config)
        program = event_program(one)
        images, _ = one.test_images(max(count, CALIBRATION.stop))
        judged, by_tap = (
            seen(one, images[:count]),
            expected_costs(program, seen(one, images[CALIBRATION])),
        )
        orders: dict[str, dict[str, np.ndarray] | None] = {"": None}
        if name == "lth":  # a u-Ticket's group has as many weights in each filter
            orders["sorted by nnz"] = sort_orders(one.network)
        orders["sorted by expected activity"] = cost_orders(program, by_tap)
        for order, its in orders.items():
            found[f"{name} {order}".strip()] = row(one.network, its, judged, config)
            tell(f"{model}: {name} {order}")
    rng = np.random.default_rng(SEED)
    changed = [moved(layer, by_tap[layer.name], config.n_pe, rng) for layer in program.layers]
    network = replace(one.network, array=tuple(layer for layer, _ in changed))
    weights = sum(int(layer.filter_nnz.sum()) for layer in network.array)
    moves = sum(number for _, number in changed)
    balanced = row(network, None, judged, config) | {"moved": moves / weights}
    return found | {"uticket balanced by expected activity": balanced}


def markdown(model: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """As docs/results has it."""
    lines = [f"| {model} | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in found.items():
        cells = [f"{row[key]:,.0f}" for key in COLUMNS[:3]]
        cells += [f"{row[key]:.3f}" for key in COLUMNS[3:]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {}
    for model in options.models:
        found[model] = table(model, options.images, lambda text: print(text, flush=True))
        print(markdown(model, found[model]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
