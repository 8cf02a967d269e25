"""Event machine: no PE stands still that is served, and the segment that comes next always fits it.

From any state that any stalls lead to. A PE is served if the caster offers something of a segment that is loaded, or has
cast all of the layer, and its words are taken. What moves is finite in every program: words of headers, slices and ends;
taps, and neurons of a tile that leaves (test_event_ends.py). docs/verification.md goes on to the whole machine.
"""

import pytest
from amaranth import Cat, Mux, Signal, Value

from formal.bench import Bench
from formal.event import (
    CONFIG,
    PROGRESS,
    ROWS,
    STATES,
    Parts,
    Queue,
    Ring,
    count,
    never_lasts,
    occupied,
)
from formal.prove import fault, prove, refute
from hw.event.drain import Drain
from hw.event.fifo import END, SliceFifo
from hw.event.pe import PE
from hw.event.values import FILTER


def pe(moves: bool = False) -> Bench:
    """Of any program whose parts fit the rings; whose slices are cast as test_event_caster.py says, and taken by all PEs at once.

    A layer starts when all are done with the one before, as in test_progress.py. moves: that something does; else what is true.
    """
    b = Bench(PE(CONFIG), proven=moves)
    for part in ("issue.masks", "issue.lookup", "visits", "accumulators", "header_ring.ring"):
        b.cut(part)  # what a tap adds, and which tile it is
    what = b.cast.what
    offered, out = b.any(1, "offered"), Signal(init=1, name="layer_is_cast")
    b.keeps_offer("cast", b.cast, offered, b.fire, check=False)
    ends = b.fire & what.is_end & what.segment_end
    parts = Parts(b, ends)
    b.assume(~offered | (b.active & parts.loaded & ~out))
    b.assume(~offered | ~what.layer_end | what.segment_end)
    b.assume(~b.fire | (offered & b.accepts))
    b.assume(~b.past(b.active & ~ends, "active") | b.active)
    b.assume(~b.layer_start | b.done)
    with b.m.If(b.layer_start):
        b.m.d.sync += out.eq(0)
    with b.m.If(b.fire & what.is_end & what.layer_end):
        b.m.d.sync += out.eq(1)

    flows = _leaving(b)
    served = b.output__ready & (out | (offered & (b.fire | ~b.accepts)))
    # What is accepted stays so.
    b.lemma(b.accepts, b.past(offered & b.accepts & ~b.fire, "accepted"))
    behind, ended = _fifo(b, parts, ends, out)
    _headers(b, parts, ends)
    _values(b, parts, behind, ended)
    # All that is loaded is done: what the loader offers next is taken.
    alone = (parts.segments + behind) == parts.partial
    b.lemma(b.header__ready, alone & ~parts.partial)
    b.lemma(b.headers__ready, alone & (parts.headers != 0))
    b.lemma(b.values__ready, alone & (parts.values != 0))
    if moves:
        moving = [b.fire, b.done, b.inside("header_unit.advance"), b.output__valid, flows]
        moving += [b.inside(f"issue.{name}") for name in ("take", "end", "working")]
        never_lasts(b, served & ~Cat(*moving).any())
    return b


def _headers(b: Bench, parts: Parts, ends: Value) -> None:
    """For the induction: the ring of slice headers holds the rows of the segments whose headers are there."""
    queue = Queue(b, "filters", 8, parts.before[0])
    names = ("have", "positioned", "last", "over", "ended")
    have, positioned, last, over, ended = (b.inside(f"header_unit.{name}") for name in names)
    rows, goes = b.inside("header_unit.rows", 8), b.inside("header_unit.advance")
    header = b.header__payload
    ring = Ring(
        b,
        "header_ring",
        b.inside("header_unit.tail", 5),
        ROWS,
        parts.headers,
        parts.taken,
        header.header_rows,
        parts.row,
        Mux(ends, rows, 0),
    )
    ring.is_read(goes | (b.fire & b.cast.what.is_end), Mux(have, rows, 0))
    queue.chain(b, ring, have, rows, lambda entry: entry, ~have | ends)
    b.lemma(parts.segments == have + queue.level)
    b.lemma(parts.headers <= Mux(queue.level != 0, queue.newest, rows), parts.partial)
    b.lemma(parts.segments != 0, parts.partial)
    for used, entry in [*queue.entries, (have, rows)]:
        b.lemma(entry <= ROWS, used)
    b.lemma((queue.inner == parts.before[0]) & (~queue.rdy | parts.before[1]), ~have)
    b.lemma(ended & b.active, over)
    b.lemma(positioned, last)
    b.lemma(~positioned, ~have)


def _values(b: Bench, parts: Parts, behind: Signal, ended: Value) -> None:
    """For the induction: the same of values, whose segments end behind the FIFO, where one has `ended`."""
    queue = Queue(b, "values.queue", FILTER, parts.before[0])
    have, rows = b.inside("values.have"), b.inside("values.filter", FILTER).value_rows
    ring = Ring(
        b,
        "values.ring",
        b.inside("values.begin", 5),
        ROWS,
        parts.values,
        parts.taken,
        b.header__payload.value_rows,
        parts.value,
        Mux(ended, rows, 0),
    )
    queue.chain(b, ring, have, rows, lambda entry: entry.value_rows, ~have | ended)
    b.lemma(parts.segments + behind == have + queue.level)
    newest = Mux(queue.level != 0, queue.newest[:8], rows)
    b.lemma(parts.values <= newest, parts.partial)
    for used, entry in queue.entries:
        b.lemma(entry.value_rows <= ROWS, used)
    b.lemma(rows <= ROWS, have)


def _fifo(b: Bench, parts: Parts, ends: Value, out: Signal) -> tuple[Signal, Value]:
    """For the induction: what is in the FIFO. Ends of segments that are cast and not begun."""
    places = SliceFifo.places(CONFIG)
    level, order = b.inside("fifo.level", 2), b.inside("fifo.order_level", 3)
    head, tail = b.inside("fifo.order_head", 2), b.inside("fifo.order_tail", 2)
    rows = [b.inside(f"fifo.order.row_{k}", END) for k in range(places)]
    used = [occupied(k, head, order, places) for k in range(places)]
    begun, working = b.inside("fifo.begun"), b.inside("issue.working")
    behind, within = Signal(4, name="behind"), Signal(name="within")
    coming = b.inside("fifo.next_what", END)
    ended = b.inside("issue.end") & coming.segment_end
    b.m.d.sync += behind.eq(behind + ends - ended)
    with b.m.If(b.inside("fifo.push")):
        b.m.d.sync += within.eq(~ends)
    b.lemma((level <= CONFIG.fifo_depth) & (order <= places) & ((head + order)[:2] == tail))
    slices = count(u & ~row.is_end for u, row in zip(used, rows, strict=True))
    b.lemma(level == slices + begun)
    b.lemma(begun == working)
    segment_ends = [u & row.is_end & row.segment_end for u, row in zip(used, rows, strict=True)]
    b.lemma(behind == count(segment_ends))
    newest = [u & (tail == (k + 1) % places) for k, u in enumerate(used)]
    b.lemma(parts.loaded, within)
    for last, end in zip(newest, segment_ends, strict=True):
        b.lemma(within | end, last)
    # The layer's end is the last in the FIFO, or all is done.
    layer_ends = [u & row.is_end & row.layer_end for u, row in zip(used, rows, strict=True)]
    ending, running = b.inside("layer_ending"), b.inside("fsm_state")
    for last, end in zip(newest, layer_ends, strict=True):
        b.lemma(last & out, end)
    b.lemma(Cat(layer_ends).any() | ending, out & running)
    b.lemma(out & running & (order == 0) & ~working, ending)
    b.lemma(out & (order == 0) & ~working, ~running)  # it is done
    return behind, ended


def _leaving(b: Bench):
    """A tile that leaves: what of it moves. For the induction: until then its PE waits for it."""
    stages, lifs = 1 + Drain.latency(CONFIG), CONFIG.lifs
    bits = lifs + 1 + 2 * (CONFIG.tile_side.bit_length() - 1)
    passing = [b.inside(f"leaving.drain.passing_{k}", bits) for k in range(1, stages)]
    lanes, last = [p[:lifs].any() for p in passing], [p[lifs] for p in passing]
    busy, drains = b.inside("leaving.busy"), b.inside("leaving.running")
    flows = drains | Cat(*lanes, *last).any()
    b.lemma(busy, flows | b.output__valid)
    b.lemma(b.output__valid | drains | Cat(last).any(), busy)
    b.lemma(~flows, b.output__valid)
    b.lemma(~b.done, busy)
    for k in range(stages - 1):
        b.lemma(~drains & ~Cat(*lanes[:k], *last[:k]).any(), last[k])
    return flows


FAULTS = {
    "states: a ring is full a row early": fault("!= 5'h10;", "!= 5'h0f;", count=2),
    "states: a filter stays when its segment ends": fault(
        "assign switch = {w} &", "assign switch = 1'h0 &"
    ),
    "states: what was accepted is refused": fault("= active & ended;", "= active & ended & ~over;"),
    "progress: it is not seen that there are no more headers": fault(
        "= active & ended;", "= 1'h0;"
    ),
    "progress: a layer's end is not seen": fault("= layer_ending & {w} ;", "= 1'h0;"),
}


def test_what_is_true_in_every_state():
    prove(pe(), "event_states_pe", **STATES)


def test_what_is_served_moves():
    prove(pe(moves=True), "event_progress_pe", **PROGRESS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name):
    moves = name.startswith("progress")
    proof = f"event_{'progress' if moves else 'states'}_pe"
    refute(pe(moves), proof, FAULTS[name], **(PROGRESS if moves else STATES))
