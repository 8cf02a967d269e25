"""Neurons of the event machine, whose leak, reset and start are told by layer: any share, any potential.

The leak is a product, (share u + carry) >> 8, which no solver here finds equal to its sum of digits. So it is proven
in parts, each alone, for all values, at 24 bits and four ticks, in both pipelines:

- digits, from the share: the sum of d[k] 4^k is the share; `rounds` is the carry plus the 4^k of each d[k] < 1; `prepares` is
  the carry plus twice those, plus what makes the complement of the threshold the level's negative, times 256 or the share;
- terms, from digits: term k is d[k] u, less 1 where d[k] < 1;
- the total, from terms: what rounds, or instead of it what is owed where the neuron fired, the current, and each term times
  4^k. Its bits from the 8th on are the potential;
- what is owed: the total of a tick whose potential, or current, is the complement of the threshold, with `prepares`;
- what a tick does with it: where it starts, whether it fires, what is left;
- the pipeline: each tick gets its own current, and its spike comes out with those of the same neuron. That the neuron fired
  stands beside what is left of it.

Together: 256 u' + rest = share u + carry + 256 current, less share level, or 256 level, where the neuron fired and its
reset is no reset to zero. rest is 0 to 255, since each -1 of a term is a one that rounds. That step is arithmetic, and no solver's.
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
WIDTH = BITS + UNIT_BITS
ROUNDS, PREPARES = UNIT_BITS + 2, UNIT_BITS + 3  # bits of what rounds
OFFSET = 1 << BITS  # of each term
OFFSETS = sum(OFFSET << 2 * k for k in range(DIGITS))
PLACES = [(k, t) for k in range(CONFIG.lifs) for t in range(TICKS)]
"""A pipeline, and a tick in it."""


def in_lane(k: int, name: str) -> str:
    """The name of a signal of a pipeline."""
    return f"lane_{k}_{name}" if k else name


def digits_of(b: Bench) -> list:
    """The digits that the unit holds, from the lowest."""
    held = b.inside("digits", data.ArrayLayout(TERM, DIGITS))
    return [held[k] for k in range(DIGITS)]


def numbers_bench() -> Bench:
    """Digits, and what rounds."""
    b = Bench(Lif(CONFIG))
    b.assume(b.neuron.share <= UNIT)
    share, carry = b.past(b.neuron.share, "share"), b.past(b.neuron.carry, "carry")
    late, subtract = b.past(b.neuron.late, "late"), b.past(b.neuron.subtract, "subtract")
    above = b.past(b.neuron.above, "above")
    digits = digits_of(b)
    rounds, prepares = b.inside("rounds", ROUNDS), b.inside("prepares", PREPARES)
    found, ones = 0, 0
    for k, digit in enumerate(digits):
        size = digit.one + (digit.two << 1) - digit.minus
        found = found + (size << 2 * k)
        ones = ones + ((size < 1) << 2 * k)
        b.check(digit.one + digit.two + digit.minus <= 1)
    b.check(found == share, b.started())
    b.check(rounds == carry + ones, b.started())
    factor = Mux(late, UNIT, Mux(subtract, share, 0))
    b.check(prepares == carry + 2 * ones + factor * (above + 1), b.started())
    return b


def current_of(b: Bench, k: int, t: int) -> Value:
    """What tick t adds, in the stage in which it does."""
    return b.inside(in_lane(k, f"sum_{t}_in_{t}"), signed(BITS)) if t else b.sums[k][0]


def terms_bench() -> Bench:
    """Terms, in any state whose digits are some: that they are is part of `numbers_bench`."""
    b = Bench(Lif(CONFIG))
    for lane, t in PLACES:
        u = b.inside(in_lane(lane, f"before_{t}"), signed(BITS))
        for k, digit in enumerate(digits_of(b)):
            size, wanted = (
                Signal(signed(BITS + 1), name=f"{name}_{lane}_{t}_{k}")
                for name in ("size", "wanted")
            )
            b.m.d.comb += size.eq(Mux(digit.two, u << 1, Mux(digit.one, u, 0)))
            b.m.d.comb += wanted.eq(
                Mux(digit.minus, ~u, Mux(digit.two | digit.one, size, -1))  # ~u = -u - 1
            )
            b.assume(digit.one + digit.two + digit.minus <= 1)
            term = b.inside(in_lane(lane, f"u_{t}_term_{k}"), BITS + 1)
            b.check(term == (wanted.as_unsigned() ^ OFFSET))
    return b


def fired_of(b: Bench, k: int, t: int) -> Value:
    """Whether the neuron of which tick t left its potential fired then; t = -1: in the round before."""
    if t < 0:
        return b.carried & b.fired_before[k]
    return b.inside(in_lane(k, f"fired_{t}"), t + 1)[t]


def total_bench(lane: int, t: int) -> Bench:
    """The total of a tick, in any state. Offsets of terms, so that none is negative, are taken away at once."""
    b = Bench(Lif(CONFIG))
    assert -OFFSETS % (1 << PREPARES) == 0  # so that | is +
    rounds = b.inside("rounds", ROUNDS) | -OFFSETS % (1 << WIDTH)
    first, current = Mux(fired_of(b, lane, t - 1), b.inside("owed", WIDTH), rounds), 0
    if lane == t == 0:
        twice = b.inside("prepares", PREPARES) | -2 * OFFSETS % (1 << WIDTH)
        first = Mux(b.prepare, twice, first)
        current = Mux(b.neuron.late, ~b.threshold, 0)
        current = Mux(b.prepare, current, current_of(b, lane, t))
    else:
        current = current_of(b, lane, t)
    total = first + (current << UNIT_BITS)
    for k in range(DIGITS):
        total = total + (b.inside(in_lane(lane, f"u_{t}_term_{k}"), BITS + 1) << 2 * k)
    b.check(b.inside(in_lane(lane, f"u_{t}_total"), WIDTH) == total[:WIDTH])
    return b


def owed_bench() -> Bench:
    """What is owed is the total of the cycle that prepares, and stays."""
    b = Bench(Lif(CONFIG))
    owed, total = b.inside("owed", WIDTH), b.inside("u_0_total", WIDTH)
    prepared = b.past(b.prepare, "prepared")
    b.check(owed == Mux(prepared, b.past(total, "total"), b.past(owed, "owed")), b.started())
    return b


def potential_of(b: Bench, k: int, t: int) -> Value:
    """Of tick t, before its reset."""
    return b.inside(in_lane(k, f"u_{t}_total"), WIDTH)[UNIT_BITS:].as_signed()


def decision_bench() -> Bench:
    """Where ticks start and whether they fire, in any state."""
    b = Bench(Lif(CONFIG))
    half = Mux(b.neuron.start, (b.threshold - b.neuron.above) >> 1, 0)
    for k, t in PLACES:
        start = Signal(signed(BITS), name=f"spec_start_{k}_{t}")
        begins = b.potentials[k][t - 1] if t else Mux(b.carried, b.before[k], half)
        if k == t == 0:
            begins = Mux(b.prepare, Mux(b.neuron.subtract, ~b.threshold, 0), begins)
        b.m.d.comb += start.eq(begins)
        b.check(b.inside(in_lane(k, f"before_{t}"), signed(BITS)) == start)
        fires = b.inside(in_lane(k, f"fires_{t}"))
        b.check(fires == (potential_of(b, k, t) >= b.threshold))
    return b


def reset_bench() -> Bench:
    """What is left of a neuron that is in the stage, a cycle later, and beside it whether it fired."""
    b = Bench(Lif(CONFIG))
    for k, t in PLACES:
        fires = b.inside(in_lane(k, f"fires_{t}"))
        left = Signal(signed(BITS), name=f"spec_left_{k}_{t}")
        owes = b.neuron.subtract | b.neuron.late
        b.m.d.comb += left.eq(Mux(fires & ~owes, 0, potential_of(b, k, t)))
        valid = b.inside(in_lane(k, f"valid_{t}")) if t else b.valid[k]
        here = b.past(valid, f"here_{k}_{t}")
        left_before = b.past(left, f"left_{k}_{t}")
        b.check(b.potentials[k][t] == left_before, here & b.started())
        fired = b.spikes[k][t] if t == TICKS - 1 else fired_of(b, k, t)
        b.check(fired == b.past(fires, f"did_fire_{k}_{t}"), here & b.started())
    return b


def pipeline_bench() -> Bench:
    """Each tick's current is its own, and its spike that of the neuron which came `TICKS` cycles ago."""
    b = Bench(Lif(CONFIG))
    for k, t in PLACES:
        valid = b.valid[k]
        whole = b.past(valid, f"whole_{k}_{t}", TICKS) & b.started(TICKS)
        if t:
            here = b.past(valid, f"valid_{k}_{t}", t)
            inside = b.inside(in_lane(k, f"valid_{t}"))
            b.check(inside == here, b.started(t))
            given = b.past(b.sums[k][t], f"sum_{k}_{t}", t)
            b.check(current_of(b, k, t) == given, here & b.started(t))
        fires = b.inside(in_lane(k, f"fires_{t}"))
        b.check(b.spikes[k][t] == b.past(fires, f"fired_{k}_{t}", TICKS - t), whole)
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
    **{
        f"total_{k}_{t}": Part(partial(total_bench, k, t), depth=1, any_state=True)
        for k, t in PLACES
    },
    "owed": Part(owed_bench, depth=2, induction=1),
    "decision": Part(decision_bench, depth=1, any_state=True),
    "reset": Part(reset_bench, depth=2, induction=1),
    "pipeline": Part(pipeline_bench, depth=TICKS + 2, induction=TICKS + 1),
}


@pytest.mark.parametrize("name", PARTS)
def test_told(name):
    how = PARTS[name]
    prove(how.make(), f"told_{name}", **how.cycles)


FAULTS = {
    "the highest digit sees one bit": ("digits", fault("= neuron[8] | {w} ;", "= neuron[8];")),
    "the complement of the second digit's term is one less": (
        "digits",
        fault("= neuron[16:9] + { {w} , 1'h0, {w} ,", "= neuron[16:9] + { {1} , 1'h0, 1'h0,"),
    ),
    "the level is the threshold, whatever is told": (
        "digits",
        fault("= neuron[19] ?", "= 1'h0 ?"),
    ),
    "twice a potential is once": (
        "terms",
        fault("= { potentials[23:0], 1'h0 };", "= { potentials[23], potentials[23:0] };", count=5),
    ),
    "a current counts half": (
        "total_0_0",
        fault("prepare ? {w} : sums[23:0];", "prepare ? {1} : sums[23:1];"),
    ),
    "a reset takes away whether it fired or not": (
        "total_0_1",
        fault("= fired_0 ? owed :", "= 1'h1 ? owed :"),
    ),
    "the other pipeline's neurons owe what the first one's do": (
        "total_1_0",
        fault("= carried & fired_before[1];", "= carried & fired_before[0];"),
    ),
    "what is owed is any total": ("owed", fault("if (prepare) begin", "if (1'h1) begin")),
    "fires above the threshold only": (
        "decision",
        fault("{w} [31:8]) >= $signed(threshold);", "{1} [31:8]) > $signed(threshold);", count=8),
    ),
    "a potential starts at the level": (
        "decision",
        fault("= neuron[18] ? {w} :", "= neuron[18] ? $signed(threshold) :", count=2),
    ),
    "a reset by subtraction is one to zero": (
        "reset",
        fault("= neuron[17] | neuron[20];", "= neuron[20];", count=8),
    ),
    "a late reset is one to zero": (
        "reset",
        fault("= neuron[17] | neuron[20];", "= neuron[17];", count=8),
    ),
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
