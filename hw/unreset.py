"""Data registers: what they hold is only used after it was written, so no reset reaches them.

A reset that goes everywhere costs a gate a flip-flop, and on an FPGA the wires that the data need.
"""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal, Value


def data_register(m: Module, port: Any, name: str) -> Any:
    """The register behind an output port of the same shape."""
    register = Signal.like(port, name=name, reset_less=True)
    m.d.comb += Value.cast(port).eq(Value.cast(register))
    return register
