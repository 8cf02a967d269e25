"""The slice FIFO of a PE: how far it may fall behind the caster."""

from __future__ import annotations

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
        m.submodules.slices = slices = Memory(
            shape=self.entry.shape(), depth=depth, init=[], attrs={"ram_style": "distributed"}
        )
        m.submodules.order = order = Memory(
            shape=END, depth=places, init=[], attrs={"ram_style": "distributed"}
        )
        write, order_write = slices.write_port(), order.write_port()
        source, work = slices.read_port(domain="comb"), slices.read_port(domain="comb")
        order_read = order.read_port(domain="comb")
        level, order_level = Signal(range(depth + 1)), Signal(range(places + 1))
        tail, head, following = (
            Signal(range(depth), name=n) for n in ("tail", "head", "following")
        )
        order_tail, order_head = Signal(range(places)), Signal(range(places))

        def step(pointer: Signal, size: int) -> Value:
            return Mux(pointer == size - 1, 0, pointer + 1)

        is_slice = self.push & ~self.what.is_end
        m.d.comb += [
            self.room.eq((level != depth) & (order_level != places)),
            self.end_room.eq(order_level != places),
            write.en.eq(is_slice),
            write.addr.eq(tail),
            write.data.eq(self.entry),
            order_write.en.eq(self.push),
            order_write.addr.eq(order_tail),
            order_write.data.eq(self.what),
            order_read.addr.eq(order_head),
            self.next_valid.eq(order_level != 0),
            self.next_what.eq(order_read.data),
            source.addr.eq(Mux(self.more, head, following)),
            self.source.eq(source.data),
            work.addr.eq(head),
            self.work.eq(work.data),
        ]
        m.d.sync += [
            level.eq(level + is_slice - self.pop),
            order_level.eq(order_level + self.push - self.begin),
        ]
        with m.If(is_slice):
            m.d.sync += tail.eq(step(tail, depth))
        with m.If(self.push):
            m.d.sync += order_tail.eq(step(order_tail, places))
        with m.If(self.begin):
            m.d.sync += order_head.eq(step(order_head, places))
            with m.If(~self.next_what.is_end):
                m.d.sync += following.eq(step(following, depth))
        with m.If(self.pop):
            m.d.sync += head.eq(step(head, depth))
        return m
