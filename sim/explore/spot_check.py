"""A few configurations whose RTL is built and must say what the cycle model says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.config import Config
from sim.explore.drawn_networks import synthetic_network
from sim.explore.spec import Point, Spec
from sim.models.cycles import bound, input_cycles, predict
from sim.rtl.checks import compare
from sim.rtl.harness import Rtl
from support.errors import BadInput
from sw import golden
from sw.compile import Program
from sw.integers import IntegerNetwork, part
from sw.layers import Shape
from sw.machines import compile_network
from sw.order import sort_orders

CHECK_CYCLES = 400_000  # of a spot check, by the model


@dataclass(frozen=True, kw_only=True)
class SpotCheck:
    """One configuration, its RTL against the models on a program of a point's leading layers."""

    point: Point
    layers: int
    side: int
    cycles: int
    mismatch: str | None


def drawn_points(spec: Spec, count: int) -> list[Point]:
    """Points of different configurations, drawn from the seed; all where there are fewer."""
    by_config: dict[Config, list[Point]] = {}
    for point in spec.points:
        by_config.setdefault(point.on(spec.base), []).append(point)
    rng = np.random.default_rng([spec.seed, 7])
    chosen = [list(by_config)[i] for i in rng.permutation(len(by_config))[:count]]
    return [by_config[c][int(rng.integers(len(by_config[c])))] for c in chosen]


def spot_check(point: Point, spec: Spec) -> SpotCheck:
    """Build the RTL of a point's configuration and run its network's leading layers on a small map.

    Spikes, every counter of every PE and all cycles are compared. Raises RtlError if the RTL errs.
    """
    config = point.on(spec.base)
    rng = np.random.default_rng([spec.seed, spec.points.index(point)])
    side = int(rng.integers(5, 17))
    network = synthetic_network(*point.masks, config.ticks, config.neuron, spec.seed, spec.spread)
    network, program = _leading(network, config, side, sort=point.policy == "sort")
    shape = (config.ticks, *network.input.shape)
    spikes = (rng.random(shape) > spec.spike_sparsity).astype(np.uint8)
    predicted = predict(program)
    with Rtl(config, quick=True) as rtl:  # CHECK_CYCLES is few
        done = rtl.run(program, spikes, max_cycles=bound(program, spikes))
    comparison = compare(
        program,
        golden.run(network, spikes),
        done,
        predicted,
        input_cycles=input_cycles(program, spikes),
    )
    return SpotCheck(
        point=point,
        layers=len(program.layers),
        side=side,
        cycles=done.cycles,
        mismatch=comparison.first,
    )


def _leading(
    network: IntegerNetwork, config: Config, side: int, *, sort: bool
) -> tuple[IntegerNetwork, Program]:
    """As many of the network's layers, on a map of `side`, as the array takes in CHECK_CYCLES."""
    best = None
    names = [integer.name for integer in network.array]
    seen = Shape(network.array[0].own.source.channels, side, side)
    for count in range(1, len(names) + 1):
        try:
            leading = part(network, names[:count], seen)
            orders = sort_orders(leading) if sort else None
            program = compile_network(leading, config, orders=orders)
        except ValueError:  # does not fit, or pools a map away that is as small as this one
            break
        if best is not None and sum(layer.cycles for layer in predict(program)) > CHECK_CYCLES:
            break
        best = leading, program
    if best is None:
        raise BadInput(f"spot check: the first layer does not fit {config}")
    return best
