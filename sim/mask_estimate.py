"""Cycles and energy of masks alone, without a network around them: `uticket estimate MASKS`; docs/masks.md.

Layers run one after the other, the input of each already in the spike buffer. Cycles depend on masks and maps
alone, so they are exact; how many steps meet a spike is the caller's to say, and energy follows from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from hw.config import Config
from sim.estimate import Estimate, Row, checked_clock, timed
from sim.models import cycles, memory
from sim.models.components import breakdown, total_pj
from sim.models.eq3 import energies, eq3
from sim.models.masks import MaskLayer
from sim.models.workload import of_program, rtl_bound_cycles, totals
from support.errors import BadInput
from sw.compile import Program
from sw.integers import IntegerLayer, IntegerNetwork, IntegerSource
from sw.layers import IMAGE, LIF, Encoding, Input, Layer, Pool, conv, linear
from sw.machines import compile_network

NOTHING = np.zeros(0)


def estimate_masks(
    layers: Sequence[MaskLayer],
    sides: Sequence[int],
    sparsities: Sequence[float],
    config: Config,
    *,
    model: str,
    technology: str | None = None,
    clock_mhz: float | None = None,
) -> Estimate:
    """Layers one after the other. sides: of each layer's square map of neurons, in positions.

    sparsities: of each layer, the share of its steps without a spike, 0 to 1. Convolutions have stride 1 and
    keep their map's size; one whose next layer has half its side pools; a last layer (K, C) hands out sums.
    Raises BadInput for other sparsities, DoesNotFit, naming the layer, for what the array cannot run.
    """
    spent = energies(technology)
    clock = checked_clock(clock_mhz, spent)
    if config.machine != "sweep":
        raise BadInput(
            f"machine = {config.machine!r} of masks; allowed: sweep, whose cycles no spike changes"
        )
    for layer, sparsity in zip(layers, sparsities, strict=True):
        if not 0 <= sparsity <= 1:
            raise BadInput(f"input sparsity of {layer.name} = {sparsity}; allowed: 0 to 1")
    program = _program(layers, sides, config)
    loads = of_program(program)
    rows: list[Row] = []
    for compiled, load, taken, sparsity in zip(
        program.layers, loads, cycles.predict(program), sparsities, strict=True
    ):
        counts = memory.expected_counts(compiled, taken, config, spike_sparsity=sparsity)
        lines = breakdown(spent.table, counts, accounting="rtl", config=config)
        active = 1 - sparsity
        rows.append(
            {
                **asdict(load),
                "spike_sparsity": sparsity,
                "accumulates": load.work * active,
                "cycles": taken.cycles,
                "bound_cycles": rtl_bound_cycles(load.work, lanes=config.lanes, n_pe=config.n_pe),
                "energy": eq3(work=load.work, idle=load.idle, active=active, leak=spent.eq3.leak),
                "energy_pj": total_pj(lines),
            }
        )
    total = asdict(totals(loads)) | {
        name: sum(row[name] for row in rows)
        for name in ("accumulates", "cycles", "bound_cycles", "energy", "energy_pj")
    }
    work = total["work"]
    total["spike_sparsity"] = 1 - total["accumulates"] / work if work else None
    return Estimate(
        model=model,
        method=None,
        config=config,
        energies=spent,
        clock_mhz=clock,
        images=None,
        layers=rows,
        totals=total | timed(total["cycles"], clock),
    )


def _program(layers: Sequence[MaskLayer], sides: Sequence[int], config: Config) -> Program:
    """The layers one after the other, as the array loads them: each has a spike buffer of its own."""
    alone = [
        _alone(layer, side, config, after=after)
        for layer, side, after in zip(layers, sides, [*sides[1:], None], strict=True)
    ]
    compiled = tuple(layer for program in alone for layer in program.layers)
    return Program(config, alone[0].input, compiled)


def _alone(mask: MaskLayer, side: int, config: Config, *, after: int | None) -> Program:
    """One layer as a network of its own that is given spikes. after: side of the next layer's map."""
    filters, channels = mask.values.shape[:2]
    if mask.values.ndim == 2:
        if side != 1:
            raise BadInput(f"{mask.name}: a map of {side} of a layer (K, C); allowed: 1")
        neuron = None if after is None else LIF
        layer: Layer = linear(mask.name, (channels, filters), IMAGE, neuron=neuron)
    else:
        tall, wide = mask.values.shape[2:]
        if tall != wide:
            raise BadInput(f"{mask.name}: a kernel of {tall}x{wide}; allowed: squares")
        pool = Pool.MAX2 if after is not None and 2 * after == side else None
        layer = conv(mask.name, (channels, filters), IMAGE, kernel=tall, pool=pool)
    present = mask.values != 0
    source = IntegerSource(layer.own, present.astype(np.int32), present, NOTHING, present.size)
    integer = IntegerLayer(
        layer=layer,
        sources=(source,),
        bias=np.zeros(filters, np.int64),
        threshold=None if layer.neuron is None else np.ones(filters, np.int64),
        scale=np.ones(filters),
        float_bias=NOTHING,
    )
    network = IntegerNetwork(
        input=Input(shape=(channels, side, side), encoding=Encoding.SPIKES),
        host=None,
        array=(integer,),
        ticks=config.ticks,
    )
    orders = None if mask.order is None else {mask.name: mask.order}
    return compile_network(network, config, orders=orders)
