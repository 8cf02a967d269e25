"""What the models say of a MODEL's tickets, without RTL: for the paper's tables and figures.

Everything is per image. Work, idle and cycles follow from the masks; accumulates and spikes from the
golden model, averaged over a few test images. `uticket sim` holds both models to the RTL.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hw.config import Config
from sim import cycles, golden, memory, report, simulate
from sim.components import Counts, Table, breakdown, step_counts, total_pj
from sim.cycles import LayerCycles
from sim.images import first_images
from sim.memory import Accesses
from sim.model import Method, Model
from sim.rivals import Task
from sim.workload import Workload, layer_workload, totals
from sw.compile import CompiledLayer, Program
from sw.ticket import NOT_MEASURED, Ticket


@dataclass(frozen=True, kw_only=True)
class LayerStudy:
    """A layer of the array."""

    compiled: CompiledLayer
    load: Workload
    accumulates: float
    """Steps whose input spike is 1, mean over the images."""
    input_sparsity: float
    """Share of zeros in the input, all ticks and images."""
    input_bits: float
    """Of the input in CSR, mean over the images."""
    output_bits: float
    """Of the output, after pooling; 0 of a classifier."""
    spikes: np.ndarray
    """The first image's input, uint8 (T, C, H, W)."""
    cycles: LayerCycles
    lif_updates: int

    @property
    def spike_sparsity(self) -> float | None:
        """Share of steps without a spike; None without weights."""
        return 1 - self.accumulates / self.load.work if self.load.work else None

    @property
    def task(self) -> Task:
        """For the rivals: filters in the network's own order."""
        integer = self.compiled.integer
        return Task(
            layer=integer.layer,
            mask=integer.mask,
            positions=self.load.positions,
            spikes=self.spikes,
        )


@dataclass(frozen=True, kw_only=True)
class Round:
    """A ticket at the end of a round of training; layers as the array runs them."""

    number: int
    loads: list[Workload]
    nnz: list[np.ndarray]
    """Of each layer's filters, (K,)."""
    input_sparsity: list[float | None]
    """Of each layer, over validation images; None where it was not measured."""

    @cached_property
    def weight_sparsity(self) -> float:
        """Share of zero weights over all layers of the array."""
        return totals(self.loads).weight_sparsity


@dataclass(frozen=True, kw_only=True)
class Study:
    """A method of a model."""

    model: str
    method: str
    config: Config
    ticket: Ticket
    program: Program
    layers: list[LayerStudy]
    images: int
    input_cycles: float

    @cached_property
    def totals(self) -> dict[str, Any]:
        """Sums over layers, as `totals` of report.json."""
        load = totals([layer.load for layer in self.layers])
        accumulates = sum(layer.accumulates for layer in self.layers)
        return {
            **vars(load),
            "accumulates": accumulates,
            "spike_sparsity": 1 - accumulates / load.work if load.work else None,
            "cycles": self.input_cycles + sum(layer.cycles.cycles for layer in self.layers),
        }

    def energy(self, ratio: float) -> float:
        """Eq. 3 in units of E_dyn."""
        load = self.totals
        return load["accumulates"] + ratio * (load["work"] + load["idle"])

    def counts(self, accounting: str) -> Counts:
        """For `sim.components.breakdown`."""
        sums: dict[str, float] = {}
        for layer in self.layers:
            for name, value in vars(self._layer_counts(layer, accounting)).items():
                sums[name] = sums.get(name, 0) + value
        return Counts(**sums)

    def lines(self, table: Table, accounting: str) -> dict[str, dict[str, float]]:
        """Energy of the PEs by component."""
        counts = self.counts(accounting)
        return breakdown(table, counts, accounting=accounting, config=self.config)

    def accesses(self, accounting: str) -> Accesses:
        """To DRAM, GLB and scratchpads."""
        if accounting == "rtl":
            parts = [memory.rtl_accesses(layer.compiled, self.config) for layer in self.layers]
            spikes = self.layers[0].spikes
            return memory.add([*parts, memory.rtl_input_accesses(self.program, spikes)])
        return memory.add([self._paper_accesses(layer) for layer in self.layers])

    def dense_accesses(self, accumulates: float | None = None) -> Accesses:
        """Of the same network with all its weights, plain, and maps as bits: accounting `paper`.

        Its spikes are taken to be as dense as this ticket's. accumulates: by default so, too.
        """
        parts = []
        for layer in self.layers:
            load, rate = layer.load, 1 - (layer.spike_sparsity or 0)
            steps = self.config.ticks * load.positions * load.parameters
            parts.append(
                memory.paper_accesses(
                    weight_bits=16 * load.parameters,
                    input_bits=layer.spikes.size,
                    output_bits=self._output_neurons(layer),
                    groups=-(-load.filters // self.config.n_pe),
                    accumulates=steps * rate,
                )
            )
        return memory.add(parts)

    def system(self, table: Table, accounting: str, *, banks_awake: int = 1) -> dict[str, float]:
        """Energy of PEs, GLB and DRAM in pJ."""
        time = self.totals["latency"] if accounting == "paper" else self.totals["cycles"]
        return memory.system_energy(
            table,
            self.accesses(accounting),
            pe_pj=total_pj(self.lines(table, accounting)),
            cycles=time,
            banks_awake=banks_awake,
        )

    @cached_property
    def rounds(self) -> list[Round]:
        """What the ticket recorded of each round, as if it ran on this array with all its ticks."""
        count = self.ticket.metadata["rounds"]
        return [self._round(r) for r in range(count)]

    def _round(self, r: int) -> Round:
        loads, nnz, silent = [], [], []
        for layer in self.layers:
            sources = array_layer_sources(layer.compiled)
            filters = sum(self.ticket.history_nnz[name][r].astype(np.int64) for name in sources)
            nnz.append(np.asarray(filters))
            loads.append(
                layer_workload(
                    layer.load.name,
                    nnz[-1][layer.compiled.order],
                    parameters=layer.load.parameters,
                    positions=layer.load.positions,
                    ticks=self.config.ticks,
                    n_pe=self.config.n_pe,
                )
            )
            share = float(self.ticket.history_input_sparsity[sources[0]][r])
            silent.append(None if share == NOT_MEASURED else share)
        return Round(number=r, loads=loads, nnz=nnz, input_sparsity=silent)

    def _layer_counts(self, layer: LayerStudy, accounting: str) -> Counts:
        if accounting == "rtl":
            counters = {**layer.cycles.counters, "accumulates": np.array([layer.accumulates])}
            return memory.rtl_counts(layer.compiled, counters, self.config)
        return step_counts(
            work=layer.load.work,
            idle=layer.load.idle,
            accumulates=layer.accumulates,
            accounting=accounting,
            lif_updates=layer.lif_updates,
        )

    def _paper_accesses(self, layer: LayerStudy) -> Accesses:
        words = sum(len(words) for s in first_pass(layer.compiled) for words in s)
        return memory.paper_accesses(
            weight_bits=16 * words,
            input_bits=layer.input_bits,
            output_bits=layer.output_bits,
            groups=-(-layer.load.filters // self.config.n_pe),
            accumulates=layer.accumulates,
        )

    def _output_neurons(self, layer: LayerStudy) -> int:
        output = layer.compiled.output
        return 0 if output is None else output.channels * output.side**2 * self.config.ticks


def first_pass(layer: CompiledLayer) -> list[tuple[np.ndarray, ...]]:
    """WSP words of each segment, PE by PE, once: parts that are loaded again for every tile count once."""
    seen: list[tuple[np.ndarray, ...]] = []
    opened: set[int] = set()
    done: set[int] = set()
    for segment in layer.segments:
        if segment.open:
            if segment.group in opened:
                done.add(segment.group)
            opened.add(segment.group)
        if segment.group not in done:
            seen.append(segment.words)
    return seen


def array_layer_sources(layer: CompiledLayer) -> list[str]:
    """The ticket's layers whose weights an array layer holds: itself, and its 1x1 shortcut."""
    own = layer.integer.layer
    if own.shortcut == "conv" and own.shortcut_input is not None:
        return [own.name, own.shortcut_input]
    return [own.name]


def study(model: Model, methods: list[Method], images: int) -> list[Study]:
    """The methods of a model on the first test images. Raises ValueError for what cannot run."""
    config = model.hardware
    tickets = simulate.load_tickets(model, methods)
    pixels, _ = first_images(tickets[0].metadata["dataset"], images)
    networks = simulate.quantize_tickets(tickets, config)
    orders = simulate.sort_networks(methods, networks)
    programs = simulate.compile_programs(networks, orders, config, image_side=pixels.shape[-1])
    result = []
    for method, ticket, network, program in zip(methods, tickets, networks, programs, strict=True):
        prepared = simulate.Prepared(
            method=method,
            metadata=ticket.metadata,
            network=network,
            program=program,
            cycles=cycles.predict(program),
        )
        inputs = golden.first_layer_spikes(network, pixels)
        runs = [golden.run(network, spikes) for spikes in inputs]
        loads = report.workloads(simulate.MethodRun(prepared=prepared, images=()), config)
        layers = [
            _layer(compiled, load, predicted, runs, config)
            for compiled, load, predicted in zip(
                program.layers, loads, prepared.cycles, strict=True
            )
        ]
        result.append(
            Study(
                model=model.name,
                method=method.name,
                config=config,
                ticket=ticket,
                program=program,
                layers=layers,
                images=images,
                input_cycles=float(
                    np.mean([cycles.input_cycles(program, spikes) for spikes in inputs])
                ),
            )
        )
    return result


def missing_tickets(model: Model, methods: list[Method]) -> list[Path]:
    """Ticket files that are not there (yet)."""
    return [method.ticket for method in methods if not method.ticket.is_file()]


def _layer(
    compiled: CompiledLayer,
    load: Workload,
    predicted: LayerCycles,
    runs: list[dict[str, golden.LayerResult]],
    config: Config,
) -> LayerStudy:
    results = [run[load.name] for run in runs]

    def bits(maps: list[np.ndarray]) -> float:
        sizes = [memory.csr_bits(memory.active_positions(m), side=m.shape[-1]) for m in maps]
        return float(np.mean(sizes))

    raw = compiled.output is None
    return LayerStudy(
        compiled=compiled,
        load=load,
        accumulates=float(np.mean([result.accumulates for result in results])),
        input_sparsity=float(np.mean([result.input_sparsity for result in results])),
        input_bits=bits([result.input for result in results]),
        output_bits=0.0 if raw else bits([result.output for result in results]),
        spikes=results[0].input,
        cycles=predicted,
        lif_updates=memory.lif_updates(compiled, config),
    )
