"""Event machine: how the loader hands out a segment, which caster and PEs rely on; and that it never stands still.

A segment is announced to the caster, then its list follows, as many rows as it says. Then each PE gets its filter's header,
its rows of slice headers and of values, as many as that says. Only then is the segment `loaded`.
"""

import pytest
from amaranth import Array, Cat, Mux, Signal

from formal.bench import Bench
from formal.prove import fault, prove, refute
from formal.test_event_streams import CONFIG, FILTER, HEADERS, LIST, VALUES
from hw.event.loader import ROWS, Loader
from hw.event.program import LIST_WORDS, SEGMENT_HEADER, ring_rows, stream_lanes
from hw.loader import Error

INPUT, ACTIVATIONS, RUNNING = 2, 3, 11
LANES = stream_lanes(CONFIG)


def loader() -> Bench:
    """Of any program, to any of the PEs. What no ring can hold is an error: after it nothing is handed out."""
    b = Bench(Loader(CONFIG))
    m = b.m
    state, held = b.inside("fsm_state", 4), b.inside("held", SEGMENT_HEADER)
    team, row = b.inside("team"), b.inside("row", 9)
    wrong = b.error != Error.NONE

    # The caster's part.
    filling, left = Signal(name="filling"), Signal(9, name="left")
    length = b.segment__payload.length
    b.check(~filling & (left == 0), b.segment__valid)
    b.check(filling & (left != 0), b.list__valid)
    with m.If(b.list__valid):
        m.d.sync += left.eq(left - 1)
    with m.If(b.segment__valid):
        m.d.sync += [
            filling.eq(1),
            left.eq((length + CONFIG.stream_bits // 16 - 1) // (CONFIG.stream_bits // 16)),
        ]
    b.check(wrong, b.past(b.segment__valid & (length > LIST_WORDS), "too_long"))

    # The part of one PE, which is any of them.
    pe = b.constant(range(CONFIG.n_pe), "pe")
    lane = Array(b.lanes)[pe % LANES]
    new = b.any(ROWS, "new")
    b.assume(Cat(new) == lane[: len(Cat(new))])
    got, headers, values = Signal(name="got"), Signal(8, name="headers"), Signal(8, name="values")
    offers = [Array(getattr(b, f"{kind}_valid"))[pe] for kind in ("header", "headers", "values")]
    b.check(filling & (left == 0) & ~got, offers[0])
    b.check(headers != 0, offers[1])
    b.check((headers == 0) & (values != 0), offers[2])
    with m.If(offers[0]):
        m.d.sync += [got.eq(1), headers.eq(new.header_rows), values.eq(new.value_rows)]
    with m.If(offers[1]):
        m.d.sync += headers.eq(headers - 1)
    with m.If(offers[2]):
        m.d.sync += values.eq(values - 1)
    room = ring_rows(CONFIG)
    too_many = offers[0] & ((new.header_rows > room) | (new.value_rows > room))
    b.check(wrong, b.past(too_many, "too_many"))

    # All of it is in with the beat in which it is loaded.
    has = got | offers[0]
    headers_left = Mux(offers[0], new.header_rows, headers - offers[1])
    values_left = Mux(offers[0], new.value_rows, values - offers[2])
    b.check(filling & (left == 0) & has & (headers_left == 0) & (values_left == 0), b.loaded)
    with m.If(b.loaded):
        m.d.sync += [filling.eq(0), got.eq(0)]

    # A beat a cycle, if all have room, until the program is in.
    ready = Cat(b.header_ready, b.headers_ready, b.values_ready, b.list__ready, b.segment__ready)
    receivers = ready.all() & b.activations__ready & b.layer__ready
    served = receivers & b.past(receivers, "receivers") & b.started()
    b.check(b.i__ready, served & (state != RUNNING) & ~wrong)

    # For the induction.
    most, rows = b.inside("left", ROWS), [b.inside(f"rows_{k}", ROWS) for k in range(LANES)]
    mine = Array(Cat(one) for one in rows)[pe % LANES]
    header_rows, value_rows = mine[:8], mine[8:]
    before = (pe // LANES) < team
    here = (pe // LANES) == team
    handing = (state == FILTER) | (state == HEADERS) | (state == VALUES)
    inputs = (state == INPUT) | (state == ACTIVATIONS)
    b.check(state <= RUNNING)
    b.check(filling == ((state == LIST) | handing | (inputs & held.input)))
    words = CONFIG.stream_bits // 16
    listed = (held.length + words - 1) // words
    b.check(left == Mux((state == LIST) | (inputs & held.input), listed - row, 0), ~wrong)
    b.check(row < listed, (state == LIST) & ~wrong)
    b.check(inputs, held.input)
    b.check(held.length <= LIST_WORDS, filling & ~wrong)
    b.check(row == 0, (state != LIST) & (state != HEADERS) & (state != VALUES))
    b.check(~got & (headers == 0) & (values == 0), ~handing)
    with_rows = Mux(state == HEADERS, most.header_rows, most.value_rows)
    b.check(row < with_rows, (state == HEADERS) | (state == VALUES))
    b.check(team == 0, ~handing)
    for one in rows:
        holds = (one.header_rows <= most.header_rows) & (one.value_rows <= most.value_rows)
        b.check(holds, (state == HEADERS) | (state == VALUES))
    busy = here & ((state == HEADERS) | (state == VALUES))
    b.check(got == (before | busy), handing)
    after = Mux(header_rows > row, header_rows - row, 0)
    b.check(headers == Mux(busy & (state == HEADERS), after, 0), handing)
    rest = Mux(value_rows > row, value_rows - row, 0)
    b.check(values == Mux(busy, Mux(state == HEADERS, value_rows, rest), 0), handing)
    return b


def test_a_segment_is_loaded_when_all_of_it_is():
    prove(loader(), "event_loaded", depth=8, apart=True)


FAULTS = {
    "a PE gets a row behind its own": fault("rows_1[7:0] > row;", "rows_1[7:0] >= row;", count=4),
    "rows that no ring holds are taken": fault("most[15:8] > 5'h10;", "1'h0;"),
    "a descriptor that was taken stays": fault(
        "if (layer__ready) begin", "if (!layer__ready) begin"
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name):
    refute(loader(), "event_loaded", FAULTS[name], depth=8, apart=True)
