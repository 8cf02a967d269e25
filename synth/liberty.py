"""Reads Liberty: what synthesis and power need to know of a standard-cell library."""

from __future__ import annotations

import gzip
import re
import zlib
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

from support.errors import BadInput
from synth.functions import check, possible
from synth.liberty_syntax import Group, parse

SPECIAL = ("dont_use", "is_isolation_cell", "is_level_shifter", "always_on")
"""Attributes of cells that are not for logic: they need a second supply, or belong between two."""
MAX_BYTES = 1 << 30  # of a file, unpacked; those of whole kits have a tenth
PREFIX = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0}


@dataclass(frozen=True)
class LookupTable:
    """Energy by load and input slew, in the library's units; an axis it lacks has one point.

    when: Liberty's condition on the cell's pins; empty where there is none.
    """

    loads: tuple[float, ...]
    slews: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]  # [load][slew]
    when: str = ""

    def at(self, load: float, slew: float) -> float:
        """Interpolated; beyond the table the nearest edge's slope goes on, never below zero."""
        i, a = _segment(self.loads, load)
        j, b = _segment(self.slews, slew)
        low, high = self.values[i], self.values[min(i + 1, len(self.loads) - 1)]
        k = min(j + 1, len(self.slews) - 1)
        return (low[j] * (1 - b) + low[k] * b) * (1 - a) + (high[j] * (1 - b) + high[k] * b) * a


def _segment(axis: tuple[float, ...], at: float) -> tuple[int, float]:
    if len(axis) == 1:
        return 0, 0.0
    i = min(max(bisect_right(axis, at) - 1, 0), len(axis) - 2)
    return i, (at - axis[i]) / (axis[i + 1] - axis[i])


@dataclass(frozen=True)
class Pin:
    """Capacitance in farads; `function` of an output; `energies` a transition, tables in joules."""

    direction: str
    capacitance: float
    function: str
    clock: bool
    energies: tuple[LookupTable, ...]
    max_capacitance: float = 0.0
    """What an output may drive, farads; 0 where the library does not say."""

    def energy(
        self, load: float = 0.0, slew: float = 0.0, state: dict[str, int] | None = None
    ) -> float:
        """Joules inside the cell for one transition: the mean over its arcs, states and edges.

        state: values of pins; a table that needs others is left out.
        """
        tables = [t for t in self.energies if not state or possible(t.when, state)]
        return fmean(table.at(load, slew) for table in tables) if tables else 0.0


@dataclass(frozen=True)
class ClockGate:
    """Pins of an integrated clock-gating cell: a latch, open while the clock is low, and an AND gate."""

    enable: str
    clock: str
    output: str


@dataclass(frozen=True)
class Cell:
    """Area in the library's units (um2), leakage in watts: the mean over its states."""

    area: float
    leakage: float
    pins: dict[str, Pin]
    sequential: bool
    next_state: str
    """Of a flip-flop at its clock's rising edge, as a function of its inputs; else empty."""
    state: tuple[str, ...]
    """What a flip-flop's outputs call its state, and its complement."""
    enabled: bool
    """A flip-flop whose next state is not just its input: with an enable, or set and reset inside."""
    special: bool = False
    """Not for logic: SPECIAL."""
    clock_gate: ClockGate | None = None
    """Of type `latch_posedge`; those with a test pin are not used."""

    @property
    def inputs(self) -> list[str]:
        """Names of its inputs."""
        return [name for name, pin in self.pins.items() if pin.direction == "input"]

    @property
    def outputs(self) -> list[str]:
        """Names of its outputs."""
        return [name for name, pin in self.pins.items() if pin.direction == "output"]


class Library:
    """A Liberty file, plain or gzipped. Raises BadInput where it is missing or is not as Liberty has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.exists() and not path.is_file():
                raise BadInput(f"Liberty file {path}: no regular file")
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise BadInput(f"Liberty file {path}: longer than {MAX_BYTES:,} bytes, unpacked")
            text = data.decode(errors="replace")
        except (OSError, EOFError, zlib.error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise BadInput(f"Liberty file {path}: {reason}") from None
        try:
            self._read(parse(text, path))
        except BadInput:
            raise
        except (IndexError, KeyError, ValueError) as error:
            raise BadInput(f"Liberty file {path}: {_reason(error)}") from None

    def _read(self, top: Group) -> None:
        path = self.path
        self.name = top.names[0] if top.names else path.stem
        self.voltage = top.number("nom_voltage", 1.0)
        self.farad = _unit("".join(top.attributes.get("capacitive_load_unit", ["1", "pf"])), "f")
        self.second = _unit(top.text("time_unit", "1ns"), "s")
        watt = _unit(top.text("leakage_power_unit", "1nW"), "W")
        joule = self.farad * _unit(top.text("voltage_unit", "1V"), "V") ** 2
        templates = {t.names[0]: t for t in top.groups if t.kind.endswith("template") and t.names}
        self.cells = {
            cell.names[0]: _cell(cell, self.farad, watt, joule, templates)
            for cell in top.of("cell")
        }
        if not self.cells:
            raise BadInput(f"Liberty file {path}: it has no cells")

    def plain(self, folder: Path) -> Path:
        """The file, in `folder` without gzip where it has it: OpenSTA reads none."""
        if self.path.suffix != ".gz":
            return self.path
        path = folder / self.path.stem
        path.write_bytes(gzip.decompress(self.path.read_bytes()))
        return path

    @cached_property
    def buffer(self) -> str:
        """The buffer that stands for what drives the inputs: the third smallest, or the largest."""
        buffers = [
            (cell.area, name)
            for name, cell in self.cells.items()
            if len(cell.inputs) == len(cell.outputs) == 1
            and not cell.sequential
            and not cell.special
            and not re.search(
                r"clk|dly|lp", name, re.IGNORECASE
            )  # not of the clock, low-power, delay
            and cell.pins[cell.outputs[0]].function.strip("() ") == cell.inputs[0]
        ]
        if not buffers:
            raise BadInput(f"Liberty file {self.path}: it has no buffer")
        return sorted(buffers)[min(2, len(buffers) - 1)][1]

    @cached_property
    def load(self) -> float:
        """What stands for what an output drives: four inputs of `buffer`, in farads."""
        cell = self.cells[self.buffer]
        return 4 * cell.pins[cell.inputs[0]].capacitance

    @cached_property
    def clock_gates(self) -> list[str]:
        """Its integrated clock-gating cells, by what they can drive."""
        able = {
            name: cell.pins[cell.clock_gate.output].max_capacitance
            for name, cell in self.cells.items()
            if cell.clock_gate
        }
        return sorted(able, key=lambda name: (able[name], self.cells[name].area))

    @cached_property
    def clock_pin(self) -> float:
        """Capacitance of a flip-flop's clock pin, farads: of the smallest without an enable."""
        flops = [c for c in self.cells.values() if c.next_state and not c.enabled]
        smallest = min(flops, key=lambda cell: cell.area, default=None)
        pins = smallest.pins.values() if smallest else ()
        capacitance = max((pin.capacitance for pin in pins if pin.clock), default=0.0)
        if not capacitance:
            raise BadInput(
                f"Liberty file {self.path}: it has no flip-flop whose clock pin has a capacitance"
            )
        return capacitance

    def tie(self, value: int) -> tuple[str, str] | None:
        """Cell and pin of a constant, if the library has one."""
        for name, cell in self.cells.items():
            for output in cell.outputs:
                if not cell.inputs and cell.pins[output].function.strip("() ") == str(value):
                    return name, output
        return None

    @property
    def unused(self) -> list[str]:
        """What is not for logic, and flip-flops with an enable: nothing sizes what drives their many enables."""
        return sorted(name for name, cell in self.cells.items() if cell.enabled or cell.special)


def _unit(text: str, unit: str) -> float:
    match = re.fullmatch(rf"\s*([\d.]+)\s*([munpf]?){unit}\s*", text, re.IGNORECASE)
    if not match:
        raise ValueError(
            f"unit {text!r}, allowed: a number and f, p, n, u, m or nothing before {unit}"
        )
    return float(match[1]) * PREFIX[match[2].lower()]


def _reason(error: Exception) -> str:
    """One line of an error in what a Liberty file says."""
    if isinstance(error, KeyError):
        return f"a group lacks {error.args[0]}"
    return "a group lacks its name" if isinstance(error, IndexError) else str(error)


def _numbers(texts: list[str]) -> tuple[float, ...]:
    return tuple(float(n) for text in texts for n in re.split(r"[,\s\\]+", text) if n)


def _checked(function: str) -> str:
    check(function)
    return function


def _table(group: Group, joule: float, templates: dict[str, Group], when: str) -> LookupTable:
    template = templates.get(group.names[0]) if group.names else None
    axes: dict[str, tuple[float, ...]] = {}
    sizes = []
    for n in (1, 2):
        source = group if f"index_{n}" in group.attributes else template
        if source is not None and f"index_{n}" in source.attributes:
            variable = template.text(f"variable_{n}") if template else ""
            axis = _numbers(source.attributes[f"index_{n}"])
            axes["load" if "capacitance" in variable else "slew"] = axis
            sizes.append(("load" if "capacitance" in variable else "slew", len(axis)))
    flat = [value * joule for value in _numbers(group.attributes["values"])]
    loads, slews = axes.get("load", (0.0,)), axes.get("slew", (0.0,))
    if len(flat) != len(loads) * len(slews):  # an energy without axes
        return LookupTable((0.0,), (0.0,), ((fmean(flat),),), when)
    rows: list[tuple[float, ...]]
    if sizes and sizes[0][0] == "load":
        rows = [tuple(flat[i * len(slews) : (i + 1) * len(slews)]) for i in range(len(loads))]
    else:
        rows = [tuple(flat[i :: len(loads)]) for i in range(len(loads))]
    return LookupTable(loads, slews, tuple(rows), when)


def _cell(
    cell: Group, farad: float, watt: float, joule: float, templates: dict[str, Group]
) -> Cell:
    pins = {}
    for pin in [*cell.of("pin"), *(p for bus in cell.of("bus") for p in [bus])]:
        energies = tuple(
            _table(table, joule, templates, _checked(power.text("when")))
            for power in pin.of("internal_power")
            for table in power.groups
            if table.kind in ("rise_power", "fall_power", "power")
        )
        scaled = tuple(replace(t, loads=tuple(load * farad for load in t.loads)) for t in energies)
        pins[pin.names[0]] = Pin(
            direction=pin.text("direction"),
            capacitance=pin.number("capacitance") * farad,
            function=_checked(pin.text("function")),
            clock="true" in (pin.text("clock"), pin.text("clock_gate_clock_pin")),
            energies=scaled,
            max_capacitance=pin.number("max_capacitance") * farad,
        )
    states = [group.number("value") for group in cell.of("leakage_power")]
    leakage = cell.number("cell_leakage_power", fmean(states) if states else 0.0)
    flops = [*cell.of("ff"), *cell.of("latch")]
    next_states = [flop.text("next_state").strip("() ") for flop in flops if flop.kind == "ff"]
    rising = [flop for flop in flops if flop.kind == "ff" and "!" not in flop.text("clocked_on")]
    return Cell(
        area=cell.number("area"),
        leakage=leakage * watt,
        pins=pins,
        sequential=bool(flops),
        next_state=rising[0].text("next_state") if rising else "",
        state=tuple(rising[0].names) if rising else (),
        enabled=any(not re.fullmatch(r"\w+", state) for state in next_states),
        special=any(cell.text(name) == "true" for name in SPECIAL),
        clock_gate=_clock_gate(cell),
    )


def _clock_gate(cell: Group) -> ClockGate | None:
    if cell.text("clock_gating_integrated_cell") != "latch_posedge":
        return None
    role = {
        kind: pin.names[0]
        for pin in cell.of("pin")
        for kind in ("enable", "clock", "out")
        if pin.text(f"clock_gate_{kind}_pin") == "true"
    }
    if role.keys() != {"enable", "clock", "out"}:
        return None  # incomplete: not a cell to use
    return ClockGate(role["enable"], role["clock"], role["out"])
