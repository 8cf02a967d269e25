"""What proofs of the event machine share: its queues seen from inside, and how the loader hands out a segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth import Array, Cat, Mux, Signal, Value

from formal.bench import Bench
from hw.config import Config
from hw.event.program import ring_rows

CONFIG = Config(
    machine="event",
    n_pe=2,
    tile_side=4,
    ticks=1,
    banks=4,
    fifo_depth=2,
    scratchpad_depth=128,
    stream_bits=64,
)
ROWS = ring_rows(CONFIG)
"""Of each of a PE's rings."""
PATIENCE = 3
"""Cycles in which nothing may move, at most."""
STATES: dict[str, Any] = {"depth": 6, "apart": True}
"""How what is true in every state is proven,"""
PROGRESS: dict[str, Any] = {"depth": PATIENCE + 2, "induction": PATIENCE + 1}
"""and, of these states, that they move on."""
WIDE = 11
"""Bits of the ghosts that count rows."""
LEAD = 3
"""Cycles from a segment's last beat until something of it may be cast, at least."""


def occupied(place: int, first: Value, level: Value, size: int) -> Value:
    """Whether a place of a circular buffer is in use."""
    return Cat((first == k) & (level > (place - k) % size) for k in range(size)).any()


def count(conditions: Any) -> Value:
    """How many are true."""
    return sum(conditions)


class Queue:
    """Amaranth's SyncFIFOBuffered inside a component. rdy: its first entry is out; level: of entries, that one included."""

    def __init__(self, b: Bench, path: str, shape: Any, written_before: Value) -> None:
        depth = CONFIG.segment_depth
        self.size = size = depth - 1  # of the memory behind the first entry
        self.rdy = b.inside(f"{path}.r_rdy")
        self.inner = b.inside(f"{path}.inner_level", 2)
        self.first = b.inside(f"{path}.r_data", shape)
        self.rows = [b.inside(f"{path}.storage.row_{k}", shape) for k in range(size)]
        self.head, self.tail = (b.inside(f"{path}.{name}_port__addr", 2) for name in "rw")
        self.level = self.inner + self.rdy
        used = [occupied(k, self.head, self.inner, size) for k in range(size)]
        self.entries = [(self.rdy, self.first), *zip(used, self.rows, strict=True)]
        newest = Array(Value.cast(row) for row in self.rows)
        last = newest[Mux(self.tail == 0, size - 1, self.tail - 1)]
        self.newest = Mux(self.inner == 0, Value.cast(self.first), last)
        b.lemma((self.inner <= size) & (self.head < size) & (self.tail < size))
        for k in range(size):
            after = Cat((self.inner == n) & (self.tail == (k + n) % size) for n in range(size + 1))
            b.lemma(after.any(), self.head == k)
        # An entry is out at once: only what was written last is not.
        b.lemma(self.inner == written_before, ~self.rdy)

    def chain(
        self, b: Bench, ring: Ring, have: Value, rows: Value, of: Callable[[Any], Value], pop: Value
    ) -> None:
        """Its entries' segments lie in a ring one behind the other: the one at work, where `have`, of so many `rows`, first.

        of: the rows of an entry. pop: the first is taken, to be at work. In ghosts: the row behind each one's last.
        """
        name, m = ring.name, b.m
        at_work, first, new = (
            Signal(WIDE, name=f"{name}_{k}_end") for k in ("work", "first", "new")
        )
        ends = [Signal(WIDE, name=f"{name}_end_{k}") for k in range(self.size)]
        base = Mux(have, at_work, ring.start)
        before = Mux(self.rdy, first, base)
        last = Array(ends)[Mux(self.tail == 0, self.size - 1, self.tail - 1)]
        with m.If(pop & self.rdy):
            m.d.sync += at_work.eq(first)
        with m.If((self.inner != 0) & (~self.rdy | pop)):
            m.d.sync += first.eq(Array(ends)[self.head])
        m.d.comb += new.eq(ring.announced + ring.announces)
        for k, end in enumerate(ends):
            with m.If(ring.taken & (self.tail == k)):
                m.d.sync += end.eq(new)
        b.lemma(at_work == (ring.start + rows)[:WIDE], have)
        b.lemma(first == (base + of(self.first))[:WIDE], self.rdy)
        for k, end in enumerate(ends):
            earlier = Mux(self.head == k, before, ends[k - 1])
            b.lemma(end == (earlier + of(self.rows[k]))[:WIDE], self.entries[k + 1][0])
        b.lemma(ring.announced == Mux(self.inner == 0, before, last))


class Parts:
    """What the loader hands a PE, segment after segment: its filter's header, rows of slice headers, rows of values.

    headers, values: rows still to come. partial: there are such. segments: whose header was taken, and that were not
    cast to their end (`cast`). loaded: of the next of them all was in LEAD cycles ago. Proven of the loader in
    test_event_loaded.py; of the caster, that it casts nothing else.
    """

    def __init__(self, b: Bench, cast: Value) -> None:
        m, header = b.m, b.header__payload
        self.headers, self.values = Signal(8, name="headers_left"), Signal(8, name="values_left")
        self.segments = Signal(4, name="segments")
        self.partial = (self.headers != 0) | (self.values != 0)
        b.assume(~b.header__valid | ~self.partial)
        b.assume(~b.headers__valid | (self.headers != 0))
        b.assume(~b.values__valid | (self.headers == 0) & (self.values != 0))
        b.assume((header.header_rows <= ROWS) & (header.value_rows <= ROWS))
        self.taken = b.header__valid & b.header__ready
        self.row, self.value = (
            getattr(b, f"{n}__valid") & getattr(b, f"{n}__ready") for n in ("headers", "values")
        )
        with m.If(self.taken):
            m.d.sync += [self.headers.eq(header.header_rows), self.values.eq(header.value_rows)]
        with m.If(self.row):
            m.d.sync += self.headers.eq(self.headers - 1)
        with m.If(self.value):
            m.d.sync += self.values.eq(self.values - 1)
        m.d.sync += self.segments.eq(self.segments + self.taken - cast)
        nothing = (header.header_rows == 0) & (header.value_rows == 0)
        last_row = self.row & (self.headers == 1) & (self.values == 0)
        complete = self.taken & nothing | last_row | self.value & (self.values == 1)
        age = Signal(LEAD, name="completed")  # bit k: so it was k + 1 cycles ago
        old = Signal(4, name="completed_before")
        m.d.sync += [age.eq(Cat(complete, age)), old.eq(old + age[-1] - cast)]
        self.loaded = old != 0
        # For the induction; that what is loaded has left the queues, too.
        b.lemma(self.segments == self.partial + count(age) + old)
        self.before = [b.past(self.taken, "taken")]
        self.before.append(b.past(self.before[0], "taken_before"))
        b.lemma(self.partial | age[0], self.before[0])
        b.lemma(Mux(self.before[0], age[1], age[:2].any() | self.partial), self.before[1])


class Ring:
    """A ring of words, and what is announced of it: counted in ghosts that are wider than its pointers.

    start: of the segment at work, its tail. left: rows that are announced and not there. taken, announces: a segment's header, and
    its rows. freed: rows that are freed. written: a row is.
    """

    def __init__(
        self,
        b: Bench,
        path: str,
        tail: Value,
        size: int,
        left: Value,
        taken: Value,
        announces: Value,
        written: Value,
        freed: Value,
    ) -> None:
        self.b, self.path, self.name = b, path, path.replace(".", "_")
        self.pointer = size.bit_length()
        self.taken, self.announces, self.written = taken, announces, written
        self.start, self.announced = (
            Signal(WIDE, name=f"{self.name}_{n}") for n in ("start", "announced")
        )
        head = self.head = Signal(WIDE, name=f"{self.name}_head")
        self.at_head = b.inside(f"{path}.head", self.pointer)
        b.m.d.sync += [self.start.eq(self.start + freed), head.eq(head + written)]
        with b.m.If(taken):
            b.m.d.sync += self.announced.eq(self.announced + announces)
        self.level = (head - self.start)[:WIDE]
        b.lemma((head[: self.pointer] == self.at_head) & (self.start[: self.pointer] == tail))
        b.lemma(self.level <= size)
        b.lemma(self.announced == (head + left)[:WIDE])

    def is_read(self, goes: Value, limit: Value) -> None:
        """For the induction, of a ring whose words are waited for: the row that is read, up to a limit, is there soon.

        That a word stays until its reader `goes` on is proven in test_event_streams.py.
        """
        b, path = self.b, self.path
        row, available = b.inside(f"{path}.row", self.pointer), b.inside(f"{path}.available")
        b.keeps_offer("word", b.inside(f"{path}.word", 16), available, goes, check=False)
        ahead = (row - self.start)[: self.pointer]
        b.lemma((ahead <= self.level) & (ahead <= limit))
        b.lemma(row != self.at_head, available)
        b.lemma(available | (row == self.at_head) | b.past(self.written, f"{self.name}_written"))


def never_lasts(b: Bench, stuck: Value) -> None:
    """Something moves after PATIENCE cycles at the latest. stuck: nothing does, though it is served."""
    history = [stuck]
    for k in range(PATIENCE):
        history.append(b.past(history[-1], f"stuck_{k}"))
    b.check(~Cat(history).all())
