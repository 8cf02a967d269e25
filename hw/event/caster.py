"""The caster: hands out the slices of a segment's list, tile after tile, to all PEs at once."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import BANKS, WORD_BITS, Config
from hw.event.fifo import END
from hw.event.pe import cast_layout
from hw.event.planes import slice_bits
from hw.event.program import LIST_ENTRY, LIST_WORDS, POSITION_BITS, SEGMENT_HEADER
from hw.event.ring import WordRing
from hw.event.rounds import RoundBase, Visits
from hw.event.slice import SliceReader
from hw.geometry import geometry_layout
from hw.program import layer_layout
from hw.widths import ADDRESS_BITS

QUEUE = 2
"""Slices read and not yet handed out: what it takes to hand out one a cycle."""


def item_layout() -> data.StructLayout:
    """A place of the list, or the end of a pass over it."""
    return data.StructLayout({"entry": LIST_ENTRY, "position": POSITION_BITS, "is_end": 1})


class Caster(wiring.Component):
    """list, segment: from the loader; loaded: a pulse, all of the oldest segment not counted yet is there.

    layer_start: a pulse; after the last segment of a layer the caster is `done` until the next.
    o: what is offered; `o.ready`: every PE takes it. active: PEs may decode the segment that is next handed out.
    loading: a segment is waited for. read, address, words: the spike buffer's ports.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "list": In(stream.Signature(config.stream_bits)),
                "segment": In(stream.Signature(SEGMENT_HEADER)),
                "loaded": In(1),
                "layer": In(layer_layout(config)),
                "geometry": In(geometry_layout(config)),
                "layer_start": In(1),
                "done": Out(1),
                "o": Out(stream.Signature(cast_layout(config))),
                "active": Out(1),
                "loading": Out(1),
                "read": Out(BANKS),
                "address": Out(data.ArrayLayout(ADDRESS_BITS, BANKS)),
                "words": In(data.ArrayLayout(config.word_bits, BANKS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        words = config.stream_bits // WORD_BITS
        m.submodules.list_ring = ring = WordRing(
            macro="uticket_list_ring", width=config.stream_bits, rows=LIST_WORDS // words
        )
        m.submodules.segments = queue = SyncFIFOBuffered(
            width=SEGMENT_HEADER["reserved"].offset, depth=config.segment_depth
        )
        m.submodules.visits = visits = Visits(config)
        connect(m, flipped(self.list), ring.i)
        m.d.comb += [
            queue.w_data.eq(self.segment.payload),
            queue.w_en.eq(self.segment.valid & self.segment.ready),
            self.segment.ready.eq(queue.w_rdy),
            visits.geometry.eq(self.geometry),
            visits.layer_start.eq(self.layer_start),
            visits.more_rounds.eq(self.layer.more_rounds),
        ]

        open_segment = Signal()
        end_segment = Signal()
        segment, waiting = self._segments(m, queue, open_segment, end_segment)

        # --- places of the list, one a cycle ---
        index = Signal(POSITION_BITS)
        begin = Signal(ring.pointer)
        end = Signal(ring.pointer)
        item = Signal(item_layout(), reset_less=True)
        item_valid = Signal()
        hand = Signal()
        item_done = Signal()
        pass_end = Signal()
        last_pass = Signal()
        over = Signal()  # the list has no more
        list_rows = (segment.length + (words - 1)) >> (words.bit_length() - 1)
        m.d.comb += [
            over.eq(index == segment.length),
            end.eq(begin + list_rows),
            last_pass.eq(~segment.all_tiles | visits.last),
            pass_end.eq(item_done & item.is_end),
            visits.step.eq(pass_end & segment.close),
            ring.tail.eq(begin),
            ring.advance.eq(hand & ~over),
            ring.jump.eq(pass_end),
            ring.to.eq(Mux(last_pass, end, begin)),
        ]
        with m.If(item_done):
            m.d.sync += item_valid.eq(0)
        with m.If(hand):
            m.d.sync += [
                item_valid.eq(1),
                item.entry.eq(ring.word),
                item.position.eq(index),
                item.is_end.eq(over),
                index.eq(index + 1),
            ]
        with m.If(pass_end):
            m.d.sync += index.eq(0)
            with m.If(last_pass):
                m.d.sync += begin.eq(end)
        ready = (over | ring.available) & (~item_valid | item_done)
        self._sequence(
            m, waiting, open_segment, ready, hand, over, pass_end, last_pass, segment.end
        )

        # --- their slices ---
        fire = Signal()
        m.submodules.reader = reader = SliceReader(config)
        self._bases(m, reader, visits)
        reads = self._read(m, reader, visits, item, item_valid, item_done, fire)
        ends = {
            "is_end": item.is_end,
            "close": segment.close,
            "segment_end": last_pass,
            "layer_end": last_pass & segment.end,
        }
        self._offer(m, reader, item, ends, reads, item_done, fire, end_segment)
        return m

    def _segments(
        self, m: Module, queue: SyncFIFOBuffered, open_segment: Signal, end_segment: Signal
    ) -> tuple[data.View, Signal]:
        """The segment taken up last, and how many are loaded and were not taken up."""
        segment = Signal(SEGMENT_HEADER)
        following = Signal(SEGMENT_HEADER)
        counted = Signal()
        waiting = Signal(self.config.segment_depth.bit_length() + 1)
        opened = Signal(2)  # segments taken up and not handed out to the end
        m.d.comb += [following.eq(queue.r_data), queue.r_en.eq(open_segment)]
        m.d.sync += [
            counted.eq(self.loaded),
            waiting.eq(waiting + counted - open_segment),
            opened.eq(opened + open_segment - end_segment),
        ]
        m.d.comb += self.active.eq(opened != 0)
        with m.If(open_segment):
            m.d.sync += segment.eq(following)
        return segment, waiting

    def _sequence(
        self,
        m: Module,
        waiting: Signal,
        open_segment: Signal,
        ready: Value,
        hand: Signal,
        over: Signal,
        pass_end: Signal,
        last_pass: Signal,
        layer_end: Value,
    ) -> None:
        """Segments of a layer, passes over a segment's list, places of a pass.

        waiting: segments to take up. ready: a place can be handed on. Drives open_segment and hand.
        """
        with m.FSM(init="DONE"):
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                with m.If(self.layer_start):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.comb += [open_segment.eq(waiting != 0), self.loading.eq(waiting == 0)]
                with m.If(open_segment):
                    m.next = "CAST"
            with m.State("CAST"):
                m.d.comb += hand.eq(ready)
                with m.If(hand & over):
                    m.next = "TURN"
            with m.State("TURN"):
                with m.If(pass_end & ~last_pass):
                    m.next = "CAST"
                with m.Elif(pass_end & layer_end):
                    m.next = "DONE"
                with m.Elif(pass_end):
                    m.d.comb += open_segment.eq(waiting != 0)
                    m.next = "WAIT"
                    with m.If(open_segment):
                        m.next = "CAST"

    def _bases(self, m: Module, reader: SliceReader, visits: Visits) -> None:
        """Where this round's parts of the layer's maps begin."""
        for name in ("input", "shortcut"):
            base = RoundBase(ADDRESS_BITS)
            m.submodules[f"{name}_base"] = base
            m.d.comb += [
                base.layer_start.eq(self.layer_start),
                base.step.eq(visits.step),
                base.last_round.eq(visits.last_round),
                base.base.eq(self.layer[name].base),
                base.words.eq(self.layer.extension[f"{name}_words"]),
                getattr(reader, f"{name}_base").eq(base.at),
            ]

    def _read(
        self,
        m: Module,
        reader: SliceReader,
        visits: Visits,
        item: data.View,
        item_valid: Signal,
        item_done: Signal,
        fire: Signal,
    ) -> Signal:
        """Ask the banks for an item's slice, in one pass or more, up to QUEUE ahead; whether it does."""
        second = Signal(2)
        twice = Signal(2)
        ahead = Signal(range(QUEUE + 1))  # items begun and not handed out
        begins = Signal()
        reads = Signal()
        last_read = Signal()
        m.d.comb += [
            reader.layer.eq(self.layer),
            reader.entry.eq(item.entry),
            reader.tile_y.eq(visits.y),
            reader.tile_x.eq(visits.x),
            reader.second.eq(second),
            reader.words.eq(self.words),
            self.address.eq(reader.address),
            self.read.eq(Mux(reads & ~item.is_end, reader.read, 0)),
            twice.eq(Mux(item.is_end, 0, reader.twice)),
            begins.eq(item_valid & (second == 0) & ((ahead != QUEUE) | fire)),
            reads.eq(begins | (second != 0)),
            last_read.eq(second == twice),
            item_done.eq(reads & last_read),
        ]
        m.d.sync += ahead.eq(ahead + begins - fire)
        with m.If(reads):
            m.d.sync += second.eq(Mux(last_read, 0, following_pass(second, twice)))
        return reads

    def _offer(
        self,
        m: Module,
        reader: SliceReader,
        item: data.View,
        ends: dict[str, Value],
        reads: Signal,
        item_done: Signal,
        fire: Signal,
        end_segment: Signal,
    ) -> None:
        """Put the passes of a slice together, and offer it, with what it `ends`, to the PEs."""
        read, read_last = Signal(name="was_read"), Signal(name="read_last")
        what = Signal(END, reset_less=True)
        held = Signal(item_layout(), reset_less=True)
        partial = Signal(slice_bits(self.config))
        whole = Signal(slice_bits(self.config))
        m.d.sync += [read.eq(reads), read_last.eq(item_done), held.eq(item)]
        m.d.sync += [what[name].eq(value) for name, value in ends.items()]
        m.d.comb += whole.eq(partial | Mux(held.is_end, 0, reader.slice))
        with m.If(read):
            m.d.sync += partial.eq(Mux(read_last, 0, whole))

        level = Signal(range(QUEUE + 1))
        first = self.o.payload
        after = Signal(cast_layout(self.config))
        fresh = Signal(cast_layout(self.config))
        push = read & read_last
        m.d.comb += [
            fresh.spikes.eq(whole),
            fresh.shortcut.eq(held.entry.shortcut),
            fresh.position.eq(held.position),
            fresh.what.eq(what),
            self.o.valid.eq(level != 0),
            fire.eq(self.o.valid & self.o.ready),
            end_segment.eq(fire & first.what.is_end & first.what.segment_end),
        ]
        head = Signal(cast_layout(self.config), reset_less=True)
        m.d.comb += first.eq(head)
        m.d.sync += level.eq(level + push - fire)
        with m.If(fire):
            m.d.sync += head.eq(after)
        with m.If(push):
            with m.If(level == fire):  # it becomes the first
                m.d.sync += head.eq(fresh)
            with m.Else():
                m.d.sync += after.eq(fresh)


def following_pass(second: Signal, twice: Signal) -> Signal:
    """The next of up to four passes: x before y."""
    return Mux(twice[0] & ~second[0], second | 1, 2)
