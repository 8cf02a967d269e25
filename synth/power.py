"""Power of a PE's netlist from the switching of its nets, and energies a cycle, a step, an accumulate.

Energy of a cell = transitions of its outputs x (energy inside the cell at that load + C V^2 / 2 of the
load) + transitions of its inputs x their own energies; leakage = the mean over the cell's states. The load
is the pins a net drives inside its component: wires have no capacitance before placement. One slew stands
for all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from synth.liberty import Cell, Library
from synth.memories import Macro

SLEW_NS = 0.05


@dataclass
class Instance:
    """A cell or a module in a module; net of each pin."""

    kind: str
    name: str
    pins: dict[str, list[str]]


@dataclass(frozen=True)
class Component:
    """Joules of a stretch of cycles: of clock pins, of the rest; watts of leakage."""

    clock: float
    data: float
    leakage: float


@dataclass
class Netlist:
    """Modules of a Yosys netlist: their instances, and the nets that are another's name."""

    modules: dict[str, list[Instance]]
    aliases: dict[str, dict[str, str]] = field(default_factory=dict)


def read_netlist(text: str) -> Netlist:
    """A netlist as `write_verilog -noattr -noexpr` writes it: instances with named pins."""
    netlist = Netlist({})
    name = r"(\\\S+ |[\w$]+)"
    for module in re.finditer(rf"^module {name}\s*\(.*?^endmodule", text, re.DOTALL | re.MULTILINE):
        body = module.group()
        instances = []
        for kind, instance, pins in re.findall(
            rf"^  (?!assign|module|wire|reg|input|output){name}\s*{name}\s*\(\n(.*?)\n  \);",
            body,
            re.DOTALL | re.MULTILINE,
        ):
            found = {
                pin.strip().lstrip("\\"): [_plain(net) for net in nets.strip("{} ").split(", ")]
                for pin, nets in re.findall(rf"^    \.{name}\s*\((.*?)\),?$", pins, re.MULTILINE)
            }
            instances.append(Instance(_plain(kind), _plain(instance), found))
        netlist.modules[_plain(module[1])] = instances
    return netlist


def _plain(name: str) -> str:
    """A name as a simulator's report has it: no escapes, no spaces."""
    return re.sub(r"[\\\s]", "", name)


def _net_loads(instances: list[Instance], library: Library) -> dict[str, float]:
    loads: dict[str, float] = {}
    for instance in instances:
        cell = library.cells.get(instance.kind)
        for pin, nets in instance.pins.items():
            if cell and cell.pins[pin].direction == "input":
                loads[nets[0]] = loads.get(nets[0], 0.0) + cell.pins[pin].capacitance
    return loads


def energies(
    netlist: Netlist, top: str, scope: str, switching: dict[str, int], library: Library, cycles: int
) -> dict[str, Component]:
    """Energy of each component (module), by its path, over `cycles`. scope: of `top` in `switching`.

    Raises KeyError for a net without switching: the netlist is not the one that was simulated.
    """
    result: dict[str, Component] = {}
    waiting = [(top, scope)]
    while waiting:
        module, where = waiting.pop()
        instances = netlist.modules[module]
        loads = _net_loads(instances, library)
        clock = data = leakage = 0.0
        for instance in instances:
            cell = library.cells.get(instance.kind)
            if cell is None:
                if instance.kind in netlist.modules:
                    waiting.append((instance.kind, f"{where}/{instance.name}"))
                continue
            leakage += cell.leakage
            at_clock, at_data = _of_cell(cell, instance, loads, where, switching, library, cycles)
            clock += at_clock
            data += at_data
        result[module] = Component(clock, data, leakage)
    return result


def _of_cell(
    cell: Cell,
    instance: Instance,
    loads: dict[str, float],
    where: str,
    switching: dict[str, int],
    library: Library,
    cycles: int,
) -> tuple[float, float]:
    clock = data = 0.0
    for name, pin in cell.pins.items():
        nets = instance.pins.get(name)
        if not nets or "'" in nets[0]:  # not connected, or a constant
            continue
        if pin.clock:
            energy = pin.energy(slew=SLEW_NS) + pin.capacitance * library.voltage**2 / 2
            clock += 2 * cycles * energy
            continue
        count = switching[f"{where}/{nets[0]}"]
        if pin.direction == "output":
            load = loads.get(nets[0], 0.0)
            data += count * (pin.energy(load, SLEW_NS) + load * library.voltage**2 / 2)
        else:
            data += count * pin.energy(slew=SLEW_NS)
    return clock, data


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


def macro_energy(macro: Macro, *, reads: int, writes: int) -> float:
    """Joules of a macro's accesses."""
    return reads * macro.read + writes * macro.write


def write_rows(rows: list[tuple[str, str]], path: Path) -> None:
    """A recording as the replayer reads it."""
    path.write_text("".join(f"{inputs} {outputs}\n" for inputs, outputs in rows))
