"""Energies of a netlist: what a change of each net costs, what the clock costs, what leaks.

A change of a net costs what its driver spends inside at that load, C V^2 / 2 of the pins it drives, and what
those cells spend inside when their input changes. A cycle costs what every flip-flop's clock pin spends
in its two edges. Wires have no capacitance before placement; one slew stands for all.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from synth.gates import Switching
from synth.liberty import Library
from synth.netlist import Module

SLEW_NS = 0.05


@dataclass(frozen=True)
class Costs:
    """Joules a change of each net; joules a cycle of clock pins, and watts of leakage, by component."""

    nets: dict[str, float]
    clock: dict[str, float]
    leakage: dict[str, float]


def costs(module: Module, library: Library) -> Costs:
    """Of a flat netlist. A component is what a flip-flop's name starts with; gates are `gates`."""
    loads: dict[str, float] = defaultdict(float)
    nets: dict[str, float] = defaultdict(float)
    clock: dict[str, float] = defaultdict(float)
    leakage: dict[str, float] = defaultdict(float)
    half = library.voltage**2 / 2
    known = [(i, library.cells[i.kind]) for i in module.instances if i.kind in library.cells]
    for instance, cell in known:
        for name in cell.inputs:
            if name in instance.pins and not cell.pins[name].clock:
                net = instance.pins[name][0]
                loads[net] += cell.pins[name].capacitance
                nets[net] += cell.pins[name].energy(slew=SLEW_NS)
    for instance, cell in known:
        part = component(instance.name) if cell.sequential else "gates"
        leakage[part] += cell.leakage
        for pin in cell.pins.values():
            if pin.clock:
                clock[part] += 2 * (pin.energy(slew=SLEW_NS) + pin.capacitance * half)
        driven = [name for name in cell.outputs if name in instance.pins]
        for name in driven:
            net = instance.pins[name][0]
            nets[net] += cell.pins[name].energy(loads[net], SLEW_NS) + loads[net] * half
        if cell.sequential and driven:  # its other output changes too, though nothing hangs on it
            for name in set(cell.outputs) - set(driven):
                nets[instance.pins[driven[0]][0]] += cell.pins[name].energy(0.0, SLEW_NS)
    return Costs(dict(nets), dict(clock), dict(leakage))


def component(name: str) -> str:
    """Of a flip-flop, by its name: `lanes.accumulators_0[3][7]...` is of `lanes.accumulators`."""
    parts = name.split("[")[0].split("$")[0].split(".")
    if len(parts) > 1 and parts[1].startswith("accumulators"):
        return "lanes.accumulators"
    return parts[0] if len(parts) > 1 else "control"


def data_energy(costs: Costs, switching: Switching) -> np.ndarray:
    """Joules of all changes in each window."""
    each = np.zeros(switching.changes.shape[1])
    for name, joules in costs.nets.items():
        each[switching.nets[name]] = joules
    return switching.changes @ each


@dataclass(frozen=True)
class Window:
    """A stretch of a recording: joules it took, and what the PE did in it."""

    cycles: int
    work_cycles: int
    accumulates: int
    energy: float


def fit(windows: list[Window]) -> dict[str, float]:
    """Least squares over windows: joules a cycle, a working cycle and an accumulate, and what is left.

    residual: root of the mean square of what the three do not explain, as a share of the mean.
    """
    counts = np.array([[w.cycles, w.work_cycles, w.accumulates] for w in windows], float)
    energy = np.array([w.energy for w in windows])
    parts, *_ = np.linalg.lstsq(counts, energy, rcond=None)
    residual = float(np.sqrt(np.mean((counts @ parts - energy) ** 2)) / energy.mean())
    return {
        "cycle": float(parts[0]),
        "work_cycle": float(parts[1]),
        "accumulate": float(parts[2]),
        "residual": residual,
    }
