"""Event machine: what a PE is at ends. A tap, the taps of a slice, a tile that leaves, the visits of a layer's tiles.

Together with test_event_progress.py, that each of them goes on: none lasts for ever.
"""

import pytest
from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from formal.bench import Bench
from formal.event import CONFIG
from formal.prove import fault, prove, refute
from hw.config import MAX_SIDE
from hw.control import tile_layout
from hw.event.drain import Drain
from hw.event.issue import Issue
from hw.event.leaving import Leaving
from hw.event.rounds import Visits
from hw.event.taps import TAPS
from hw.geometry import Geometry, extent
from hw.program import layer_layout
from hw.widths import BLOCK_BITS, ROUND_BITS

SIDE = CONFIG.tile_side
LATENCY = Drain.latency(CONFIG)
MOST = SIDE * -(-SIDE // CONFIG.lifs) + LATENCY + 1
"""Cycles until a tile has left."""


def work() -> Bench:
    """A tap's positions become fewer in each cycle, and a slice's taps with each tap. Of any slices."""
    b = Bench(Issue(CONFIG))
    mask, rest = b.inside("mask", CONFIG.positions), b.inside("taps_left", TAPS)
    mask_before, rest_before = b.past(mask, "mask"), b.past(rest, "rest")
    same_tap = b.past(b.working & ~b.take & ~b.pop, "same_tap")
    same_slice = b.past(b.working & b.take & b.more, "same_slice")
    b.check(b.working & (mask & ~mask_before == 0) & (mask != mask_before), same_tap)
    b.check(b.working & (rest & ~rest_before == 0) & (rest != rest_before), same_slice)
    b.check(b.inside("last_tap") == (rest == 0), b.working)  # for the induction
    return b


def tile() -> Bench:
    """A tile has left after MOST cycles, if its word is taken at once. `tiles` proves that it has rows and columns."""
    b = Bench(Leaving(CONFIG))
    b.cut("drain.lif")
    given = b.ports["tile"]
    for side in (given.height, given.width):
        b.assume((side >= 1) & (side <= SIDE))
    b.assume(~b.close | ~b.busy)  # test_event_progress.py
    b.assume(b.output__ready)
    age = Signal(range(MOST + 2), name="age")
    b.m.d.sync += age.eq(Mux(b.close, 1, age + 1))
    b.check(age <= MOST, b.busy)
    # For the induction.
    held = b.inside("leaving", tile_layout(CONFIG))
    lifs, bits = CONFIG.lifs, CONFIG.lifs + 1 + 2 * (SIDE.bit_length() - 1)
    passing = [b.inside(f"drain.passing_{k}", bits)[lifs] for k in range(1, LATENCY + 1)]
    across = -(-SIDE // lifs)
    for side in (held.height, held.width):
        b.check((side >= 1) & (side <= SIDE), b.busy)
    b.check(b.busy, b.running | Cat(passing).any() | b.output__valid)
    b.check(b.running | Cat(passing).any() | b.output__valid, b.busy)
    b.check((b.y < held.height) & (b.x < held.width), b.running)
    b.check(b.x[0] == 0, b.running & (lifs == 2))
    b.check(age <= 1 + b.y * across + (b.x >> (lifs - 1)), b.running)
    for k, last in enumerate(passing):
        b.check(age <= SIDE * across + 1 + k, last)
        b.check(~b.running & ~Cat(passing[:k]).any(), last)
    b.check(~b.running & ~Cat(passing).any(), b.output__valid)
    b.check(age <= MOST, b.output__valid)
    return b


class Tiles(wiring.Component):
    """What PE and caster make of a layer: its tiles and rounds, and how large a tile is."""

    def __init__(self):
        side = In(SIDE.bit_length()).flip()
        super().__init__(
            {
                "layer": In(layer_layout(CONFIG)),
                "layer_start": In(1),
                "step": In(1),
                "y": Out(BLOCK_BITS),
                "x": Out(BLOCK_BITS),
                "down": Out(BLOCK_BITS),
                "across": Out(BLOCK_BITS),
                "mask": Out(2),
                "last": Out(1),
                "height": side,
                "width": side,
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.geometry = geometry = Geometry(CONFIG)
        m.submodules.visits = visits = Visits(CONFIG)
        o = geometry.o
        m.d.comb += [
            geometry.layer.eq(self.layer),
            visits.geometry.eq(o),
            visits.layer_start.eq(self.layer_start),
            visits.more_rounds.eq(self.layer.more_rounds),
            visits.step.eq(self.step),
            self.y.eq(visits.y),
            self.x.eq(visits.x),
            self.down.eq(o.blocks_down),
            self.across.eq(o.blocks),
            self.mask.eq(o.sub_mask),
            self.last.eq(visits.last),
            self.height.eq(extent(o.height, o, visits.y)),
            self.width.eq(extent(o.width, o, visits.x)),
        ]
        return m


def tiles() -> Bench:
    """A visit has a tile of the map, with rows and columns; each comes later in an order than the one before, up to the last.

    Of any layer that the loader takes, which comes with `layer_start` and stays; the first visit ends some cycles later.
    """
    b = Bench(Tiles())
    layer, start = b.layer, b.layer_start
    b.assume((layer.side >= 1) & (layer.side <= MAX_SIDE))
    b.assume(start | (Cat(layer) == b.past(Cat(layer), "layer")))
    began, ready = Signal(name="began"), Signal(name="ready")
    b.m.d.sync += [began.eq(start | began), ready.eq(began & ~start)]
    b.assume(~b.step | (ready & ~start))
    number = b.inside("visits.number", ROUND_BITS)
    mask = Cat(b.mask, Const(0, BLOCK_BITS - 2))
    key = Cat(number, b.x & mask, b.y & mask, b.x & ~mask, b.y & ~mask)
    before = b.past(key, "key")
    goes_on = b.past(b.step & ~b.last & ~start, "goes_on")
    b.check(key > before, goes_on & ~start)
    inside = (b.y <= b.down) & (b.x <= b.across) & (number <= layer.more_rounds)
    b.check(inside, ready & ~start)
    for side in (b.height, b.width):
        b.check((side >= 1) & (side <= SIDE), ready & ~start)
    # For the induction.
    b.check((b.y == 0) & (b.x == 0) & (number == 0), began & ~ready)
    names = ("end_y", "end_x", "more_y", "more_x")
    end_y, end_x, more_y, more_x = (b.inside(f"visits.tiles.{name}") for name in names)
    settled = ready & ~start
    b.check(end_y == (b.y == b.down), settled)
    b.check(end_x == (b.x == b.across), settled)
    b.check(more_y == (((b.y & mask) != mask) & (b.y != b.down)), settled)
    b.check(more_x == (((b.x & mask) != mask) & (b.x != b.across)), settled)
    return b


PROOFS = {"work": work, "tile": tile, "tiles": tiles}
FAULTS = {
    "work: a tap's positions stay": fault(
        "if (working) begin {w} = rest;", "if (working) begin {1} = masks;"
    ),
    "work: a slice's taps start over": fault("more ? taps_left :", "1'h0 ? taps_left :"),
    "tile: a narrow one has no last row": fault(
        "assign last = {w} & {w} ;", "assign last = {1} & {2} & x[1];"
    ),
    "tile: one without a word stays": fault("assign left = taken | {w} ;", "assign left = taken;"),
    "tiles: the first round comes again": fault("= number + 1'h1;", "= number;"),
    "tiles: a row goes on behind the map": fault("= ~ end_x;", "= 1'h1;"),
}


@pytest.mark.parametrize("name", PROOFS)
def test_it_ends(name):
    prove(PROOFS[name](), f"event_ends_{name}", depth=4, apart=True)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name):
    proof = name.partition(":")[0]
    refute(PROOFS[proof](), f"event_ends_{proof}", FAULTS[name], depth=4, apart=True)
