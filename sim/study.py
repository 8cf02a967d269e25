"""What the models say of a deployment on a few images, without RTL.

Everything is per image. Work, idle and cycles follow from the masks; accumulates and spikes from the
golden model, averaged over a few test images. `uticket sim` holds both models to the RTL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hw.config import Config
from sim.deployment import Deployment
from sim.models import cycles, memory
from sim.models.components import Counts, add_counts, breakdown, step_counts, total_pj
from sim.models.cycles import LayerCycles
from sim.models.eq3 import eq3, load_technology
from sim.models.memory import Accesses
from sim.models.technology import ComponentTable
from sim.models.workload import Workload, totals
from sw import golden, wsp
from sw.compile import CompiledLayer
from sw.integers import IntegerSource
from sw.ticket import Ticket


@dataclass(frozen=True, kw_only=True)
class LayerStudy:
    """A row of the report: a layer of the array, or the 1x1 shortcut that runs with one."""

    compiled: CompiledLayer
    source: IntegerSource
    load: Workload
    accumulates: float
    """Steps whose input spike is 1, mean over the images."""
    input_sparsity: float
    """Share of zeros in the input, all ticks and images."""
    input_bits: float
    """Of the input in CSR, mean over the images."""
    output_bits: float
    """Of the output, after pooling; 0 of a classifier."""
    identity_bits: float
    """Of the map that an identity shortcut adds, in CSR; 0 without."""
    spikes: np.ndarray
    """The first image's input, uint8 (T, C, H, W)."""
    cycles: LayerCycles | None
    """None of a shortcut: its cycles are its host's."""
    shortcut_accumulates: float
    """Spikes that an identity shortcut added."""
    lif_updates: int

    @property
    def spike_sparsity(self) -> float | None:
        """Share of steps without a spike; None without weights."""
        return 1 - self.accumulates / self.load.work if self.load.work else None

    @property
    def active(self) -> float:
        """Share of steps with a spike; 1 without weights."""
        return 1 - (self.spike_sparsity or 0)

    @property
    def slices(self) -> np.ndarray:
        """The mask by kernel position: boolean (K, C, positions of the kernel)."""
        mask = self.source.mask
        return mask.reshape(*mask.shape[:2], -1)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A deployment with what its images make of it; energies in units of E_dyn or in pJ."""

    deployment: Deployment
    layers: list[LayerStudy]
    images: int
    input_cycles: float

    @property
    def method(self) -> str:
        """Of the deployment."""
        return self.deployment.method

    @property
    def config(self) -> Config:
        """Of the deployment."""
        return self.deployment.config

    @property
    def ticket(self) -> Ticket:
        """Of the deployment."""
        return self.deployment.ticket

    @cached_property
    def totals(self) -> dict[str, Any]:
        """Sums over layers, as `totals` of report.json."""
        load = totals([layer.load for layer in self.layers])
        accumulates = sum(layer.accumulates for layer in self.layers)
        return {
            **vars(load),
            "accumulates": accumulates,
            "spike_sparsity": 1 - accumulates / load.work if load.work else None,
            "cycles": self.input_cycles
            + sum(layer.cycles.cycles for layer in self.layers if layer.cycles),
        }

    def energy(self, leak: float | None = None, *, idle: bool = True) -> float:
        """Eq. 3 in units of E_dyn; leak: E_leak / E_dyn, by default the paper's.

        idle: whether the steps at the barrier count.
        """
        leak = load_technology().leak if leak is None else leak
        load = self.totals
        active = 1 - (load["spike_sparsity"] or 0)
        steps = load["idle"] if idle else 0
        return eq3(work=load["work"], idle=steps, active=active, leak=leak)

    def counts(self, accounting: str) -> Counts:
        """For `sim.models.components.breakdown`."""
        if accounting == "rtl":
            return add_counts(self._rtl_counts())
        return step_counts(
            work=sum(layer.load.work for layer in self.layers),
            idle=sum(layer.load.idle for layer in self.layers),
            accumulates=sum(layer.accumulates for layer in self.layers),
            accounting=accounting,
            lif_updates=sum(layer.lif_updates for layer in self.layers),
        )

    def lines(self, table: ComponentTable, accounting: str) -> dict[str, dict[str, float]]:
        """Energy of the PEs by component."""
        counts = self.counts(accounting)
        return breakdown(table, counts, accounting=accounting, config=self.config)

    def accesses(self, accounting: str) -> Accesses:
        """To DRAM, GLB and scratchpads."""
        if accounting == "rtl":
            parts = [
                memory.rtl_accesses(layer, self.config) for layer in self.deployment.program.layers
            ]
            spikes = self.layers[0].spikes
            return memory.add([*parts, memory.rtl_input_accesses(self.deployment.program, spikes)])
        return memory.add([self._paper_accesses(layer) for layer in self.layers])

    def dense_accesses(self) -> Accesses:
        """Of the same network with all its weights, plain, and maps as bits: accounting `paper`.

        Its spikes are taken to be as dense as this ticket's.
        """
        parts = []
        for layer in self.layers:
            load = layer.load
            steps = self.config.ticks * load.positions * load.parameters
            parts.append(
                memory.paper_accesses(
                    weight_bits=16 * load.parameters,
                    input_bits=layer.spikes.size,
                    output_bits=self._output_neurons(layer),
                    groups=-(-load.filters // self.config.n_pe),
                    accumulates=steps * layer.active,
                )
            )
        return memory.add(parts)

    def system(self, table: ComponentTable, accounting: str) -> dict[str, float]:
        """Energy of PEs, GLB and DRAM in pJ."""
        time = self.totals["latency"] if accounting == "paper" else self.totals["cycles"]
        return memory.system_energy(
            table,
            self.accesses(accounting),
            pe_pj=total_pj(self.lines(table, accounting)),
            cycles=time,
        )

    def _rtl_counts(self) -> Iterator[Counts]:
        rows: dict[str, float] = {}
        for layer in self.layers:
            host = layer.compiled.name
            rows[host] = rows.get(host, 0) + layer.accumulates
            if layer.cycles is not None:  # the host comes last
                counters = {
                    **layer.cycles.counters,
                    "accumulates": np.array([rows[host]]),
                    "shortcut_accumulates": np.array([layer.shortcut_accumulates]),
                }
                yield memory.rtl_counts(layer.compiled, counters, self.config)

    def _paper_accesses(self, layer: LayerStudy) -> Accesses:
        words = int(wsp.lengths(layer.source.mask).sum())
        return memory.paper_accesses(
            weight_bits=16 * words,
            input_bits=layer.input_bits,
            output_bits=layer.output_bits,
            identity_bits=layer.identity_bits,
            groups=-(-layer.load.filters // self.config.n_pe),
            accumulates=layer.accumulates,
        )

    def _output_neurons(self, layer: LayerStudy) -> int:
        output = layer.compiled.output
        if output is None or layer.cycles is None:
            return 0
        return output.channels * output.height * output.width * self.config.ticks


def study(deployment: Deployment, images: int = 1) -> Study:
    """A deployment on the first test images. Raises ValueError for what cannot run."""
    program, config = deployment.program, deployment.config
    pixels, _ = deployment.test_images(images)
    inputs = deployment.spikes(pixels)
    runs = [golden.run(deployment.network, spikes) for spikes in inputs]
    rows = [
        (layer, part, predicted if part is layer.integer.own else None)
        for layer, predicted in zip(program.layers, deployment.cycles, strict=True)
        for part in layer.integer.learned
    ]
    return Study(
        deployment=deployment,
        layers=[
            _layer(layer, part, load, predicted, runs, config)
            for (layer, part, predicted), load in zip(rows, deployment.workload, strict=True)
        ],
        images=images,
        input_cycles=float(np.mean([cycles.input_cycles(program, spikes) for spikes in inputs])),
    )


def _layer(
    compiled: CompiledLayer,
    part: IntegerSource,
    load: Workload,
    predicted: LayerCycles | None,
    runs: list[dict[str, golden.LayerResult]],
    config: Config,
) -> LayerStudy:
    results = [run[compiled.name] for run in runs]
    inputs = [result.inputs[part.name] for result in results]
    counts = [result.filter_accumulates[part.name].sum() for result in results]

    def bits(maps: list[np.ndarray]) -> float:
        sizes = [memory.csr_bits(memory.active_positions(m), side=m.shape[-1]) for m in maps]
        return float(np.mean(sizes))

    host = predicted is not None
    names = [identity.name for identity in compiled.integer.identities] if host else []
    added = [result.inputs[name] for result in results for name in names]
    return LayerStudy(
        compiled=compiled,
        source=part,
        load=load,
        accumulates=float(np.mean(counts)),
        input_sparsity=float(np.mean([1 - float(spikes.mean()) for spikes in inputs])),
        input_bits=bits(inputs),
        output_bits=bits([r.output for r in results]) if host and compiled.output else 0.0,
        identity_bits=bits(added) if added else 0.0,
        spikes=inputs[0],
        cycles=predicted,
        shortcut_accumulates=float(np.mean([r.shortcut_accumulates.sum() for r in results])),
        lif_updates=memory.lif_updates(compiled, config) if host else 0,
    )
