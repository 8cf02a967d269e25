"""Exports components as Verilog, each file complete in itself, with a JSON map of names.

`uticket verilog` writes all of them (sram.py: the memories that become macros).
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amaranth import DomainRenamer
from amaranth.back import verilog
from amaranth.hdl import ClockSignal, Fragment, Instance, ResetSignal, Value, ValueCastable
from amaranth.hdl._ir import PortDirection
from amaranth.hdl._xfrm import TransformedElaboratable
from amaranth.lib import wiring

from hw.axi import TopAxi
from hw.config import PRESETS, Config
from hw.datasheet import datasheet
from hw.event import pe as event_pe
from hw.home import ensure_home
from hw.machines import machine
from hw.pe import PE
from hw.registers import c_header
from hw.sram import BlackBoxes, memories
from support.files import write_text

PES = (PE, event_pe.PE)

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
// a signal or a memory may be called as the component that it stands in,
/* verilator lint_off VARHIDDEN */
// every field of a struct has a wire, read or not, and every sum its carry.
/* verilator lint_off UNUSEDSIGNAL */

"""

# Yosys has every combinational block read a register whose initial value, a change at time 0, is to
# start it. In SystemVerilog (`iverilog -g2012`) a declaration's initial value is no change.
TRIGGER = re.compile(r"reg (\\\$auto\$verilog_backend\S+)\s+= 0;")

# The first module of a text, up to the end of its list of ports.
ONE_MODULE = re.compile(r"(\nmodule [^;]+;\n)")

# Where the text of a module `pe` names itself or a module inside: at its head, and at an instance.
PE_HEAD = re.compile(r"^module pe\(", re.MULTILINE)
PE_INSIDE = re.compile(r"^(module |  )\\pe\.", re.MULTILINE)


@contextmanager
def uncollected() -> Iterator[None]:
    """Python's collector of cycles stands still: it would walk over the whole netlist again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@uncollected()
def export(
    component: wiring.Component,
    name: str,
    folder: Path,
    platform: object | None = None,
    pes: PeText | None = None,
) -> Path:
    """Write `folder/name.v`, module `name`, and `name.json`; returns the Verilog's path.

    Ports are named as in the component, parts joined by two underscores. The PEs of an array are
    instances of one module, `name.pe`. The JSON maps the design's hierarchical names (modules and
    signal, joined by dots) to the Verilog's. pes: exports with the same one convert their PE once.
    """
    pes = pes or PeText(platform)
    if isinstance(component, PES):
        text, mapped = pes.named(component, name)
    else:
        text, mapped = _with_pes(component, name, pes)
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / f"{name}.v"
    write_text(result, HEADER + TRIGGER.sub(r"reg \1 ;\n  initial \1 = 0;", text))
    write_text(folder / f"{name}.json", json.dumps(mapped, indent=1, sort_keys=True) + "\n")
    return result


class PeText:
    """Verilog of a configuration's PE on a platform: converted once, under the name `pe`."""

    def __init__(self, platform: object | None) -> None:
        self.platform = platform
        self._made: tuple[str, dict[str, str]] | None = None

    def named(self, pe: wiring.Component, module: str) -> tuple[str, dict[str, str]]:
        """Text and map of names of the PE as `module`."""
        self._made = self._made or _convert(pe, Fragment.get(pe, self.platform), "pe")
        text, names = self._made
        if module == "pe":
            return text, names
        text = PE_HEAD.sub(lambda _: f"module {_identifier(module)}(", text)
        text = PE_INSIDE.sub(lambda found: f"{found[1]}\\{module}.", text)
        return text, {module + key[2:]: module + value[2:] for key, value in names.items()}


def _identifier(module: str) -> str:
    """A module's name in Verilog."""
    return module if module.isidentifier() else f"\\{module} "


def _with_pes(component: wiring.Component, name: str, pes: PeText) -> tuple[str, dict[str, str]]:
    """Text and map of names of a component whose PEs, if it has any, are one module."""
    shared = OnePe(f"{name}.pe", pes.platform)
    fragment = Fragment.get(component, shared)
    text, mapped = _convert(component, fragment, name)
    if shared.pe:
        pe_text, pe_names = pes.named(shared.pe, shared.module)
        text += ONE_MODULE.sub(r"\1  /* verilator no_inline_module */\n", pe_text, count=1)
        own = len(shared.module)
        for where in _instances(fragment, name, shared.module):
            mapped |= {where + key[own:]: where + value[own:] for key, value in pe_names.items()}
    return text, mapped


class OnePe:
    """A platform on which every PE is an instance of `module`; for all else, what `platform` is.

    PEs are the same but for their inputs. As one module they are elaborated once, and Verilator compiles them once.
    """

    def __init__(self, module: str, platform: object | None) -> None:
        self.module, self.platform = module, platform
        self.pe: wiring.Component | None = None
        """The first of them."""

    def get_pe(self, pe: wiring.Component) -> Instance:
        """What stands for a PE in its array."""
        self.pe = self.pe or pe
        ports = [(kind, port, bits) for port, kind, bits in _ports(pe)]
        clock = ("i", "clk", ClockSignal()), ("i", "rst", ResetSignal())
        return Instance(self.module, *clock, *ports)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.platform, name)


def _instances(fragment: Fragment, path: str, module: str) -> Iterator[str]:
    """Hierarchical names of a module's instances. Raises ValueError where a reset is inserted around one."""
    for part, name, _ in fragment.subfragments:
        inside = f"{path}.{name}"
        if isinstance(part, Instance) and part.type == module:
            yield inside
            continue
        found = list(_instances(part, inside, module))
        wrapped = [one for one in part.origins or () if isinstance(one, TransformedElaboratable)]
        if found and any(type(t) is not DomainRenamer for one in wrapped for t in one._transforms_):
            raise ValueError(
                f"{inside} holds PEs, and what is inserted into it is none of their ports"
            )
        yield from found


def _ports(component: wiring.Component) -> Iterator[tuple[str, str, Value]]:
    """Name in the Verilog, "i" or "o", and bits of every port, clock and reset left out."""
    for path, member, value in component.signature.flatten(component):
        bits = value.as_value() if isinstance(value, ValueCastable) else value
        if isinstance(bits, Value):
            yield "__".join(map(str, path)), "i" if member.flow == wiring.In else "o", bits


def _convert(
    component: wiring.Component, fragment: Fragment, name: str
) -> tuple[str, dict[str, str]]:
    """Verilog of a component, and what its signals are called there."""
    ensure_home()
    directions = {"i": PortDirection.Input, "o": PortDirection.Output}
    ports = {port: (bits, directions[kind]) for port, kind, bits in _ports(component)}
    text, names = verilog.convert_fragment(
        fragment, ports, name, emit_src=False, strip_internal_attrs=True
    )
    mapped = {}
    for signal, path in names.items():
        where = list(path)
        mapped[".".join([*where[:-1], signal.name])] = ".".join(where)
    return text, mapped


def export_top(config: Config, folder: Path) -> Path:
    """The whole chip, module `top`, of the configuration's machine."""
    return export(machine(config).top(config), "top", folder)


def modules(config: Config) -> dict[str, wiring.Component]:
    """What a designer takes, from one PE to the chip on AXI. By the Verilog module's name."""
    made = machine(config)
    return {
        "pe": made.pe(config),
        "pe_array": made.array(config),
        "top": made.top(config),
        "top_axi": TopAxi(config),
    }


def export_all(preset: str, folder: Path, config: Config | None = None) -> Iterator[Path]:
    """Everything that a designer takes; the paths of the files as they are written.

    preset: a name of hw/config.py, or what the data sheet is to call `config`.

    `folder` gets pe.v, pe_array.v, top.v and top_axi.v, their maps, a README and a C header;
    `folder`/blackbox the same modules with black boxes for the memories that become SRAM macros.
    """
    config = config or PRESETS[preset]
    components = modules(config)
    boxes = BlackBoxes()
    for where, platform in ((folder, None), (folder / "blackbox", boxes)):
        pes = PeText(platform)
        for name, component in components.items():
            path = export(component, name, where, platform, pes)
            yield path
            yield path.with_suffix(".json")
    macros = sorted(boxes.macros.values(), key=lambda macro: macro.name)
    texts = {
        "blackbox/memories.v": memories(macros),
        "README.md": datasheet(preset, config, components, macros),
        "uticket.h": c_header(machine(config).version),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
        yield folder / name
