"""Synthesis on a standard-cell library: from Verilog to a netlist, and its area by component."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from synth import yosys
from synth.liberty import Library
from synth.memories import MemoryMacro, verilog

# Mapping for speed: choices, then buffers for large fan-out, then gates sized to their loads.
ABC = """&get -n
&st
&dch
&nf
&put
buffer -c
topo
stime -p
upsize -c
dnsize -c
stime -p
"""
GATED = 3  # flip-flops with one enable that are worth a clock-gating cell
PE_BOX = "pe"  # in the top, synthesized alone
ADDERS = {"sweep": " -map +/choices/kogge-stone.v", "event": ""}
"""By machine: Kogge-Stone, or Yosys' own, which are Brent-Kung. The event machine has many more of them, and the time."""


@dataclass(frozen=True)
class Area:
    """Of a component, without the components inside it: um2, and how much of it are flip-flops."""

    name: str
    area: float
    sequential: float
    cells: int
    macros: dict[str, int]
    """SRAM macros, and PEs in the top, by name; their area is not in `area`."""


def synthesize(
    verilog_path: Path,
    top: str,
    library: Library,
    macros: list[MemoryMacro],
    folder: Path,
    *,
    flat: bool,
    period: float,
    boxes: str = "",
    box_loads: str = "",
    machine: str = "sweep",
) -> Path:
    """Map module `top` to gates; returns the netlist.

    flat: one module, optimized across components, for timing. Otherwise the components stay as they
    are, and memories that are no macro become a component of their own, `memory`. period: ns. boxes: Verilog
    of more black boxes. box_loads: how they load the logic (synth.interface.loads). machine: whose adders, of ADDERS.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{top}_{'flat' if flat else 'hier'}"
    (folder / "macros.v").write_text(verilog(macros) + boxes)
    (folder / "box_loads.v").write_text(box_loads)
    (folder / "abc.script").write_text(ABC)
    (folder / f"{name}.constr").write_text(
        f"set_driving_cell {library.buffer}\nset_load {library.load * 1e15:.4f} [all_outputs]\n"
    )
    liberty = library.path.resolve()
    script = [
        f"read_liberty -lib {liberty}",
        "read_verilog macros.v",
        f"read_verilog {verilog_path.resolve()}",
        f"hierarchy -check -top {top}",
        *coarse(library, flat=flat),
        *fine(library, ADDERS[machine]),
        *(["techmap -max_iter 1 -map box_loads.v"] if box_loads else []),
        f"abc -liberty {liberty} -constr {name}.constr -D {period * 1000:.0f}"
        f" -script abc.script {dont_use(library)}",
        *ties(library),
        "splitnets",
        "opt_clean -purge",
        "check -assert",
        f"tee -q -o {name}.stat.json stat -json",
        f"write_verilog -noattr -noexpr -nohex {name}.v",
    ]
    yosys.run(script, folder, name)
    netlist = folder / f"{name}.v"
    netlist.write_text(plain_assigns(netlist.read_text()))
    return netlist


def coarse(library: Library, *, flat: bool) -> list[str]:
    """Yosys' commands: from processes to words, adders and memories."""
    return [
        "proc",
        *(["flatten"] if flat else []),
        "opt_expr",
        "opt_clean",
        "opt -nodffe -nosdff",
        "wreduce",
        "peepopt",
        "opt_clean",
        "alumacc",
        "share",
        opt(library),
        "memory -nomap",
        "opt_clean",
        *([] if flat else ['setattr -set submod "memory" */t:$mem_v2', "submod"]),
    ]


def fine(library: Library, adders: str) -> list[str]:
    """Yosys' commands: from words to gates, and to the library's flip-flops. adders: of ADDERS."""
    return [
        f"{opt(library)} -fast -full",
        "memory_map",
        f"{opt(library)} -undriven -fine",
        f"techmap -map +/techmap.v{adders}",
        f"{opt(library)} -fast",
        "attrmap -remove init w:*",  # what a reset or the first write sets needs no start value
        "setundef -undriven -zero",
        "splitnets",
        "rename -wire",  # a flip-flop is called after its register
        *gate_clocks(library),
        f"dfflibmap -liberty {library.path.resolve()} {dont_use(library)}",
        "opt",
        "opt_clean -purge",
    ]


def opt(library: Library) -> str:
    """With gated clocks a reset is part of the enable: a flip-flop of its own kind would not be gated."""
    return "opt -nosdff" if library.clock_gates else "opt"


def dont_use(library: Library) -> str:
    """The option that names the cells that are not for logic."""
    return " ".join(f"-dont_use {cell}" for cell in library.unused)


def ties(library: Library) -> list[str]:
    """Yosys' command: constants get a cell each, where the library has both."""
    high, low = library.tie(1), library.tie(0)
    return ["hilomap -hicell {} {} -locell {} {}".format(*high, *low)] if high and low else []


def gate_clocks(library: Library) -> list[str]:
    """Yosys' commands: flip-flops with one enable get a clock-gating cell, the smallest that drives them.

    Nothing where the library has none. A set too large for the largest gets that; what buffers it needs is
    left to clock tree synthesis, as those of the clock itself are.
    """
    script, least = [], GATED
    for name in library.clock_gates:
        cell = library.cells[name]
        if pins := cell.clock_gate:
            script.append(
                f"clockgate -pos {name} {pins.enable}:{pins.clock}:{pins.output} -min_net_size {least}"
            )
            drives = int(cell.pins[pins.output].max_capacitance / library.clock_pin)
            least = max(least, drives + 1)
    return script[::-1]  # the largest sets first: a set that has its cell is not looked at again


def plain_assigns(text: str) -> str:
    """A netlist without concatenations on the left: OpenSTA reads none."""

    def split(match: re.Match[str]) -> str:
        left, right = (_bits(side) for side in match.groups())
        return "".join(f"  assign {a} = {b};\n" for a, b in zip(left, right, strict=True))

    return re.sub(r"^  assign \{ (.*) \} = (.*);\n", split, text, flags=re.MULTILINE)


def _bits(side: str) -> list[str]:
    """The single bits of a concatenation of names and their parts, highest first."""
    bits = []
    for part in side.strip("{} ").split(", "):
        if match := re.fullmatch(r"(\\\S+ |[^\\\s]\S*)\s*\[(\d+):(\d+)\]", part.strip()):
            high, low = int(match[2]), int(match[3])
            bits += [f"{match[1]}[{k}]" for k in range(high, low - 1, -1)]
        else:
            bits.append(part + " " * (part.startswith("\\") and " " not in part))
    return bits


def areas(stat: Path, library: Library, macros: list[MemoryMacro]) -> list[Area]:
    """Area of each component from `stat -json`, by its hierarchical name."""
    modules = json.loads(stat.read_text())["modules"]
    known = {*(macro.name for macro in macros), PE_BOX}
    result = []
    for name, entry in modules.items():
        cells: dict[str, int] = {
            cell: count
            for cell, count in entry["num_cells_by_type"].items()
            if cell in library.cells
        }
        result.append(
            Area(
                name=name.lstrip("\\"),
                area=sum(library.cells[c].area * n for c, n in cells.items()),
                sequential=sum(
                    library.cells[c].area * n
                    for c, n in cells.items()
                    if library.cells[c].sequential
                ),
                cells=sum(cells.values()),
                macros={c: n for c, n in entry["num_cells_by_type"].items() if c in known},
            )
        )
    return result
