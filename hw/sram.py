"""Memories that become SRAM macros, and the export that leaves them as black boxes."""

from __future__ import annotations

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


class BlackBoxes:
    """A platform for which every `Sram` is an instance of its macro instead of a memory.

    `MACRO #(.DEPTH(rows), .WIDTH(bits), .GRANULE(bits))` has the ports clk, write_enable (a bit for
    each GRANULE bits), write_address, write_data, read_enable, read_address and read_data. After a cycle
    with read_enable, read_data is the row of read_address: in a spike bank for one cycle, in the scratchpad
    until the next read, for which read_address stays as it is. What is read of a row while it is written is
    never used.
    """

    def get_memory(self, memory: Memory) -> Elaboratable:
        """Amaranth's hook, called for every memory."""
        if not isinstance(memory, Sram):
            return memory.elaborate(None)
        (read,), (write,) = memory.read_ports, memory.write_ports
        return Instance(
            memory.macro,
            ("p", "DEPTH", memory.depth),
            ("p", "WIDTH", len(write.data)),
            ("p", "GRANULE", len(write.data) // len(write.en)),
            ("i", "clk", ClockSignal()),
            ("i", "write_enable", write.en),
            ("i", "write_address", write.addr),
            ("i", "write_data", write.data),
            ("i", "read_enable", read.en),
            ("i", "read_address", read.addr),
            ("o", "read_data", read.data),
        )
