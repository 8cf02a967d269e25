"""The counters of a PE: its cycles, whatever it does and whatever comes in, sum to the layer's.

In every cycle exactly one account is chosen, and each account counts exactly its choices, in 32 bits; so
their sum counts the cycles. The sum itself is checked too, modulo 16: no solver likes sums of six.
"""

import pytest
from amaranth import Const, Signal, Value

from formal.bench import Bench
from formal.prove import fault, prove, refute
from hw.config import PRESETS
from hw.counters import BEATS, COUNTER_BITS, COUNTERS, CYCLES
from hw.pe import PE

CONFIG = PRESETS["tiny"]
LOW = 4  # bits of the sum
FAULTS = {
    "waiting for words counts as waiting at the barrier": fault(
        "assign {w} = stall_load + cycle[2];", "assign {1} = stall_load + cycle[1];"
    ),
    "a PE that is done counts nothing": fault(
        "end else if (done) begin cycle = {", "end else if (done) begin cycle = 0 & {"
    ),
    "the cycle of the capture is lost": fault(
        "{w} [191:160] = {w} [31:0];", "{1} [191:160] = stall_load;"
    ),
}


def bench() -> Bench:
    """A PE with any inputs. `counting` is high from a layer's start to `capture`, which ends it."""
    b = Bench(PE(CONFIG))
    b.assume(~b.capture | b.counting)
    chosen = b.inside("counters.cycle", len(CYCLES))
    b.check(sum(chosen[k] for k in range(len(CYCLES))) == 1)
    started = b.started()
    counting, capture = b.past(b.counting, "counting"), b.past(b.capture, "capture")
    chain = b.inside("counters.chain", BEATS * 64)
    total: Value = Const(0, LOW)
    for k, name in enumerate(CYCLES):
        count = b.inside(f"counters.{name}", COUNTER_BITS)
        before = b.past(count, name)
        with_this = Signal(COUNTER_BITS, name=f"{name}_with_this")
        b.m.d.comb += with_this.eq(before + b.past(chosen[k], f"{name}_chosen"))
        b.check(count == with_this, started & counting & ~capture)
        b.check(count == before, started & ~counting)
        b.check(count == 0, started & capture)
        sent = chain.word_select(COUNTERS.index(name), COUNTER_BITS)
        b.check(sent == with_this, started & capture & ~b.past(b.shift, f"{name}_shift"))
        total = (total + count[:LOW])[:LOW]
    cycles = Signal(LOW, name="cycles")
    with b.m.If(b.capture):
        b.m.d.sync += cycles.eq(0)
    with b.m.Elif(b.counting):
        b.m.d.sync += cycles.eq(cycles + 1)
    b.check(total == cycles)
    return b


def test_cycles_sum():
    prove(bench(), "counters", depth=3, induction=2)


@pytest.mark.parametrize("name", FAULTS)
def test_cycles_sum_fault(name):
    refute(bench(), "counters", FAULTS[name], depth=3)
