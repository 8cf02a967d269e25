"""The README beside the exported Verilog: ports, protocol and parameters, from the source's own words."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from types import ModuleType

from amaranth.hdl import Shape, ShapeCastable, Value, ValueCastable
from amaranth.lib import data, wiring

import hw.apu
import hw.config
import hw.counters
import hw.loader
import hw.program
import hw.results
from hw.config import Config
from hw.machines import machine
from hw.registers import markdown
from hw.sram import BlackBoxes, Macro

INTRODUCTION = """\
# uTicket RTL, machine `{machine}`, preset `{preset}`

Written by `make verilog`; the same source gives the same text. Every `.v` is complete in itself and
holds its top module under the file's name; `NAME.json` maps the design's names to the Verilog's.
`blackbox/` holds the same modules with black boxes for the memories that become SRAM macros.

## Protocol

All is synchronous to the rising edge of `clk`. `rst` is synchronous, active high, one cycle is enough;
memories and data registers are not reset, and nothing that was not written is used. `a__b` is port `b` of interface `a`.
A stream is `payload`, `valid`, `ready`: a beat passes in each cycle in which `valid` and `ready` are
high; once `valid` is high, it and `payload` stay until then; `ready` may depend on `valid`. Ports
outside streams are described with their module. `top` has AXI4-Stream's rules on both streams:
the lowest bits of `payload` are TDATA, its highest is TLAST.

### Program stream

{program}

CSR activations. {activations}

Bits of what has fields; `bias` and `threshold` are signed:

| | fields |
|---|---|
{layouts}

### Result stream

{results}

The counters of a PE, 32 bits each, in this order: {counters}.

### `error`

{errors}

## Black boxes

`blackbox/memories.v` has them for simulation, and as black boxes for Yosys; `constraints/sram/sky130.v` wraps macros of
sky130's PDK.

{black_boxes}

| macro | rows | bits | granule |
|---|---|---|---|
{macros}

## Registers of `top_axi`

32 bits each, over AXI4-Lite; ro: read-only; rw; w1: writing 1 does it, reads as 0; w1c: writing 1 clears
it. Any other address, and a write to what is read-only, answers SLVERR; the two lowest bits of an address do not count.
`uticket.h` has them for C.

{registers}
## Parameters

Fixed in the exported Verilog; another chip is another export (`hw/config.py`).

| parameter | value | meaning |
|---|---|---|
{parameters}
"""


def datasheet(
    preset: str,
    config: Config,
    modules: Mapping[str, wiring.Component],
    macros: Sequence[Macro],
) -> str:
    """The README's text for the modules of one configuration, and their black boxes."""
    texts = docstrings(Config, hw.config)
    made = machine(config)
    errors = docstrings(hw.loader.Error, hw.loader)
    rows = [f"| `{f.name}` | {getattr(config, f.name)} | {texts[f.name]} |" for f in fields(Config)]
    head = INTRODUCTION.format(
        preset=preset,
        machine=config.machine,
        program=body(made.program),
        activations=body(hw.apu),
        results=body(hw.results),
        errors="\n".join(f"- {e.value}, {e.name}: {errors[e.name]}" for e in hw.loader.Error),
        black_boxes=body(BlackBoxes),
        macros="\n".join(f"| `{m.name}` | {m.depth} | {m.width} | {m.granule} |" for m in macros),
        layouts="\n".join(layouts(made.program)),
        counters=", ".join(hw.counters.counter_names(config.machine)),
        registers=markdown(),
        parameters="\n".join(rows),
    )
    return head + "".join(f"\n{text}" for text in map(module, modules.items()))


def layouts(program: ModuleType) -> Iterator[str]:
    """A row of each struct of the program format, what machines share and what is `program`'s own."""
    for name, value in {**vars(hw.program), **vars(program)}.items():
        if isinstance(value, data.StructLayout):
            parts = ", ".join(f"`{part}`" for part in layout(value))
            yield f"| {name.replace('_', ' ').lower()}, {value.size} bits | {parts} |"


def module(named: tuple[str, wiring.Component]) -> str:
    """The section of one module: its docstring, those of what it is a kind of, and a table of its ports."""
    name, component = named
    kinds = [kind for kind in type(component).__mro__ if kind.__module__.startswith("hw.")]
    lines = [f"## `{name}`"]
    for kind in kinds:
        lines += ["", inspect.getdoc(kind) or ""]
    lines.append("")
    lines += ["| port | direction | bits | fields |", "|---|---|---|---|"]
    lines += ["| `clk`, `rst` | in | 1 | |"]
    for path, member, value in component.signature.flatten(component):
        bits = value.as_value() if isinstance(value, ValueCastable) else value
        if not isinstance(bits, Value) or not len(bits):
            continue
        direction = "in" if member.flow == wiring.In else "out"
        parts = ", ".join(f"`{part}`" for part in layout(member.shape))
        port = "__".join(map(str, path))
        lines.append(f"| `{port}` | {direction} | {len(bits)} | {parts} |")
    return "\n".join(lines) + "\n"


def layout(shape: object, name: str = "", start: int = 0) -> Iterator[str]:
    """`field[high:low]` of each field of a struct, down to numbers and arrays of numbers."""
    if isinstance(shape, data.StructLayout):
        for key, field in shape:
            inner = f"{name}.{key}" if name else str(key)
            yield from layout(field.shape, inner, start + field.offset)
    elif isinstance(shape, data.ArrayLayout) and isinstance(shape.elem_shape, data.StructLayout):
        for k, field in shape:
            yield from layout(field.shape, f"{name}[{k}]", start + field.offset)
    elif name and isinstance(shape, Shape | ShapeCastable | int):
        width = Shape.cast(shape).width
        yield f"{name}[{start + width - 1}:{start}]" if width > 1 else f"{name}[{start}]"


def body(documented: ModuleType | type) -> str:
    """A docstring without its first line, which is a title."""
    return (inspect.getdoc(documented) or "").partition("\n")[2].strip()


def docstrings(owner: type, where: ModuleType) -> dict[str, str]:
    """The strings that stand under a class's fields or members in its source; Python drops them."""
    tree = ast.parse(inspect.getsource(where))
    found = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == owner.__name__)
    texts = {}
    for field, text in zip(found.body, found.body[1:], strict=False):
        match field, text:
            case (
                (ast.AnnAssign(target=ast.Name(name)) | ast.Assign(targets=[ast.Name(name)])),
                ast.Expr(ast.Constant(value)),
            ):
                texts[name] = str(value)
    return texts
