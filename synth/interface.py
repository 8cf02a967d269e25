"""The timing of a PE as the array sees it: a Liberty cell made of what OpenSTA found inside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from amaranth import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.hdl import ValueCastable
from amaranth.lib import wiring

from support.errors import BadInput
from synth import liberty_text
from synth.sta import NUMBER, constraint_period, run

STRAIGHT = "-- straight to an output"


@dataclass(frozen=True)
class PortTiming:
    """ns. arrival: of an output after the clock's edge; required: of an input before the next one."""

    width: int
    capacitance: float
    """Of an input, farads."""
    arrival: float | None = None
    required: float | None = None


def extract(
    netlist: Path,
    libraries: list[Path],
    sdc: Path,
    inputs: dict[str, int],
    outputs: dict[str, int],
    folder: Path,
    capacitance: float,
) -> dict[str, PortTiming]:
    """Timing of each port of module `pe`. Raises BadInput where OpenSTA fails or says nothing of a port.

    A path from an input straight to an output counts for both: the output comes as if the input came at its
    external delay, and so the input must.
    """
    period = constraint_period(sdc)
    script = [f"read_liberty {path.resolve()}" for path in libraries]
    script += [f"read_verilog {netlist.resolve()}", "link_design pe", f"read_sdc {sdc.resolve()}"]
    for name, width in (inputs | outputs).items():
        which = "-from" if name in inputs else "-to"
        bits = f"{name}[*]" if width > 1 else name
        script += [f'puts "== {name}"', f"report_checks {which} [get_ports {{{bits}}}] -digits 4"]
        if name in inputs:
            script += [
                f'puts "{STRAIGHT}"',
                f"report_checks {which} [get_ports {{{bits}}}] -to [all_outputs]",
            ]
    report = run(script, folder / "interface.tcl")
    return parse(report.read_text(), inputs, outputs, capacitance, period, report)


def parse(
    text: str,
    inputs: dict[str, int],
    outputs: dict[str, int],
    capacitance: float,
    period: float,
    report: Path,
) -> dict[str, PortTiming]:
    """Read OpenSTA's report on the ports. Raises BadInput where it says nothing of one."""
    parts = dict(re.findall(r"^== (\S+)\n(.*?)(?=^== |\Z)", text, re.DOTALL | re.MULTILINE))
    result = {}
    for name, width in (inputs | outputs).items():
        text, _, straight = parts.get(name, "").partition(STRAIGHT)
        nothing = "No paths found" in text  # a constant, or what ends nowhere
        slack = re.search(rf"^ +({NUMBER}) +slack", text, re.MULTILINE)
        arrival = re.search(rf"^ +({NUMBER}) +data arrival time", text, re.MULTILINE)
        outside = re.search(
            rf"^ +{NUMBER} +({NUMBER}) [v^] input external delay", text, re.MULTILINE
        )
        if name in outputs and (arrival or nothing):
            result[name] = PortTiming(width, 0.0, arrival=float(arrival[1]) if arrival else 0.0)
        elif name in inputs and slack and outside:
            late = float(outside[1])
            if "slack" not in straight:
                late += float(slack[1])
            result[name] = PortTiming(width, capacitance, required=late)
        elif name in inputs and nothing:
            result[name] = PortTiming(width, capacitance, required=period)
        else:
            raise BadInput(f"OpenSTA says nothing of port {name} (see {report})")
    return result


def liberty(ports: dict[str, PortTiming], period: float) -> str:
    """A library of the one cell `pe`."""
    cell = " cell (pe) {\n  area : 0; interface_timing : true;\n" + liberty_text.clock(0.01)
    cell += "  pin (rst) { direction : input; capacitance : 0.01; }\n"
    for name, port in ports.items():
        if port.required is not None:
            load = port.capacitance * 1e12
            cell += liberty_text.input_(name, port.width, load, period - port.required)
        elif port.arrival is not None:
            cell += liberty_text.output(name, port.width, port.arrival)
    return liberty_text.library(
        "uticket_pes", (port.width for port in ports.values()), [cell + " }\n"]
    )


def verilog(inputs: dict[str, int], outputs: dict[str, int]) -> str:
    """Module `pe` as a black box, for Yosys."""
    ports = ["input clk", "input rst"]
    for kind, names in (("input", inputs), ("output", outputs)):
        ports += [f"{kind} [{width - 1}:0] \\{name} " for name, width in names.items()]
    return f"(* blackbox *)\nmodule pe({', '.join(ports)});\nendmodule\n"


def loads(inputs: dict[str, int], outputs: dict[str, int]) -> str:
    """For Yosys' techmap: a PE whose every input bit comes through a wire of its own.

    ABC loads a net that leaves the logic once, however many PEs are behind it; with this it sees them all.
    """
    pins = [".clk(clk)", ".rst(rst)"]
    body = ""
    for name, width in inputs.items():
        body += f"  wire [{width - 1}:0] \\{name}$pin ;\n"
        for bit in range(width):
            body += f"  \\$_BUF_ \\{name}$buffer{bit} (.A(\\{name} [{bit}]), .Y(\\{name}$pin [{bit}]));\n"
        pins.append(f".\\{name} (\\{name}$pin )")
    pins += [f".\\{name} (\\{name} )" for name in outputs]
    header = verilog(inputs, outputs).replace("blackbox", 'techmap_celltype = "pe"')
    header = header.replace("module pe(", "module _pe(").removesuffix("endmodule\n")
    return f"{header}{body}  pe _TECHMAP_REPLACE_ ({', '.join(pins)});\nendmodule\n"


def black_box(pe: type[wiring.Component]) -> type[wiring.Component]:
    """What stands for a PE: an instance of module `pe` as it was exported alone."""
    return type("BlackBox", (Instantiated, pe), {})


class Instantiated(wiring.Component):
    """Of a component that is elsewhere, its ports alone."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ports: list[tuple[str, str, Value]] = [
            ("i", "clk", ClockSignal()),
            ("i", "rst", ResetSignal()),
        ]
        for path, member, value in self.signature.flatten(self):
            bits = value.as_value() if isinstance(value, ValueCastable) else value
            if isinstance(bits, Value):
                kind = "i" if member.flow == wiring.In else "o"
                ports.append((kind, "__".join(map(str, path)), bits))
        m.submodules.pe = Instance("pe", *ports)
        return m
