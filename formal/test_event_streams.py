"""The event machine's streams: under any stall, an offer stays as it is until it is taken. Each component by itself.

Beside streams by their name: what a caster, a header unit, a FIFO or a ring shows until it is told to go on. What the
surroundings promise is assumed, and said in each bench, with the bench that proves it. Results and frames are those of
test_streams.py.
"""

from dataclasses import replace

import pytest
from amaranth import Cat, Mux

from formal import event
from formal.bench import Bench
from formal.prove import fault, prove, refute
from hw.apu import Apu, active_layout
from hw.event.caster import QUEUE, Caster, item_layout
from hw.event.drain import Drain
from hw.event.fifo import SliceFifo
from hw.event.header import HeaderUnit
from hw.event.leaving import Leaving
from hw.event.loader import ROWS, Loader
from hw.event.ring import WordRing
from hw.event.values import Values
from hw.loader import Error

CONFIG = replace(event.CONFIG, n_pe=4, stream_bits=128)
RING_ROWS = 4
SEGMENT, LIST, FILTER, LAYER_MORE, HEADERS, VALUES = 7, 4, 5, 8, 9, 10
"""Of the loader's states, in the order in which hw/event/loader.py names them first."""


def loader() -> Bench:
    """Descriptor and activations as in test_streams.py.

    A beat for the caster or for PEs is handed to all that it is for, or to none; while it waits, it is for the same.
    """
    b = Bench(Loader(CONFIG))
    b.keeps_stream_rules("i", check=False)
    b.keeps_stream_rules("layer")
    taken = b.activations__ready | b.input_done
    b.keeps_offer("activations", b.activations__payload, b.activations__valid, taken)
    state = b.inside("fsm_state", 4)
    kinds = ("header", "headers", "values")
    valids = [getattr(b, f"{kind}_valid") for kind in kinds]
    readies = [getattr(b, f"{kind}_ready") for kind in kinds]
    for valid, ready in zip(valids, readies, strict=True):
        b.check(valid & ~ready == 0)
    b.check(~b.list__valid | b.list__ready)
    b.check(~b.segment__valid | b.segment__ready)
    handed = Cat(b.list__valid, b.segment__valid, *(valid.any() for valid in valids))
    taken = b.i__valid & b.i__ready
    to_caster = (state == SEGMENT) | (state == LIST)
    to_pes = (state == FILTER) | (state == HEADERS) | (state == VALUES)
    for_them = to_caster | to_pes
    b.check(handed == 0, ~taken | ~for_them)
    b.check(handed & (handed - 1) == 0)
    b.check(handed[:2].any() == to_caster, taken & for_them)
    rows = [b.inside(f"rows_{k}", ROWS) for k in range(2)]  # of each lane's PE
    team, row = b.inside("team"), b.inside("row", 9)
    what = Cat(state, team, row, b.lanes.as_value(), *(Cat(one) for one in rows))
    b.keeps_offer("beat", what, b.i__valid & for_them & (b.error == Error.NONE), b.i__ready)
    wrong = b.past(b.error, "error")
    b.check((wrong == Error.NONE) | (b.error != Error.NONE))
    everything = Cat(handed, b.activations__valid, b.i__ready)
    b.check((b.error == Error.NONE) | (everything == 0))
    b.check(~b.layer__valid, state == LAYER_MORE)  # for the induction
    return b


def caster() -> Bench:
    """Whatever the segments and their lists."""
    b = Bench(Caster(CONFIG))
    b.keeps_stream_rules("o")
    second = b.inside("second", 2)
    item, done = b.inside("item", item_layout()), b.inside("item_done")
    valid = b.inside("item_valid")
    b.keeps_offer("item", item, valid, done)
    # At most QUEUE slices are read and not handed out: there is room for each.
    ahead, level = b.inside("ahead", 2), b.inside("level", 2)
    push = b.inside("was_read") & b.inside("read_last")
    b.check(ahead <= QUEUE)
    b.check(ahead == level + push + (second != 0))
    b.check(valid | (second == 0))
    return b


def ring() -> Bench:
    """A word waits, and is that of its row, until it is told to go on.

    Who reads goes on only from a word that is there, and jumps to rows that are there; rows are freed by a jump, up to
    where it goes. test_event_progress.py proves it of header unit and caster. Of values, their number is the program's.
    """
    b = Bench(WordRing(macro="ring", width=64, rows=RING_ROWS))
    pointer = RING_ROWS.bit_length()
    head = b.inside("head", pointer)

    def distance(to):
        return (to - b.tail)[:pointer]

    tail, jump, to = (b.past(v, n) for v, n in ((b.tail, "tail"), (b.jump, "jump"), (b.to, "to")))
    b.assume((b.tail == tail) | (jump & (b.tail == to)))
    b.assume(~b.advance | b.available)
    b.assume(~b.jump | (distance(b.to) <= distance(head)))
    b.keeps_offer("word", Cat(b.word, b.row), b.available, b.advance | b.jump)
    b.drive("ring.ghost_address", b.row[:-1], "watched")
    column, held = b.inside("column", 2), b.inside("ring.ghost_data", 64)
    b.check(b.word == held.word_select(column, 16), b.available)
    # For the induction.
    b.check(distance(head) <= RING_ROWS)
    b.check(distance(b.row) <= distance(head))
    b.check(b.row != head, b.available)
    b.check(b.inside("read__data", 64) == held, b.available)
    return b


def header() -> Bench:
    """What a PE needs next stays until the slice is taken or the pass ends.

    A word of the ring waits: `ring` proves it. The caster's segment stays open until it ends, and a slice is taken
    only where it is complete: test_event_progress.py.
    """
    pointer = 6
    b = Bench(HeaderUnit(CONFIG, pointer))
    b.keeps_stream_rules("rows", check=False)
    moves = b.advance | b.jump
    b.keeps_offer("word", b.word, b.available, moves, check=False)
    b.assume(b.past(moves, "moves") | (b.row == b.past(b.row, "row")) | ~b.started())
    b.assume(~b.past(b.active & ~b.pass_end, "active") | b.active)
    b.assume(~b.take | (b.known & b.positioned & b.complete & ~b.pass_end))
    goes = b.take | b.pass_end
    b.keeps_offer("known", Cat(b.positioned, Mux(b.positioned, b.position, 0)), b.known, goes)
    b.keeps_offer("taps", b.taps, b.positioned & b.complete, goes)
    # For the induction.
    over, ended, last = b.inside("over"), b.inside("ended"), b.inside("last")
    b.check(ended & b.active, over)
    b.check(b.positioned, last)
    return b


def values() -> Bench:
    """A filter stays until its segment ends; the segment ends only where the PE has it (`may_end`)."""
    b = Bench(Values(CONFIG))
    b.assume(~b.end | b.have)
    b.keeps_offer("filter", b.filter, b.have, b.end & b.segment_end)
    return b


def fifo() -> Bench:
    """What comes next, and the slice at work; pushed, begun and popped as in test_event_taps.py."""
    b = Bench(SliceFifo(CONFIG))
    places = SliceFifo.places(CONFIG)
    b.assume(~b.push | Mux(b.what.is_end, b.end_room, b.room))
    b.assume(~b.begin | b.next_valid)
    level, order = b.inside("level", 2), b.inside("order_level", 3)
    b.assume(~b.pop | (level != 0))
    b.keeps_offer("next", b.next_what, b.next_valid, b.begin)
    b.keeps_offer("work", b.work, level != 0, b.pop)
    room, order_room = b.past(b.room, "room"), b.past(b.end_room, "end_room")
    pushed = b.past(b.push, "pushed")
    b.check(b.room, room & ~pushed)
    b.check(b.end_room, order_room & ~pushed)
    # For the induction.
    head, tail = b.inside("order_head", 2), b.inside("order_tail", 2)
    b.check(level <= CONFIG.fifo_depth)
    b.check(order <= places)
    b.check((head + order)[:2] == tail)
    return b


def leaving() -> Bench:
    """A tile leaves only when the one before has left (`may_end`); its layer holds still until then."""
    b = Bench(Leaving(CONFIG))
    for name in ("index", "layer", "geometry"):
        value = Cat(b.ports[name])
        b.assume(~b.past(b.busy, f"{name}_busy") | (value == b.past(value, name)))
    b.assume(~b.close | ~b.busy)
    b.keeps_stream_rules("output")
    # While a word is offered nothing is drained into it: for the induction.
    stages = 1 + Drain.latency(CONFIG)
    lifs = CONFIG.lifs
    bits = lifs + 1 + 2 * (CONFIG.tile_side.bit_length() - 1)
    passing = [b.inside(f"drain.passing_{k}", bits) for k in range(1, stages)]
    lanes, last = [p[:lifs].any() for p in passing], [p[lifs] for p in passing]
    flows = b.running | Cat(*lanes, *last).any()
    b.check(b.busy, flows | b.output__valid)
    b.check(~flows, b.output__valid)
    for k in range(stages - 1):
        b.check(~b.running & ~Cat(*lanes[:k], *last[:k]).any(), last[k])
    return b


def apu() -> Bench:
    """A row of the input waits for a PE's word, which is written first."""
    b = Bench(Apu(CONFIG))
    b.keeps_offer("row", b.row, b.row_valid, b.row_ready)
    state = b.inside("fsm_state", 3)  # IDLE 0, POINTERS, ROWS, FINISH, DONE 4
    placing = b.inside("placing", active_layout(CONFIG))
    b.check(~b.row_valid & ~placing.row_end, (state == 0) | (state >= 4))
    return b


PROOFS = {
    bench.__name__: bench for bench in (loader, caster, ring, header, values, fifo, leaving, apu)
}


@pytest.mark.parametrize("name", PROOFS)
def test_offers_stay(name):
    prove(PROOFS[name](), f"event_stream_{name}", depth=8, induction=2)


FAULTS = {
    "loader: a row is handed out before every PE has room": fault(
        "= ~ values_ready[1];", "= 1'h0;"
    ),
    "loader: a descriptor takes the place of one that waits": fault("= ~ layer__valid;", "= 1'h1;"),
    "caster: three slices are read ahead": fault("= ahead != 2'h2;", "= 1'h1;"),
    "caster: a slice takes the place of one that waits": fault(
        "= level == fire;", "= level == 2'h1;"
    ),
    "ring: a row too many is let in": fault("!= 3'h4;", "!= 3'h5;"),
    "ring: a row is there before it is written": fault("= row != head;", "= 1'h1;"),
    "header: headers go on behind a beat's last": fault("= ~ last;", "= 1'h1;"),
    "header: it is forgotten that there are no more": fault(
        "= active & ended;", "= active & ended & ~over;"
    ),
    "values: the next filter does not wait": fault("= ~ have;", "= 1'h1;"),
    "values: a pass ends the segment": fault("assign switch = {w} &", "assign switch = {1} |"),
    "fifo: an end too many is let in": fault("= order_level != 3'h4;", "= 1'h1;", count=2),
    "fifo: a slice takes the place of the one at work": fault(
        "= level == pop;", "= level != 2'h2;"
    ),
    "leaving: the next tile does not wait for the word": fault(
        "assign left = taken | {w} ;", "assign left = taken | gathered;"
    ),
    "leaving: a word that waits is cleared": fault(
        "assign clear = taken |", "assign clear = output__valid |"
    ),
    "apu: a row does not wait": fault("= row_valid & row_ready;", "= row_valid;"),
    "apu: the next row takes its place": fault("= ~ row_valid;", "= 1'h1;"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_offers_stay_fault(name):
    proof = name.partition(":")[0]
    refute(PROOFS[proof](), f"event_stream_{proof}", FAULTS[name], depth=8, induction=2)
