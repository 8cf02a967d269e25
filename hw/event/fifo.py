"""The slice FIFO of a PE: how far it may fall behind the caster."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.event.planes import slice_bits
from hw.event.program import SUBS
from hw.widths import KERNEL


def entry_layout(config: Config) -> data.StructLayout:
    """A slice as a PE keeps it, with the taps that its filter has in it."""
    return data.StructLayout({"spikes": slice_bits(config), "taps": SUBS * KERNEL, "shortcut": 1})


END = data.StructLayout({"is_end": 1, "close": 1, "segment_end": 1, "layer_end": 1})
"""What comes next: a slice, or the end of a pass over the list and what that ends."""


class SliceFifo(wiring.Component):
    """Slices in order, and between them the ends of passes, which take no place of a slice.

    push: `entry` is appended, or an end where `what.is_end`; only with `room`, or `end_room`.
    next_valid, next_what: what was not yet begun. begin: its work begins; an end is then gone.
    source: the entry to take a tap from: the one at work where `more`, else the next. work: the one at work;
    pop: it is done.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "push": In(1),
                "what": In(END),
                "entry": In(entry_layout(config)),
                "room": Out(1),
                "end_room": Out(1),
                "next_valid": Out(1),
                "next_what": Out(END),
                "begin": In(1),
                "more": In(1),
                "source": Out(entry_layout(config)),
                "work": Out(entry_layout(config)),
                "pop": In(1),
            }
        )

    @staticmethod
    def places(config: Config) -> int:
        """Slices and ends together."""
        return 2 * config.fifo_depth

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth, places = self.config.fifo_depth, self.places(self.config)
        # The first slice has registers of its own: its spikes are looked up in every cycle. Those behind it are found one-hot.
        work = Signal.like(self.work, name="first", reset_less=True)
        begun = Signal()
        behind = [
            Signal.like(self.work, name=f"behind_{k}", reset_less=True) for k in range(depth - 1)
        ]
        second = Signal.like(self.work, name="second")
        m.submodules.order = order = Memory(
            shape=END, depth=places, init=[], attrs={"ram_style": "distributed"}
        )
        order_write = order.write_port()
        order_read = order.read_port(domain="comb")
        level = Signal(range(depth + 1), name="level")  # of slices, the first included
        order_level = Signal(range(places + 1))
        is_slice = Signal()
        direct = Signal()

        def pointer(name: str, size: int, moves: Value) -> Signal:
            at = Signal(range(size), name=name)
            with m.If(moves):
                m.d.sync += at.eq(Mux(at == size - 1, 0, at + 1))
            return at

        def place(name: str, moves: Value) -> Signal:
            """Of one behind, one-hot."""
            at = Signal(len(behind), name=name, init=1)
            with m.If(moves):
                m.d.sync += at.eq(at.rotate_left(1))
            return at

        follows = self.pop & (level != 1)  # the slice behind becomes the first
        waits = is_slice & ~direct
        head, tail = place("head", follows), place("tail", waits)
        for here, one in zip(tail, behind, strict=True):
            with m.If(waits & here):
                m.d.sync += one.eq(self.entry)
        read = [Mux(here, one.as_value(), 0) for here, one in zip(head, behind, strict=True)]
        m.d.comb += [
            is_slice.eq(self.push & ~self.what.is_end),
            direct.eq(is_slice & (level == self.pop)),
            self.room.eq((level != depth) & (order_level != places)),
            self.end_room.eq(order_level != places),
            second.eq(reduce(or_, read)),
            order_write.en.eq(self.push),
            order_write.addr.eq(pointer("order_tail", places, self.push)),
            order_write.data.eq(self.what),
            order_read.addr.eq(pointer("order_head", places, self.begin)),
            self.next_valid.eq(order_level != 0),
            self.next_what.eq(order_read.data),
            self.work.eq(work),
            self.source.eq(Mux(begun & ~self.more, second, work)),
        ]
        m.d.sync += [
            level.eq(level + is_slice - self.pop),
            order_level.eq(order_level + self.push - self.begin),
        ]
        with m.If(direct | follows):
            m.d.sync += work.eq(Mux(direct, self.entry, second))
        with m.If(self.pop):
            m.d.sync += begun.eq(0)
        with m.If(self.begin & ~self.next_what.is_end):
            m.d.sync += begun.eq(1)
        return m
