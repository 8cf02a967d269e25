"""The WSP decoder: it emits every non-zero of a filter exactly once a pass, in order, and nothing else.

One segment, any one, is watched: its words are any that a filter of that length may have. A reference of
a few lines decodes them; what the decoder emits, and when it ends a pass, must be what the reference
says. Rows come whenever the ring has room for them, and a row that was freed, or is not there yet, reads
as anything. A filter may end with a header, which none should: then an empty weight stands for it.
"""

from dataclasses import replace

import pytest
from amaranth import Cat, Mux, Signal

from formal.bench import Bench
from formal.prove import fault, prove, refute
from hw.config import PRESETS, STREAM_WORDS, WORD_BITS
from hw.program import FILTER_HEADER
from hw.scratchpad import pointer_bits
from hw.widths import KERNEL
from hw.wsp import WspDecoder

CONFIG = replace(PRESETS["tiny"], scratchpad_depth=32)
WORDS = 12  # of the watched segment, at most: three rows
FAULTS = {
    "skips one channel too few": fault("= word[15:9];", "= word[15:10];"),
    "frees rows while their pass is repeated": fault(
        "assign tail = {w} ? reading : start;", "assign tail = reading;"
    ),
    "frees a filter's rows only at its end": fault(
        "assign tail = {w} ? reading : start;", "assign tail = start;"
    ),
    "reads a row that is not there yet": fault("assign {w} = row != head;", "assign {1} = 1'h1;"),
    "overwrites a weight that waits": fault(
        "assign can_emit = {w} | o__ready;", "assign can_emit = 1'h1;"
    ),
    "does not read the row that it comes to": fault("read = 1'h1;", "read = 1'h0;", count=3),
    "loses a filter's last weight": fault(
        "segment[10:0] - 1'h1;", "segment[10:0] - (segment[10:0] == 11'd3 ? 2'h2 : 2'h1);"
    ),
}


def bench() -> Bench:
    """Rows are counted modulo twice the ring, as the decoder counts them."""
    b = Bench(WspDecoder(CONFIG))
    m, rows, pointer = b.m, CONFIG.scratchpad_rows, pointer_bits(CONFIG)
    running, available, start = (
        b.inside("running"),
        b.inside("available"),
        b.inside("start", pointer),
    )
    reading, column, index = (
        b.inside("reading", pointer),
        b.inside("column", 2),
        b.inside("index", 11),
    )
    channel, pattern = b.inside("here", 11), b.inside("pattern", KERNEL)
    emit, consume = b.inside("emit"), b.inside("consume")
    pass_end, segment_end = b.inside("pass_end"), b.inside("segment_end")
    segment = b.inside("segment", FILTER_HEADER)

    def rows_from(first, last):
        """From one row of the ring to another."""
        return (last - first)[:pointer]

    # --- the surroundings ---
    started = b.started()
    head_before, room = b.past(b.head, "head"), b.past(rows_from(b.tail, b.head) != rows, "room")
    b.assume(
        Mux(
            started,
            (b.head == head_before) | (room & (b.head == (head_before + 1)[:pointer])),
            b.head == 0,
        )
    )
    geometry = b.geometry.as_value()
    waiting = b.inside("waiting")
    b.assume(waiting | (geometry == b.past(geometry, "geometry")))
    b.assume(b.header__payload.length <= CONFIG.scratchpad_depth)
    held = Signal(name="held")  # the row that `data` shows was in the ring when it was read
    with m.If(b.read):
        m.d.sync += held.eq(rows_from(b.tail, b.row) < rows_from(b.tail, b.head))
    b.check(b.read | (b.row == reading))

    # --- the watched segment, and what it should decode to ---
    header = b.constant(FILTER_HEADER, "watched_header")
    length = header.length
    words = [b.constant(WORD_BITS, f"word_{j}") for j in range(WORDS)]
    channels = [b.constant(11, f"channel_{j}") for j in range(WORDS + 1)]
    patterns = [b.constant(KERNEL, f"pattern_{j}") for j in range(WORDS + 1)]
    b.assume((length <= WORDS) & (channels[0] == 0) & (patterns[0] == 0))
    for j, word in enumerate(words):
        rest = (patterns[j] & (patterns[j] - 1))[:KERNEL]
        is_weight = patterns[j] != 0
        b.assume(patterns[j + 1] == Mux(is_weight, rest, word[:KERNEL]))
        b.assume(channels[j + 1] == (channels[j] + Mux(is_weight, rest == 0, word[KERNEL:]))[:11])
    following = WORDS  # the first weight from word j on
    next_weight = [WORDS] * (WORDS + 1)
    for j in reversed(range(WORDS)):
        following = Mux((patterns[j] != 0) | (length == j + 1), j, following)
        next_weight[j] = following

    def at(values, position):
        """The value of a word."""
        result = values[-1]
        for j, value in enumerate(values[:-1]):
            result = Mux(position == j, value, result)
        return result

    watching, due = Signal(name="watching"), Signal(range(WORDS + 1), name="due")
    with m.If(b.header__ready & b.header__valid):
        watch = b.any(1, "watch")
        m.d.sync += [
            watching.eq(watch & (b.header__payload.as_value() == header.as_value())),
            due.eq(0),
        ]
    with m.Elif(segment_end):
        m.d.sync += watching.eq(0)
    row = rows_from(start, reading)
    packed = [Cat(words[k : k + STREAM_WORDS]) for k in range(0, WORDS, STREAM_WORDS)]
    b.assume(~(watching & held) | (b.data == at(packed, row)))

    # --- every emission is the next weight's, and the pass ends with the last ---
    expected = Signal(range(WORDS + 1), name="expected")
    m.d.comb += expected.eq(at(next_weight, due))
    empty, last = length == 0, expected + 1 == length
    emitted = b.past(emit & watching, "emitted")
    with m.If(watching & emit):
        m.d.sync += due.eq(Mux(empty | last, 0, expected + 1))
    b.check(pass_end == (emit & (empty | last)), watching)
    o, position = b.o__payload, b.o__payload.position
    was = b.past(expected, "was_expected")
    chosen = at(patterns, was)
    is_weight = emitted & ~empty & (chosen != 0)
    b.check(o.empty == (empty | (chosen == 0)), emitted)
    b.check(Cat(o.value)[:WORD_BITS] == Mux(is_weight, at(words, was), 0), emitted)
    b.check(o.channel == at(channels, was), is_weight)
    b.check(
        chosen.bit_select(position, 1) & ((chosen & ((1 << position) - 1)[:KERNEL]) == 0),
        is_weight,
    )
    b.check(o.opening == (header.open & b.past(due == 0, "first_due")), emitted)
    b.check((o.bias == header.bias) & (o.threshold == header.threshold), emitted)

    # --- none is lost, none waits for nothing ---
    b.check(~b.o__valid | b.o__ready, emit)
    b.check(
        b.o__valid == (b.past(emit, "emit") | b.past(b.o__valid & ~b.o__ready, "waits")), started
    )
    b.keeps_stream_rules("o")
    can_emit = ~b.o__valid | b.o__ready
    b.check(consume | emit, running & can_emit & (available | (segment.length == 0)))
    b.check(available == b.past(b.row != b.head, "there"), started)
    freed = rows_from(b.past(b.tail, "tail"), b.tail)
    b.check(freed <= rows_from(b.past(b.tail, "tail_too"), head_before), started)
    # What is decoded for the last time is free at once, what comes again is not.
    last_pass = ~segment.all_tiles | b.inside("tiles.last")
    b.check(b.tail == reading, ~running | last_pass)
    b.check(b.tail == start, ~running | ~last_pass)

    # --- what is true in every state that can be reached, for the induction ---
    b.check(rows_from(b.tail, b.head) <= rows)
    b.check(rows_from(b.tail, reading) <= rows_from(b.tail, b.head))
    b.check(~available | held)
    b.check(Cat(index, column, channel, pattern, row) == 0, ~running)
    b.check(~watching | (segment.as_value() == header.as_value()))
    b.check(~watching | running)
    b.check(~waiting | ~running)
    b.check((index < segment.length) | ((segment.length == 0) & (index == 0)), running)
    b.check((column == index[:2]) & (row == (index >> 2)), running)
    b.check(segment.length <= CONFIG.scratchpad_depth, running)
    now = index[: len(due)]
    b.check((channel == at(channels, now)) & (pattern == at(patterns, now)), watching)
    b.check(Cat(index, pattern) == 0, segment.length == 0)
    b.check((due <= now) & (at(next_weight, now) == expected), watching & ~empty)
    b.check(due == 0, watching & empty)
    first = b.inside("first")
    b.check(first == (due == 0), watching)
    b.check(first, ~running)
    return b


def test_every_weight_once_in_order():
    prove(bench(), "wsp", depth=7, induction=2)


@pytest.mark.parametrize("name", FAULTS)
def test_every_weight_once_in_order_fault(name):
    refute(bench(), "wsp", FAULTS[name], depth=14)
