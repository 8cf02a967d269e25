"""Exports components as Verilog, each file complete in itself, with a JSON map of names.

Usage: python -m hw.export FOLDER [PRESET]

FOLDER gets pe.v, pe_array.v, top.v and top_axi.v, their maps, a README and a C header; FOLDER/blackbox
the same modules with black boxes for the memories that become SRAM macros (sram.py).
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import Fragment, Value, ValueCastable
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from hw.array import Array
from hw.axi import TopAxi
from hw.config import PRESETS, Config
from hw.datasheet import datasheet
from hw.pe import PE
from hw.registers import c_header
from hw.sram import BlackBoxes, memories
from hw.top import Top

HEADER = """\
// uTicket, https://arxiv.org/abs/2302.06746 in Amaranth. Apache-2.0. Written by `make verilog`.
// What Verilator's -Wall may not say of this file, and why:
// a file is complete in itself, so that it holds modules of other names too;
/* verilator lint_off DECLFILENAME */
// Verilog's own rule for operands of different widths is what Amaranth's text relies on;
/* verilator lint_off WIDTHEXPAND */
/* verilator lint_off WIDTHTRUNC */
// a combinational block assigns the default before its case, so that no case need be complete,
/* verilator lint_off CASEINCOMPLETE */
// and its variable has an initial value, for simulators that do not run the block at time 0;
/* verilator lint_off PROCASSINIT */
// every field of a struct has a wire, read or not, and every sum its carry.
/* verilator lint_off UNUSEDSIGNAL */

"""

# Yosys has every combinational block read a register whose initial value, a change at time 0, is to
# start it. In SystemVerilog (`iverilog -g2012`) a declaration's initial value is no change.
TRIGGER = re.compile(r"reg (\\\$auto\$verilog_backend\S+)\s+= 0;")


def export(
    component: wiring.Component, name: str, folder: Path, platform: object | None = None
) -> Path:
    """Write `folder/name.v`, module `name`, and `name.json`; returns the Verilog's path.

    Ports are named as in the component, parts joined by two underscores. The JSON maps the design's
    hierarchical names (modules and signal, joined by dots) to the Verilog's.
    """
    ports = {}
    for path, member, value in component.signature.flatten(component):
        bits = value.as_value() if isinstance(value, ValueCastable) else value
        if isinstance(bits, Value):
            direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
            ports["__".join(map(str, path))] = (bits, direction)
    fragment = Fragment.get(component, platform)
    text, names = verilog.convert_fragment(
        fragment, ports, name, emit_src=False, strip_internal_attrs=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    mapped = {}
    for signal, path in names.items():
        where = list(path)
        mapped[".".join([*where[:-1], signal.name])] = ".".join(where)
    result = folder / f"{name}.v"
    result.write_text(HEADER + TRIGGER.sub(r"reg \1 ;\n  initial \1 = 0;", text))
    (folder / f"{name}.json").write_text(json.dumps(mapped, indent=1, sort_keys=True) + "\n")
    return result


def export_top(config: Config, folder: Path) -> Path:
    """The whole chip, module `top`."""
    return export(Top(config), "top", folder)


def modules(config: Config) -> dict[str, wiring.Component]:
    """What a designer takes, from one PE to the chip on AXI. By the Verilog module's name."""
    return {
        "pe": PE(config, 0),
        "pe_array": Array(config),
        "top": Top(config),
        "top_axi": TopAxi(config),
    }


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    if len(arguments) not in (1, 2) or (len(arguments) == 2 and arguments[1] not in PRESETS):
        presets = ", ".join(PRESETS)
        print(
            f"usage: python -m hw.export FOLDER [PRESET], PRESET one of {presets}", file=sys.stderr
        )
        return 2
    folder = Path(arguments[0])
    preset = arguments[1] if len(arguments) == 2 else "paper"
    config = PRESETS[preset]
    components = modules(config)
    boxes = BlackBoxes()
    for where, platform in ((folder, None), (folder / "blackbox", boxes)):
        for name, component in components.items():
            path = export(component, name, where, platform)
            print(f"wrote {path} and {path.with_suffix('.json').name}")
    macros = sorted(boxes.macros.values(), key=lambda macro: macro.name)
    (folder / "blackbox" / "memories.v").write_text(memories(macros))
    readme = folder / "README.md"
    readme.write_text(datasheet(preset, config, components, macros))
    header = folder / "uticket.h"
    header.write_text(c_header())
    print(f"wrote {header} and {readme}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
