"""Neurons of the event machine, whose leak, reset and start are told by layer: any share, any potential.

The leak is a product, (share u + carry) >> 8, which no solver here finds equal to its sum of Booth's digits. So it is proven
in parts, each alone, for all values, at 24 bits and four ticks:

- digits, from the share: the sum of d[k] 4^k is the share, and what rounds is the carry plus the 4^k of each d[k] < 0;
- terms, from digits: term k is d[k] u, less 1 where d[k] < 0;
- the total, from terms: what rounds, the current, the level as its complement and one where it is owed, and each term times
  4^k. Its bits from the 8th on are the potential;
- what a tick does with it: where it starts, what it is above the level, whether it fires, what is left;
- the pipeline: each tick gets its own current, and its spike comes out with those of the same neuron. That the neuron fired
  stands beside what is left of it.

Together: 256 u' + rest = share u + carry + 256 (current - owed), where rest is 0 to 255, since each -1 of a term is a one that
rounds. That step is arithmetic, and no solver's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from amaranth import Mux, Signal, Value, signed
from amaranth.lib import data

from formal.bench import Bench
from formal.prove import fault, prove, refute
from hw.config import Config
from hw.lif import Lif
from hw.neuron import UNIT
from hw.told import DIGITS, TERM, UNIT_BITS

CONFIG = Config(machine="event")
BITS, TICKS = CONFIG.accumulator_bits, CONFIG.ticks
ROUNDS = UNIT_BITS + 3  # bits of what rounds
OFFSET = 1 << BITS  # of each term


def digits_of(b: Bench) -> list:
    """The digits that the unit holds, from the lowest."""
    held = b.inside("digits", data.ArrayLayout(TERM, DIGITS))
    return [held[k] for k in range(DIGITS)]


def numbers_bench() -> Bench:
    """Digits, and what rounds."""
    b = Bench(Lif(CONFIG))
    b.assume(b.neuron.share <= UNIT)
    share, carry = b.past(b.neuron.share, "share"), b.past(b.neuron.carry, "carry")
    digits, rounds = digits_of(b), b.inside("rounds", ROUNDS)
    found, ones = 0, 0
    for k, digit in enumerate(digits):
        size = digit.one + (digit.two << 1)
        found = found + (Mux(digit.minus, -size, size) << 2 * k)
        ones = ones + (digit.minus << 2 * k)
        b.check(~(digit.one & digit.two))
    b.check(found == share, b.started())
    b.check(rounds == carry + ones, b.started())
    return b


def current_of(b: Bench, t: int) -> Value:
    """What tick t adds, in the stage in which it does."""
    return b.inside(f"sum_{t}_in_{t}", signed(BITS)) if t else b.sums[0]


def terms_bench() -> Bench:
    """Terms, in any state whose digits are some: that they are is part of `numbers_bench`."""
    b = Bench(Lif(CONFIG))
    for t in range(TICKS):
        u = b.inside(f"before_{t}", signed(BITS))
        for k, digit in enumerate(digits_of(b)):
            size, wanted = (
                Signal(signed(BITS + 1), name=f"{name}_{t}_{k}") for name in ("size", "wanted")
            )
            b.m.d.comb += size.eq(Mux(digit.two, u << 1, Mux(digit.one, u, 0)))
            b.m.d.comb += wanted.eq(Mux(digit.minus, ~size, size))  # ~x = -x - 1
            b.assume(~(digit.one & digit.two))
            term = b.inside(f"u_{t}_term_{k}", BITS + 1)
            b.check(term == (wanted.as_unsigned() ^ OFFSET))
    return b


def fired_of(b: Bench, t: int) -> Value:
    """Whether the neuron of which tick t left its potential fired then; t = -1: in the round before."""
    return b.inside(f"fired_{t}", t + 1)[t] if t >= 0 else b.carried & b.fired_before


def total_bench(t: int) -> Bench:
    """The total of tick t, in any state. Offsets of terms, so that none is negative, are taken away at once."""
    b = Bench(Lif(CONFIG))
    width = BITS + UNIT_BITS
    offsets = sum(OFFSET << 2 * k for k in range(DIGITS))
    assert -offsets % (1 << ROUNDS) == 0  # so that | is +
    level, owes = level_of(b), fired_of(b, t - 1) & b.neuron.late
    taken = Mux(owes, ~level, 0)[:BITS]
    b.check((taken + owes)[:BITS] == (-Mux(owes, level, 0))[:BITS])
    total = b.inside("rounds", ROUNDS) | -offsets % (1 << width)
    total = total + (current_of(b, t) << UNIT_BITS)
    total = total + (taken << UNIT_BITS) + (owes << UNIT_BITS)
    for k in range(DIGITS):
        total = total + (b.inside(f"u_{t}_term_{k}", BITS + 1) << 2 * k)
    b.check(b.inside(f"u_{t}_total", width) == total[:width])
    return b


def held_by_its_layer(b: Bench, bits: int) -> Value:
    """Neuron and threshold are anything, and stay; the threshold."""
    threshold = b.constant(signed(bits), "fixed_threshold")
    code = b.constant(len(Value.cast(b.neuron)), "fixed_neuron")
    b.assume((b.threshold == threshold) & (Value.cast(b.neuron) == code))
    return threshold


def potential_of(b: Bench, t: int) -> Value:
    """Of tick t, before its reset."""
    return b.inside(f"u_{t}_total", BITS + UNIT_BITS)[UNIT_BITS:].as_signed()


def over_of(b: Bench, t: int) -> Value:
    """What the potential of tick t is above the level."""
    return b.inside(f"u_{t}_over", signed(BITS + 2))


def level_of(b: Bench) -> Value:
    """What a reset takes away, unless it is to zero."""
    level = Signal(signed(BITS + 1), name="spec_level")
    b.m.d.comb += level.eq(b.threshold - b.neuron.above)
    return level


def difference_bench() -> Bench:
    """What a potential is above the level, in any state."""
    b = Bench(Lif(CONFIG))
    level = level_of(b)
    for t in range(TICKS):
        b.check(over_of(b, t) == potential_of(b, t) - level)
    return b


def decision_bench() -> Bench:
    """Where ticks start and whether they fire, in any state: u >= threshold is u - level >= above."""
    b = Bench(Lif(CONFIG))
    start = Signal(signed(BITS), name="spec_start")
    half = Mux(b.neuron.start, level_of(b) >> 1, 0)
    b.m.d.comb += start.eq(Mux(b.carried, b.before, half))
    for t in range(TICKS):
        b.check(b.inside(f"before_{t}", signed(BITS)) == (b.potentials[t - 1] if t else start))
        b.check(b.inside(f"fires_{t}") == (over_of(b, t) >= b.neuron.above))
    return b


def reset_bench() -> Bench:
    """What is left of a neuron that is in the stage, a cycle later, and beside it whether it fired."""
    b = Bench(Lif(CONFIG))
    for t in range(TICKS):
        left = Signal(signed(BITS), name=f"spec_left_{t}")
        reset = Mux(b.neuron.subtract, over_of(b, t), 0)
        late = Mux(b.neuron.late, potential_of(b, t), reset)
        b.m.d.comb += left.eq(Mux(b.inside(f"fires_{t}"), late, potential_of(b, t)))
        here = b.past(b.inside(f"valid_{t}") if t else b.valid, f"here_{t}")
        b.check(b.potentials[t] == b.past(left, f"left_{t}"), here & b.started())
        fired = b.spikes[t] if t == TICKS - 1 else fired_of(b, t)
        b.check(fired == b.past(b.inside(f"fires_{t}"), f"did_fire_{t}"), here & b.started())
    return b


def pipeline_bench() -> Bench:
    """Each tick's current is its own, and its spike that of the neuron which came `TICKS` cycles ago."""
    b = Bench(Lif(CONFIG))
    whole = b.past(b.valid, "whole", TICKS) & b.started(TICKS)
    for t in range(TICKS):
        if t:
            here = b.past(b.valid, f"valid_{t}", t) & b.started(t)
            b.check(b.inside(f"valid_{t}") == b.past(b.valid, f"was_valid_{t}", t), b.started(t))
            b.check(current_of(b, t) == b.past(b.sums[t], f"sum_{t}", t), here)
        fired = b.past(b.inside(f"fires_{t}"), f"fired_{t}", TICKS - t)
        b.check(b.spikes[t] == fired, whole)
    return b


@dataclass(frozen=True)
class Part:
    """How a bench is proven."""

    make: Callable[[], Bench]
    depth: int
    induction: int | None = None
    any_state: bool = False

    @property
    def cycles(self) -> dict[str, Any]:
        """Arguments of `prove`."""
        return {"depth": self.depth, "induction": self.induction, "any_state": self.any_state}


PARTS = {
    "digits": Part(numbers_bench, depth=3, induction=1),
    "terms": Part(terms_bench, depth=1, any_state=True),
    **{f"total_{t}": Part(partial(total_bench, t), depth=1, any_state=True) for t in range(TICKS)},
    "difference": Part(difference_bench, depth=1, any_state=True),
    "decision": Part(decision_bench, depth=1, any_state=True),
    "reset": Part(reset_bench, depth=2, induction=1),
    "pipeline": Part(pipeline_bench, depth=TICKS + 2, induction=TICKS + 1),
}


@pytest.mark.parametrize("name", PARTS)
def test_told(name):
    how = PARTS[name]
    prove(how.make(), f"told_{name}", **how.cycles)


FAULTS = {
    "the highest digit sees one bit": ("digits", fault("= | neuron[8:7];", "= neuron[8];")),
    "what is taken away is one less": (
        "digits",
        fault("recode[5], 1'h0, recode[2] }", "recode[5], 1'h0, 1'h0 }"),
    ),
    "twice a potential is once": (
        "terms",
        fault("= { potentials[23:0], 1'h0 };", "= { potentials[23], potentials[23:0] };", count=5),
    ),
    "a current counts half": (
        "total_0",
        fault("sums[23:0], 8'h00 }", "sums[23], sums[23:1], 8'h00 }"),
    ),
    "firing at the level, never above it": (
        "decision",
        fault("= neuron[19] & ", "= 1'h0 & ", count=4),
    ),
    "the level is the threshold, whatever is told": (
        "difference",
        fault("$signed(threshold) - $signed({ 1'h0, neuron[19] })", "$signed(threshold)"),
    ),
    "a potential starts at an eighth": (
        "decision",
        fault("= { level[24], level[24:1] };", "= { {3{level[24]}}, level[24:3] };"),
    ),
    "a reset by subtraction takes half": (
        "reset",
        fault("neuron[17] ? u_2_over :", "neuron[17] ? u_2_over >>> 1 :"),
    ),
    "a late reset takes nothing": ("total_1", fault("= fired_0 & neuron[20];", "= 1'h0;")),
    "a late reset is one to zero": ("reset", fault("= ~ neuron[20];", "= 1'h1;", count=4)),
    "the third tick's current is the second's": (
        "pipeline",
        fault("= sums[71:48];", "= sums[47:24];", count=2),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name):
    part, edit = FAULTS[name]
    how = PARTS[part]
    refute(how.make(), f"told_{part}", edit, **how.cycles)
