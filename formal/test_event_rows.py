"""A bank's rows: memories, as they are simulated and fit an FPGA, and flip-flops, as silicon has them, are the same.

Both get what a bank may give: one row or none, and none is read but that one. A row that is any, but the same in all cycles, stands
for all: it holds the same in both, and so what is read of it is the same.
"""

import pytest
from amaranth import Array, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from formal.bench import Bench
from formal.prove import fault, prove, refute
from hw.config import Config
from hw.event.rows import Rows

CONFIG = Config(machine="event", tile_side=4, ticks=2, banks=4)
ROWS = 4
TICK = 1


class Silicon(Rows):
    """On any platform as on that of silicon."""

    def elaborate(self, platform):
        return self.registers()


class Both(wiring.Component):
    """The ports of a bank's rows; in `silicon`, the flip-flops' sums."""

    def __init__(self):
        self.memories, self.registers = Rows(CONFIG), Silicon(CONFIG)
        members = self.memories.signature.members
        super().__init__({**members, "silicon": Out(members["sums"].shape)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memories = self.memories
        m.submodules.registers = self.registers
        for name in ("at", "read", "write", "totals"):
            given = getattr(self, name)
            m.d.comb += [
                getattr(self.memories, name).eq(given),
                getattr(self.registers, name).eq(given),
            ]
        m.d.comb += [self.sums.eq(self.memories.sums), self.silicon.eq(self.registers.sums)]
        return m


def bench():
    b = Bench(Both())
    b.assume(b.at & (b.at - 1) == 0)
    b.assume(b.read & ~b.at == 0)
    row = b.constant(range(ROWS), "row")
    b.drive(f"memories.tick_{TICK}.ghost_address", row, "watched")
    bits = CONFIG.accumulator_bits
    held = b.inside(f"memories.tick_{TICK}.ghost_data", bits)
    registers = Array(b.inside(f"registers.sum_{TICK}_{r}", bits) for r in range(ROWS))
    b.check(held == registers[row])
    b.check(b.sums[TICK] == b.silicon[TICK], (b.at == 0) | b.at.bit_select(row, 1))
    return b


def test_silicon_has_the_rows_that_are_simulated():
    prove(bench(), "event_rows", depth=4, induction=1)


@pytest.mark.parametrize(
    "edit",
    [
        fault("assign there = | at;", "assign there = 1'h1;"),
        fault("| at[3:2]", "at[3]"),
        fault("= write[1] & at[0];", "= write[1];"),
        fault("read[2] ? sum_1_2 ", "read[2] ? sum_1_3 "),
    ],
    ids=[
        "no row is written",
        "a bit of the address",
        "a write to another row",
        "another row is read",
    ],
)
def test_a_fault_is_seen(edit):
    refute(bench(), "event_rows", edit, depth=4, induction=1)
