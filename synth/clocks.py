"""Clock gating in a netlist: which clock-gating cell, if any, passes a flip-flop's clock on."""

from __future__ import annotations

from dataclasses import dataclass

from synth.liberty import Library
from synth.netlist import Instance, Module


@dataclass(frozen=True)
class Gate:
    """A clock-gating cell of a netlist; nets of its enable and of its clock."""

    name: str
    enable: str
    clock: str


@dataclass(frozen=True)
class Gating:
    """How many flip-flops there are, how many of them on a gated clock, and clock-gating cells."""

    flip_flops: int
    gated: int
    cells: int


def clock_gates(module: Module, library: Library) -> dict[str, Gate]:
    """The clock-gating cells, by the net of the clock that they pass on."""
    found = {}
    for instance in module.instances:
        cell = library.cells.get(instance.kind)
        if cell and (pins := cell.clock_gate):
            enable, clock, out = (
                instance.pins[pin][0] for pin in (pins.enable, pins.clock, pins.output)
            )
            found[out] = Gate(instance.name, enable, clock)
    return found


def clock(instance: Instance, library: Library) -> str:
    """The net at a flip-flop's clock pin."""
    pins = library.cells[instance.kind].pins
    return next((instance.pins[name][0] for name, pin in pins.items() if pin.clock), "")


def gating(module: Module, library: Library) -> Gating:
    """Counts of a flat netlist."""
    gates = clock_gates(module, library)
    known = [i for i in module.instances if i.kind in library.cells]
    nets = [clock(i, library) for i in known if library.cells[i.kind].sequential]
    return Gating(len(nets), sum(net in gates for net in nets), len(gates))


def describe(gating: Gating) -> str:
    """For a report."""
    if not gating.cells:
        return f"clocks are not gated; {gating.flip_flops} flip-flops"
    return (
        f"clocks of {gating.gated} of {gating.flip_flops} flip-flops gated, "
        f"by {gating.cells} clock-gating cells"
    )
