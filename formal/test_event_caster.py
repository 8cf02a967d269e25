"""Event machine: no caster stands still that is served, and it casts only what is loaded; the list that comes next always fits.

From any state that any stalls lead to. A caster is served if a segment is loaded, and what it offers is taken.
"""

import pytest
from amaranth import Cat, Mux, Signal, Value
from amaranth.lib import data

from formal.bench import Bench
from formal.event import CONFIG, LEAD, PROGRESS, STATES, Queue, Ring, count, never_lasts
from formal.prove import fault, prove, refute
from hw.event.caster import QUEUE, Caster, item_layout
from hw.event.fifo import END
from hw.event.pe import cast_layout
from hw.event.program import LIST_WORDS, SEGMENT_HEADER


def caster(moves: bool = False) -> Bench:
    """Of any lists, as the loader hands them out (test_event_loaded.py). A layer starts when all PEs have done the one before."""
    b = Bench(Caster(CONFIG), proven=moves)
    for part in ("reader.assemble", "list_ring.ring"):
        b.cut(part)
    for name in ("layer", "geometry"):
        value = Value.cast(b.ports[name])
        b.assume(b.past(b.done, f"{name}_done") | (value == b.past(value, name)))
    state, waiting, opened = b.inside("fsm_state", 2), b.inside("waiting", 4), b.inside("opened", 2)
    counted, opens = b.inside("counted"), b.inside("segments.r_en")
    open_now = state[1]
    what = b.o__payload.what
    fire = b.o__valid & b.o__ready
    ends, out = fire & what.is_end & what.segment_end, Signal(init=1, name="layer_is_cast")
    b.assume(~b.layer_start | out)
    with b.m.If(b.layer_start):
        b.m.d.sync += out.eq(0)
    with b.m.If(fire & what.is_end & what.layer_end):
        b.m.d.sync += out.eq(1)
    filling, left = _lists(b, open_now, opens)
    fresh = _in_flight(b, state, open_now, opens, out)

    # What PEs are promised (`pe` assumes it).
    age, old = Signal(LEAD, name="completed"), Signal(4, name="completed_before")
    b.m.d.sync += [age.eq(Cat(b.loaded, age)), old.eq(old + age[-1] - ends)]
    b.lemma(b.active & (old != 0) & ~out, b.o__valid)
    b.lemma(~what.layer_end | what.segment_end, b.o__valid)
    b.lemma(waiting + counted + opened == count(age) + old)
    b.lemma(counted == age[0])
    b.lemma(waiting != 0, age[1])
    b.lemma((waiting > age[1]) | (fresh & (waiting >= age[1])), age[2])
    b.lemma(
        waiting + counted + filling
        == b.inside("segments.inner_level", 2) + b.inside("segments.r_rdy")
    )
    # All that is loaded is cast: what the loader offers next is taken.
    alone = (waiting == 0) & ~counted & ~open_now
    b.lemma(b.segment__ready, alone & ~filling)
    b.lemma(b.list__ready, alone & (left != 0))
    if moves:
        served = b.o__ready & ~b.done & ~b.loading
        never_lasts(
            b, served & ~Cat(b.o__valid, opens, b.inside("hand"), b.inside("was_read")).any()
        )
    return b


def _lists(b: Bench, open_now: Value, opens: Signal) -> tuple[Signal, Signal]:
    """For the induction: the ring of lists holds those of the segments whose headers are there."""
    filling, left = Signal(name="filling"), Signal(9, name="left")
    taken, written = b.segment__valid & b.segment__ready, b.list__valid & b.list__ready
    b.assume(~b.segment__valid | (~filling & (b.segment__payload.length <= LIST_WORDS)))
    b.assume(~b.list__valid | (left != 0))
    b.assume(~b.loaded | (filling & (left == 0)))
    of = lambda segment: (segment.length + 3) >> 2  # noqa: E731
    with b.m.If(b.loaded):
        b.m.d.sync += filling.eq(0)
    with b.m.If(written):
        b.m.d.sync += left.eq(left - 1)
    with b.m.If(taken):
        b.m.d.sync += [filling.eq(1), left.eq(of(b.segment__payload))]
    before = b.past(taken, "taken")
    layout = data.StructLayout({"length": 11, "close": 1, "all_tiles": 1, "end": 1})
    queue = Queue(b, "segments", layout, before)
    segment, begin = b.inside("segment", SEGMENT_HEADER), b.inside("begin", 9)
    over, index = b.inside("pass_end") & b.inside("last_pass"), b.inside("index", 11)
    rows = of(segment)
    ring = Ring(
        b, "list_ring", begin, 256, left, taken, of(b.segment__payload), written, Mux(over, rows, 0)
    )
    ring.is_read(b.inside("list_ring.advance") | b.inside("pass_end"), Mux(open_now, rows, 0))
    queue.chain(b, ring, open_now, rows, of, opens)
    b.lemma(filling, before | (left != 0))
    newest = queue.newest[:11]
    b.lemma((queue.level != 0) & (left <= (newest + 3) >> 2), filling)
    for used, entry in [*queue.entries, (open_now, segment)]:
        b.lemma(entry.length <= LIST_WORDS, used)
    row, column = b.inside("list_ring.row", 9), b.inside("list_ring.column", 2)
    at = Mux(index > segment.length, segment.length, index)
    ahead = (row - begin)[:9]
    b.lemma(Cat(column, ahead) == Mux(open_now, at, 0))
    b.lemma(index == 0, ~open_now)
    b.lemma(index <= segment.length + b.inside("fsm_state", 2)[0], open_now)
    return filling, left


def _in_flight(b: Bench, state: Signal, open_now: Value, opens: Signal, out: Signal) -> Signal:
    """For the induction: what is read and not yet handed out, and what of it ends a segment or the layer."""
    second, twice, ahead = (b.inside(name, 2) for name in ("second", "twice", "ahead"))
    item, valid = b.inside("item", item_layout()), b.inside("item_valid")
    level, index = b.inside("level", 2), b.inside("index", 11)
    push = b.inside("was_read") & b.inside("read_last")
    after, pushed = b.inside("after", cast_layout(CONFIG)).what, b.inside("what", END)
    b.lemma((ahead <= QUEUE) & (ahead == level + push + (second != 0)))
    b.lemma((second & ~twice) == 0)
    b.lemma(valid & ~item.is_end, second != 0)
    b.lemma(
        valid & item.is_end & (index == b.inside("segment", SEGMENT_HEADER).length + 1), state == 3
    )
    b.lemma(~valid | ~item.is_end, state == 2)
    b.lemma(~valid, ~open_now)
    slots = [(level != 0, b.o__payload.what), (level == 2, after), (push, pushed)]
    ends = [used & end.is_end & end.segment_end for used, end in slots]
    b.lemma(b.inside("opened", 2) == count(ends) + open_now)
    newest = Mux(push, ends[2], Mux(level == 2, ends[1], (level == 0) | ends[0]))
    fresh = b.past(opens & b.inside("waiting", 4).any(), "opened_now")
    b.lemma(newest, ~open_now | fresh)
    b.lemma((state == 2) & (index == 0) & ~valid, fresh)
    last = [push, ~push & (level == 2), ~push & (level == 1)]
    for (used, end), here in zip(slots, reversed(last), strict=True):
        b.lemma(~end.layer_end | end.segment_end, used)
        b.lemma(here & (state == 0), used & end.is_end & end.layer_end)
    none = (level == 0) & ~push
    layer_end = [used & end.is_end & end.layer_end for used, end in slots]
    b.lemma((state == 0) == (out | Cat(layer_end).any()))
    b.lemma(none, out)
    return fresh


FAULTS = {
    "states: a ring is full a row early": fault("!= 9'h100;", "!= 9'h0ff;"),
    "states: a segment ends with any pass": fault(
        "assign end_segment = {w} & o__payload[50];", "assign end_segment = {1};"
    ),
    "progress: a slice waits for one that is handed out": fault("= ahead != 2'h2;", "= 1'h0;"),
    "progress: the list's end is not seen": fault(
        "assign over = index == segment[10:0];", "assign over = 1'h0;"
    ),
}


def test_what_is_true_in_every_state():
    prove(caster(), "event_states_caster", **STATES)


def test_what_is_served_moves():
    prove(caster(moves=True), "event_progress_caster", **PROGRESS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name):
    moves = name.startswith("progress")
    proof = f"event_{'progress' if moves else 'states'}_caster"
    refute(caster(moves), proof, FAULTS[name], **(PROGRESS if moves else STATES))
