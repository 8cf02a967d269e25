"""The register map of the chip behind AXI4-Lite: the one source of the RTL, its Markdown and its C header."""

from __future__ import annotations

from dataclasses import dataclass

from hw.program import MAGIC

REGISTER_BITS = 32


@dataclass(frozen=True, kw_only=True)
class Field:
    """Bits of a register. access: ro, rw, w1c (writing 1 clears it) or w1 (a pulse, reads as 0)."""

    name: str
    bits: int
    access: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Register:
    """32 bits at a byte address, fields from bit 0 on; bits of no field read as 0."""

    name: str
    text: str
    """What is true of all its fields; before theirs."""
    fields: tuple[Field, ...]

    @property
    def writable(self) -> bool:
        """Whether a write is allowed at all."""
        return any(field.access != "ro" for field in self.fields)

    def low(self, name: str) -> int:
        """The lowest bit of a field."""
        names = [field.name for field in self.fields]
        return sum(field.bits for field in self.fields[: names.index(name)])


def counter(name: str, text: str) -> Register:
    """A register that is one read-only number."""
    field = Field(name="count", bits=REGISTER_BITS, access="ro", text=text)
    return Register(name=name, text="", fields=(field,))


EVENTS = (
    ("done", "the last beat of a program's results was taken"),
    (
        "error",
        "the program was wrong (STATUS.error says why; with LAST_LATE it ran to its end); a reset gets on",
    ),
)
REGISTERS = (
    counter("ID", "0x746B5475, which is `uTkt` in memory"),
    Register(
        name="HARDWARE",
        text="as a program's header must say",
        fields=(
            Field(name="n_pe", bits=8, access="ro", text="PEs"),
            Field(name="ticks", bits=8, access="ro", text="timesteps"),
            Field(name="tile_side", bits=8, access="ro", text="side of a tile, in positions"),
            Field(name="version", bits=8, access="ro", text="version of the program format"),
        ),
    ),
    Register(
        name="CONTROL",
        text="",
        fields=(
            Field(
                name="reset",
                bits=1,
                access="w1",
                text="resets the array and the counters below; results of a program that was not done end with TLAST",
            ),
            Field(
                name="drain",
                bits=1,
                access="rw",
                text="while 1, program beats are taken and dropped: empties the stream after an error",
            ),
        ),
    ),
    Register(
        name="STATUS",
        text="",
        fields=(
            Field(
                name="busy",
                bits=1,
                access="ro",
                text="from a program's first beat to its last result; programs in a row are one stretch",
            ),
            Field(name="error", bits=3, access="ro", text="the top's `error`, 0 is none"),
            Field(name="interrupt", bits=1, access="ro", text="the interrupt line"),
        ),
    ),
    Register(
        name="INTERRUPT_ENABLE",
        text="raises the interrupt line",
        fields=tuple(Field(name=n, bits=1, access="rw", text=t) for n, t in EVENTS),
    ),
    Register(
        name="INTERRUPT_STATUS",
        text="happened, enabled or not, and since before a CONTROL.reset too",
        fields=tuple(Field(name=n, bits=1, access="w1c", text=t) for n, t in EVENTS),
    ),
    counter("CYCLES", "cycles of STATUS.busy since it last rose, so far or in all"),
    counter("PROGRAMS", "programs whose last result was taken"),
    counter("LAYERS", "layers that ended"),
    counter("BEATS_IN", "program beats taken, without those that CONTROL.drain dropped"),
    counter("BEATS_OUT", "result beats taken"),
)
ADDRESS = {register.name: 4 * k for k, register in enumerate(REGISTERS)}


def markdown() -> str:
    """The map as a table."""
    lines = [
        "| address | register | bits | field | access | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for register in REGISTERS:
        for field in register.fields:
            low = register.low(field.name)
            text = f"{register.text}: {field.text}" if register.text else field.text
            bits = f"{low + field.bits - 1}..{low}" if field.bits > 1 else f"{low}"
            lines.append(
                f"| 0x{ADDRESS[register.name]:02X} | {register.name} | {bits} | {field.name} "
                f"| {field.access} | {text} |"
            )
    return "\n".join(lines) + "\n"


def c_header(version: int) -> str:
    """The map as C constants: byte addresses, and the mask and lowest bit of each field. version: of the program format."""
    lines = [
        "/* Written by `make verilog` from hw/registers.py. */",
        "#ifndef UTICKET_H",
        "#define UTICKET_H",
        "",
    ]
    lines += [f"#define UTICKET_ID_VALUE 0x{MAGIC:08X}u", f"#define UTICKET_VERSION {version}"]
    for register in REGISTERS:
        lines.append(f"#define UTICKET_{register.name} 0x{ADDRESS[register.name]:02X}")
        for field in register.fields:
            if field.bits == REGISTER_BITS:
                continue
            name, low = f"UTICKET_{register.name}_{field.name.upper()}", register.low(field.name)
            mask = ((1 << field.bits) - 1) << low
            lines += [f"#define {name}_MASK 0x{mask:08X}u", f"#define {name}_SHIFT {low}"]
    return "\n".join([*lines, "", "#endif", ""])
