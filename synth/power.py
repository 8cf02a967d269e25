"""Energies of a netlist: what a change of each net costs, what the clock costs, what leaks.

A change of a net costs what its driver spends inside at that load, C V^2 / 2 of the pins it drives, and what
those cells spend inside when their input changes. A cycle costs what every pin on the clock itself spends in
its two edges: of flip-flops that are not gated, and of clock-gating cells. An edge that one of these passes costs
what it spends inside more than while shut, and the clock pins behind it. Wires have no capacitance before
placement; one slew stands for all.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from synth import clocks
from synth.gates import Switching
from synth.liberty import Library
from synth.netlist import Module

SLEW_NS = 0.05
CLOCK_GATES = "clock gates"  # what stands for them among the components


@dataclass(frozen=True)
class Costs:
    """Joules a change of each net; joules a cycle of clock pins, and watts of leakage, by component."""

    nets: dict[str, float]
    clock: dict[str, float]
    passed: dict[str, dict[str, float]]
    """Joules more in a cycle whose clock a clock-gating cell passes, by its name and by component."""
    leakage: dict[str, float]


def costs(module: Module, library: Library) -> Costs:
    """Of a flat netlist. A component is what a flip-flop's name starts with; others: `gates`, `clock gates`."""
    loads: dict[str, float] = defaultdict(float)
    nets: dict[str, float] = defaultdict(float)
    clock: dict[str, float] = defaultdict(float)
    passed: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    leakage: dict[str, float] = defaultdict(float)
    half = library.voltage**2 / 2
    gates = clocks.clock_gates(module, library)
    known = [(i, library.cells[i.kind]) for i in module.instances if i.kind in library.cells]
    for instance, cell in known:
        for name in cell.inputs:
            if name not in instance.pins:
                continue
            net = instance.pins[name][0]
            loads[net] += cell.pins[name].capacitance
            if not cell.pins[name].clock:
                nets[net] += cell.pins[name].energy(slew=SLEW_NS)
    for instance, cell in known:
        if pins := cell.clock_gate:
            leakage[CLOCK_GATES] += cell.leakage
            load = loads[instance.pins[pins.output][0]]
            shut, open_ = (
                cell.pins[pins.clock].energy(
                    slew=SLEW_NS, state={pins.enable: bit, pins.output: bit}
                )
                for bit in (0, 1)
            )
            through = cell.pins[pins.output].energy(load, SLEW_NS, {pins.enable: 1, pins.output: 1})
            clock[CLOCK_GATES] += 2 * (shut + cell.pins[pins.clock].capacitance * half)
            passed[instance.name][CLOCK_GATES] += 2 * (open_ + through - shut)
            continue
        part = component(instance.name) if cell.sequential else "gates"
        leakage[part] += cell.leakage
        if cell.sequential:
            gate = gates.get(clocks.clock(instance, library))
            of = passed[gate.name] if gate else clock
            for pin in cell.pins.values():
                if pin.clock:
                    of[part] += 2 * (pin.energy(slew=SLEW_NS) + pin.capacitance * half)
        driven = [name for name in cell.outputs if name in instance.pins]
        for name in driven:
            net = instance.pins[name][0]
            nets[net] += cell.pins[name].energy(loads[net], SLEW_NS) + loads[net] * half
        if cell.sequential and driven:  # its other output changes too, though nothing hangs on it
            for name in set(cell.outputs) - set(driven):
                nets[instance.pins[driven[0]][0]] += cell.pins[name].energy(0.0, SLEW_NS)
    return Costs(dict(nets), dict(clock), {k: dict(v) for k, v in passed.items()}, dict(leakage))


def component(name: str) -> str:
    """Of a flip-flop, by its name: `lanes.accumulators_0[3][7]...` is of `lanes.accumulators`.

    `drain.lif.left...` is of `lif`, and `drain.passing_1...` of `drain` itself.
    """
    parts = name.split("[")[0].split("$")[0].split(".")
    if parts[0] == "drain" and len(parts) > 2:
        parts = parts[1:]
    if len(parts) > 1 and parts[1].startswith("accumulators"):
        return "lanes.accumulators"
    return parts[0] if len(parts) > 1 else "control"


def data_energy(costs: Costs, switching: Switching) -> np.ndarray:
    """Joules of all changes in each window."""
    each = np.zeros(switching.changes.shape[1])
    for name, joules in costs.nets.items():
        each[switching.nets[name]] = joules
    return switching.changes @ each


def clock_energy(costs: Costs, switching: Switching, cycles: int) -> dict[str, np.ndarray]:
    """Joules of clock pins in each window of so many cycles, by component."""
    energy = {part: np.full(len(switching.passed), cycles * j) for part, j in costs.clock.items()}
    for name, parts in costs.passed.items():
        edges = switching.passed[:, switching.clock_gates[name]]
        for part, joules in parts.items():
            energy[part] = energy.get(part, 0.0) + edges * joules
    return energy
