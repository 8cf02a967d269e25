"""The accumulators: no sweep, of any shape after any other, reads a sum before it was written.

Read, add, write take three cycles, and a position may come again in the next sweep. One position, any
one, is watched; whatever sweeps come, of 1x1 to a whole tile, its sum is what it would be if every
addition were done at once.
"""

from dataclasses import replace

import pytest
from amaranth import Mux, Signal, signed

from formal.accumulate import Accumulate
from formal.bench import Bench
from formal.prove import fault, prove, refute
from hw.config import PRESETS
from hw.lane import step_layout

SAFE = 3  # cycles from a position's visit to its next
FAULTS = {
    "a sweep ends a cycle before the minimum": fault(
        "assign {w} = age == 2'h3;", "assign {1} = age >= 2'h1;"
    ),
    "the gate lets every weight through": fault(
        "adding[4] ? adding[23:8] : 16'h0000", "adding[23:8]"
    ),
}


def config_of(side):
    return replace(PRESETS["tiny"], ticks=1, tile_side=side)


def bench(config) -> Bench:
    """Sweeps follow each other as soon as they may, or later. Steps are anything in every cycle."""
    b = Bench(Accumulate(config))
    m, side, bits = b.m, config.tile_side, config.accumulator_bits
    for extent in (b.height, b.width):
        b.assume((extent >= 1) & (extent <= side))
    b.assume(~b.start | ~b.running | b.last)
    for name, extent in (("height", b.height), ("width", b.width)):
        was_started = b.past(b.start, f"{name}_started")
        running_on = b.past(b.running & ~b.last, f"{name}_running_on")
        b.assume(~(running_on & ~was_started) | (extent == b.past(extent, name)))

    # --- what the watched position holds ---
    y, x = b.constant(len(b.y), "watched_y"), b.constant(len(b.x), "watched_x")
    visit = b.valid & (b.y == y) & (b.x == x)
    step = b.step
    spec = Signal(signed(bits), name="spec")
    with m.If(visit & step.accumulate):
        start = Mux(step.opening, step.bias, spec)
        m.d.sync += spec.eq(start + Mux(step.spikes[0], step.weight, 0))
    reads = visit & (step.drain | step.spikes[0])
    b.check(b.sums[0] == b.past(spec, "spec"), b.past(reads, "reads"))
    address = b.inside("lanes.writing_address", 2 * len(b.y))
    watched = Signal(2 * len(b.y), name="watched")
    m.d.comb += watched.eq((y << len(b.x)) | x)
    in_write = b.inside("lanes.writing_0") & (address == watched)
    b.check(~in_write, visit)  # hw/sram.py: what is read of a row while it is written is never used

    # --- what is true in every state that can be reached, for the induction ---
    since = Signal(range(SAFE + 1), init=SAFE, name="since")  # the last visit
    with m.If(visit):
        m.d.sync += since.eq(1)
    with m.Elif(since != SAFE):
        m.d.sync += since.eq(since + 1)
    at, here = Signal(8, name="at"), Signal(8, name="here")
    age, resting = b.inside("sweep.age", 2), b.inside("sweep.resting")
    positions = Signal(8, name="positions")
    m.d.comb += [
        at.eq(y * b.width + x),
        here.eq(b.y * b.width + b.x),
        positions.eq(b.height * b.width),
    ]
    inside = (y < b.height) & (x < b.width)

    def at_least(cycles, when):
        b.check((since == SAFE) | (since >= cycles), when)

    b.check((b.y < b.height) & (b.x < b.width), b.valid)
    b.check(age == Mux(here < 3, here, 3), b.valid)
    b.check((positions <= 3) & (age >= positions), b.running & resting)
    b.check(b.valid == (b.running & ~resting))
    b.check(since + at - here >= SAFE, b.valid & inside & (here <= at))
    at_least(here - at, b.valid & inside & (here > at))
    at_least(age - at, b.running & resting & inside)
    at_least(here + 1, b.valid & ~inside)
    at_least(age + 1, b.running & resting & ~inside)
    at_least(SAFE - 1 - (y * (x + 1) + x), ~b.running)

    adding = b.inside("lanes.adding", step_layout(config))
    total = b.inside("lanes.total_0", signed(bits))
    in_add = b.inside("lanes.changes_0") & (adding.y == y) & (adding.x == x)
    b.drive("lanes.accumulators_0.ghost_address", watched, "watched_address")
    held = b.inside("lanes.accumulators_0.ghost_data", signed(bits))
    b.check(since == 1, in_add)
    b.check(since == 2, in_write)
    started = Mux(adding.opening, adding.bias, b.sums[0])
    now = Signal(signed(bits), name="now")
    m.d.comb += now.eq(started + Mux(adding.spikes[0], adding.weight, 0))
    b.check(spec == now, in_add)
    b.check(spec == total, in_write)
    b.check(spec == held, ~in_add & ~in_write)
    return b


@pytest.mark.parametrize("side", [4, 8])
def test_no_hazard(side):
    prove(bench(config_of(side)), f"accumulate_{side}", depth=8, induction=2)


@pytest.mark.parametrize("name", FAULTS)
def test_no_hazard_fault(name):
    refute(bench(config_of(4)), "accumulate", FAULTS[name], depth=8)
