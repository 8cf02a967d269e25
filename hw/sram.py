"""Memories that become SRAM macros, and the export that leaves them as black boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth import ClockSignal, Instance
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Elaboratable

UNUSED_COLLISIONS = {"no_rw_check": 1}
"""Tells Yosys that what is read of a row while it is written is never used: block RAM needs no bypass."""


class Sram(Memory):
    """A memory with one synchronous read port and one write port. macro: the black box's module."""

    def __init__(self, *, macro: str, width: int, depth: int) -> None:
        self.macro = macro
        super().__init__(shape=width, depth=depth, init=[], attrs=UNUSED_COLLISIONS)


@dataclass(frozen=True)
class Macro:
    """What a black box stands for. granule: bits that are written together."""

    name: str
    depth: int
    width: int
    granule: int


class BlackBoxes:
    """A platform for which every `Sram` is an instance of its macro instead of a memory.

    A macro has no parameters, and the ports clk, write_enable (a bit for each granule, the lowest first),
    write_address, write_data, read_enable, read_address and read_data. After a cycle with read_enable, read_data is
    the row of read_address: in a spike bank for one cycle, in the scratchpad until the next read, for which
    read_address stays as it is. What is read of a row while it is written is never used.
    """

    def __init__(self) -> None:
        self.macros: dict[str, Macro] = {}
        """Those that were needed, by name."""

    def get_rows(self, rows: Any) -> Elaboratable:
        """What is no macro either, but flip-flops: hw.event.rows.Rows."""
        return rows.registers()

    def get_memory(self, memory: Memory) -> Elaboratable:
        """Amaranth's hook, called for every memory."""
        if not isinstance(memory, Sram):
            return memory.elaborate(None)
        (read,), (write,) = memory.read_ports, memory.write_ports
        width = len(write.data)
        granule = width // len(write.en)
        self.macros[memory.macro] = Macro(memory.macro, memory.depth, width, granule)
        return Instance(
            memory.macro,
            ("i", "clk", ClockSignal()),
            ("i", "write_enable", write.en),
            ("i", "write_address", write.addr),
            ("i", "write_data", write.data),
            ("i", "read_enable", read.en),
            ("i", "read_address", read.addr),
            ("o", "read_data", read.data),
        )


MEMORIES = """\
// Written by `make verilog`: the memories that the files beside it leave out. Simulators see what they do, Yosys
// black boxes. Like a macro they start undefined, and what is read of a row while it is written is undefined.

/* verilator lint_off DECLFILENAME */
`default_nettype none
"""
MODULE = """
(* blackbox *)
module {name} (
    input wire clk,
    input wire [{enables}:0] write_enable,
    input wire [{address}:0] write_address,
    input wire [{bits}:0] write_data,
    input wire read_enable,
    input wire [{address}:0] read_address,
    output reg [{bits}:0] read_data
);
  reg [{bits}:0] rows[0:{rows}];
  integer k;
  always @(posedge clk) begin
    for (k = 0; k <= {enables}; k = k + 1)
      if (write_enable[k]) rows[write_address][k*{granule}+:{granule}] <= write_data[k*{granule}+:{granule}];
    if (read_enable) begin
      read_data <= rows[read_address];
      if (|write_enable && write_address == read_address) read_data <= {{{width}{{1'bx}}}};
    end
  end
endmodule
"""


def memories(macros: list[Macro]) -> str:
    """Verilog of the macros' modules: their behaviour, which is a black box to Yosys."""
    modules = [
        MODULE.format(
            name=macro.name,
            enables=macro.width // macro.granule - 1,
            address=(macro.depth - 1).bit_length() - 1,
            bits=macro.width - 1,
            rows=macro.depth - 1,
            granule=macro.granule,
            width=macro.width,
        )
        for macro in macros
    ]
    return "".join([MEMORIES, *modules, "\n`default_nettype wire\n"])
