"""Exports components as Verilog, each file complete in itself, with a JSON map of names.

Usage: python -m hw.export FOLDER [PRESET]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import Fragment, Value, ValueCastable
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from hw.config import PRESETS, Config
from hw.pe import PE
from hw.top import Top


def export(component: wiring.Component, name: str, folder: Path) -> Path:
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
    fragment = Fragment.get(component, None)
    text, names = verilog.convert_fragment(
        fragment, ports, name, emit_src=False, strip_internal_attrs=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    mapped = {}
    for signal, path in names.items():
        where = list(path)
        mapped[".".join([*where[:-1], signal.name])] = ".".join(where)
    result = folder / f"{name}.v"
    result.write_text(text)
    (folder / f"{name}.json").write_text(json.dumps(mapped, indent=1, sort_keys=True) + "\n")
    return result


def export_top(config: Config, folder: Path) -> Path:
    """The whole chip, module `top`."""
    return export(Top(config), "top", folder)


def main(arguments: list[str]) -> int:
    """Write top.v and pe.v of a preset."""
    if len(arguments) not in (1, 2) or (len(arguments) == 2 and arguments[1] not in PRESETS):
        presets = ", ".join(PRESETS)
        print(
            f"usage: python -m hw.export FOLDER [PRESET], PRESET one of {presets}", file=sys.stderr
        )
        return 2
    folder = Path(arguments[0])
    config = PRESETS[arguments[1] if len(arguments) == 2 else "paper"]
    for path in (export_top(config, folder), export(PE(config, 0), "pe", folder)):
        print(f"wrote {path} and {path.with_suffix('.json').name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
