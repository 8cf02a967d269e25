"""Every active position of a tap is added exactly once; the slice FIFO never over- or underflows.

A tap's masks hold its active positions, all and no others. A bank takes the lowest of its mask in each cycle, finds
that position's spikes in the slice, and leaves the rest: so each position is added once. Proven for any slice.
"""

from dataclasses import replace

import pytest
from amaranth import Array, Cat, Const, Mux, Signal, Value

from formal.bench import Bench
from formal.event import count, occupied
from formal.prove import fault, prove, refute
from hw.config import Config
from hw.event.fifo import END, SliceFifo
from hw.event.planes import place, slice_side
from hw.event.taps import TAPS, TapLookup, TapMasks
from hw.widths import KERNEL

CONFIG = Config(machine="event", tile_side=4, ticks=1, banks=4, fifo_depth=2)
EIGHT = replace(CONFIG, banks=8)
SIDE, WIDE, HALF = CONFIG.tile_side, slice_side(CONFIG), CONFIG.small_side


def start_of(tap: int) -> tuple[int, int]:
    """Row and column of a slice at which a tap's tile starts; a packed beat's channels are HALF + 1 apart."""
    sub, position = divmod(tap, KERNEL)
    return position // 3 + (HALF + 1) * (sub // 2), position % 3 + (HALF + 1) * (sub % 2)


def cell(spikes: Value, y: Value, x: Value) -> Value:
    """Whether a position of a slice is active; outside of it none is."""
    inside = (y < WIDE) & (x < WIDE)
    return inside & (spikes >> (y * WIDE + x))[0]


def masks_bench(config: Config) -> Bench:
    """Any slice and any taps. A packed beat has silent borders, and a tile of half a side."""
    b = Bench(TapMasks(config), clocked=False)
    tap = b.any(range(TAPS), "tap")  # the first
    b.assume((tap < TAPS) & (b.taps >> tap)[0] & ((b.taps & ((1 << tap) - 1)) == 0))
    border = [k * WIDE + j for k in (0, HALF + 1) for j in range(WIDE)]
    border += [j * WIDE + k for k in (0, HALF + 1) for j in range(WIDE)]
    packed = b.taps[KERNEL:].any()
    silent = ~Cat(b.spikes[k] for k in border).any()
    most = Mux(packed, HALF, SIDE)
    b.assume((b.height <= most) & (b.width <= most) & (~packed | silent))
    starts = Array(Cat(*(_bits(v) for v in start_of(k))) for k in range(TAPS))[tap]
    down, right = starts[:4], starts[4:8]
    b.check((b.start.down == down) & (b.start.right == right))
    b.check(b.rest == (b.taps & ~(1 << tap)))
    for y in range(SIDE):
        for x in range(SIDE):
            bank, row = place(config, y, x)
            wanted = (b.height > y) & (b.width > x) & cell(b.spikes, down + y, right + x)
            b.check(b.masks[bank][row] == wanted)
    return b


def _bits(value: int) -> Value:
    return Const(value, 4)


def lookup_bench(config: Config) -> Bench:
    """Any masks, slice and start: each bank's lowest position, what remains, and its spikes if the slice has it."""
    b = Bench(TapLookup(config), clocked=False)
    tap = b.any(range(TAPS), "tap")
    starts = Array(Cat(*(_bits(v) for v in start_of(k))) for k in range(TAPS))[tap]
    down, right = starts[:4], starts[4:8]
    b.assume((tap < TAPS) & (b.start.down == down) & (b.start.right == right))
    for bank in range(config.banks):
        mask, at = b.masks[bank], b.rows[bank]
        b.check(b.valid[bank] == mask.any())
        b.check(b.at[bank] == Mux(b.valid[bank], 1 << at, 0))
        b.check(b.rest[bank] == (mask & ~(1 << at)), b.valid[bank])
        b.check((mask >> at)[0] & ((mask & ((1 << at) - 1)) == 0), b.valid[bank])
        for y in range(SIDE):
            for x in range(SIDE):
                where, row = place(config, y, x)
                if where == bank:
                    here = b.valid[bank] & (at == row) & (down + y < WIDE) & (right + x < WIDE)
                    b.check(b.ticks[bank] == cell(b.spikes, down + y, right + x), here)
    return b


def fifo_bench() -> Bench:
    """Pushes where there is room, begins what is next, pops what was begun: as the PE does."""
    b = Bench(SliceFifo(CONFIG))
    depth, places = CONFIG.fifo_depth, SliceFifo.places(CONFIG)
    slices, order, begun = (Signal(4, name=name) for name in ("slices", "order", "begun"))
    b.assume(~b.push | Mux(b.what.is_end, b.end_room, b.room))
    b.assume(~b.begin | b.next_valid)
    b.assume(~b.pop | (begun != 0))
    b.assume(~b.begin | b.next_what.is_end | (begun == 0) | b.pop)  # one slice is at work
    push, begins = b.push & ~b.what.is_end, b.begin & ~b.next_what.is_end
    b.m.d.sync += [
        slices.eq(slices + push - b.pop),
        order.eq(order + b.push - b.begin),
        begun.eq(begun + begins - b.pop),
    ]
    b.check(slices <= depth)
    b.check(order <= places)
    b.check(begun <= slices)
    b.check(b.room == ((slices != depth) & (order != places)))
    b.check(b.end_room == (order != places))
    b.check(b.next_valid == (order != 0))
    # For the induction.
    head, tail = b.inside("order_head", 2), b.inside("order_tail", 2)
    rows = [b.inside(f"order.row_{k}", END) for k in range(places)]
    held = [occupied(k, head, order, places) & ~row.is_end for k, row in enumerate(rows)]
    b.check((b.inside("level", 2) == slices) & (b.inside("order_level", 3) == order))
    b.check((head + order)[:2] == tail)
    b.check((begun <= 1) & (slices == count(held) + begun))
    return b


FAULTS = {
    "the lowest tap stays": fault("assign rest = taps & {w} ;", "assign rest = taps;"),
}
FIFO_FAULTS = {
    "a slice too many": fault("= level != 2'h2;", "= level != 2'h3;"),
}


@pytest.mark.parametrize("config", [CONFIG, EIGHT], ids=["4-banks", "8-banks"])
def test_masks_hold_all_active_positions_and_no_others(config):
    prove(masks_bench(config), "event_masks", depth=1, induction=1)


@pytest.mark.parametrize("config", [CONFIG, EIGHT], ids=["4-banks", "8-banks"])
def test_a_bank_takes_each_position_of_its_mask_once(config):
    prove(lookup_bench(config), "event_lookup", depth=1, induction=1)


@pytest.mark.parametrize("name", FAULTS)
def test_masks_fault(name):
    refute(masks_bench(CONFIG), "event_masks", FAULTS[name], depth=1)


def test_the_fifo_never_over_or_underflows():
    prove(fifo_bench(), "event_fifo", depth=8, induction=1)


@pytest.mark.parametrize("name", FIFO_FAULTS)
def test_fifo_fault(name):
    refute(fifo_bench(), "event_fifo", FIFO_FAULTS[name], depth=8)
