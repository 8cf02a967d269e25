"""The SRAM macros of the array: figures from memories.yaml, as Liberty and as Verilog black boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from hw.config import STREAM_BITS, WORD_BITS, Config
from hw.event.drain import kept_bits
from hw.event.program import LIST_WORDS, ring_rows
from hw.spike_buffer import granules
from support.errors import BadInput
from synth import liberty_text
from synth.liberty import Library

TABLE = Path(__file__).with_name("memories.yaml")
OLDEST = 90  # nm, of CACTI
OLDEST_VOLTS = 1.2


@dataclass(frozen=True)
class MemoryMacro:
    """Area in um2, access and setup in ns, energy of an access in joules, leakage in watts."""

    name: str
    depth: int
    width: int
    enables: int
    """Parts of a word that can be written alone."""
    area: float
    access: float
    setup: float
    read: float
    write: float
    leakage: float
    source: str


def node_of(library: Library, node: int | None) -> int:
    """The library's node in nm: given, or told by its name. Raises BadInput where it is neither."""
    known: dict[str, int] = yaml.safe_load(TABLE.read_text())["libraries"]
    if node is not None:
        return node
    for name, nanometres in known.items():
        if library.name.lower().startswith(name.lower()):
            return nanometres
    raise BadInput(f"library {library.name}: its node is not known; give it, such as NODE=45")


def macros(library: Library, node: int, config: Config, period: float) -> list[MemoryMacro]:
    """A configuration's macros at a node, for a clock period in ns.

    Raises BadInput for a node without figures, and for a memory of another size than the table's.
    """
    result = []
    table = yaml.safe_load(TABLE.read_text())["macros"]
    for name, size in sizes(config).items():
        known_sizes = {(entry["depth"], entry["width"]): entry for entry in entries(table[name])}
        if size not in known_sizes:
            allowed = " or ".join(f"{depth} of {width}" for depth, width in known_sizes)
            raise BadInput(
                f"{name}: {size[0]} rows of {size[1]} bits; allowed: {allowed}, of which memories.yaml has figures"
            )
        rows = known_sizes[size]["nodes"]
        row, linear, energy = rows.get(node), 1.0, 1.0
        source = f"CACTI at {node} nm"
        if node > OLDEST:
            row, linear = rows[OLDEST], node / OLDEST
            energy = linear * (library.voltage / OLDEST_VOLTS) ** 2
            source = f"CACTI at {OLDEST} nm, scaled to {node} nm"
        elif row is None:
            known = ", ".join(str(n) for n in rows)
            raise BadInput(f"NODE={node}: memories.yaml has {known}, and scales to more than those")
        result.append(
            MemoryMacro(
                name=name,
                depth=size[0],
                width=size[1],
                enables=granules(config) if name == "uticket_spike_bank" else 1,
                area=row["area"] * linear**2,
                access=row["access"] * linear,
                setup=period / 20,
                read=row["read"] * energy * 1e-12,
                write=row["write"] * energy * 1e-12,
                leakage=row["leakage"] * 1e-3,
                source=source,
            )
        )
    return result


def entries(figures: dict | list[dict]) -> list[dict]:
    """Those of a macro in memories.yaml: one, or one for each of several sizes."""
    return figures if isinstance(figures, list) else [figures]


def sizes(config: Config) -> dict[str, tuple[int, int]]:
    """Rows and bits of a configuration's macros, by name."""
    banks = {"uticket_spike_bank": (config.buffer_depth, config.word_bits)}
    if config.machine == "sweep":
        return {"uticket_scratchpad": (config.scratchpad_rows, STREAM_BITS), **banks}
    ring = ring_rows(config), STREAM_BITS
    places = config.stream_bits // WORD_BITS
    return {
        "uticket_header_ring": ring,
        "uticket_value_ring": ring,
        "uticket_list_ring": (LIST_WORDS // places, config.stream_bits),
        "uticket_potentials": (
            config.positions // config.lifs,
            config.lifs * kept_bits(config),
        ),
        **banks,
    }


def verilog(macros: list[MemoryMacro]) -> str:
    """The black boxes, for Yosys."""
    text = ""
    for macro in macros:
        address = (macro.depth - 1).bit_length() - 1
        text += (
            f"(* blackbox *)\nmodule {macro.name}\n"
            f" (input clk, input [{macro.enables - 1}:0] write_enable,"
            f" input [{address}:0] write_address, input [{macro.width - 1}:0] write_data,\n"
            f"  input read_enable, input [{address}:0] read_address,"
            f" output [{macro.width - 1}:0] read_data);\nendmodule\n"
        )
    return text


def liberty(macros: list[MemoryMacro], library: Library) -> str:
    """The macros as a Liberty file, for OpenSTA; input pins load like a large buffer's."""
    load = library.load * 1e12
    cells = []
    for macro in macros:
        cell = f" cell ({macro.name}) {{\n  area : {macro.area:.1f}; is_macro_cell : true;\n"
        cell += f"  cell_leakage_power : {macro.leakage * 1e3:.6g};\n{liberty_text.clock(load)}"
        for name, width in _inputs(macro).items():
            cell += liberty_text.input_(name, width, load, macro.setup)
        cell += liberty_text.output("read_data", macro.width, macro.access)
        cells.append(cell + " }\n")
    widths = [width for macro in macros for width in (*_inputs(macro).values(), macro.width)]
    return liberty_text.library("uticket_memories", widths, cells)


def _inputs(macro: MemoryMacro) -> dict[str, int]:
    """Widths by name."""
    address = (macro.depth - 1).bit_length()
    return {
        "write_enable": macro.enables,
        "write_address": address,
        "write_data": macro.width,
        "read_enable": 1,
        "read_address": address,
    }
