"""Reads a flat netlist as Yosys writes it: `write_verilog -noattr -noexpr`."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = r"(\\\S+ |[\w$]+)"


@dataclass(frozen=True)
class Instance:
    """A cell; the nets of each pin, highest bit first."""

    kind: str
    name: str
    pins: dict[str, list[str]]


@dataclass(frozen=True)
class Module:
    """Its instances, and the nets that drive bits of its output ports under another name."""

    instances: list[Instance]
    aliases: dict[str, str]


def read(text: str) -> Module:
    """A netlist of one module."""
    instances = [
        Instance(
            plain(kind),
            plain(name),
            {
                plain(pin): _nets(nets)
                for pin, nets in re.findall(rf"^    \.{NAME}\s*\((.*?)\),?$", pins, re.MULTILINE)
            },
        )
        for kind, name, pins in re.findall(
            rf"^  (?!assign|wire|input|output){NAME}\s*{NAME}\s*\(\n(.*?)\n  \);",
            text,
            re.DOTALL | re.MULTILINE,
        )
    ]
    widths = {
        plain(name): int(high or 0) + 1
        for high, name in re.findall(
            rf"^  (?:input|output) (?:\[(\d+):0\] )?{NAME} *;", text, re.MULTILINE
        )
    }

    def bits(name: str) -> list[str]:
        width = widths.get(name, 1)
        return [name] if width == 1 else [f"{name}[{k}]" for k in range(width - 1, -1, -1)]

    aliases: dict[str, str] = {}
    for left, right in re.findall(r"^  assign (.*?) = (.*);$", text, re.MULTILINE):
        nets = [bit for net in _nets(right) for bit in bits(net)]
        aliases |= dict(zip(bits(plain(left)), nets, strict=True))
    return Module(instances, aliases)


def _nets(text: str) -> list[str]:
    """Of a net or a concatenation, highest bit first; constants bit by bit."""
    nets = []
    for part in text.strip("{} ").split(", "):
        if match := re.fullmatch(r"(\d+)'([bh])([0-9a-f]+)", part):
            width, value = int(match[1]), int(match[3], {"b": 2, "h": 16}[match[2]])
            nets += [f"1'h{value >> bit & 1}" for bit in range(width - 1, -1, -1)]
        else:
            nets.append(plain(part))
    return nets


def plain(name: str) -> str:
    """A name without escapes and spaces."""
    return re.sub(r"[\\\s]", "", name)
