"""The event machine's array: the caster, its PEs and the spike buffer between them."""

from __future__ import annotations

from collections.abc import Callable

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import STREAM_BITS, Config
from hw.event.caster import Caster
from hw.event.pe import PE
from hw.event.program import SEGMENT_HEADER, stream_lanes
from hw.geometry import Geometry
from hw.program import LAYER
from hw.spike_buffer import SpikeBuffer, write_layout
from hw.writer import Writer, row_layout


class Array(wiring.Component):
    """n_pe PEs behind one caster. pe: makes one; what stands for a PE has its ports. No barrier: a PE's FIFO is how far it may fall behind.

    PE i writes in cycles congruent to i modulo n_pe, counted from the start of the layer; a classifier's
    results leave in the order of the filters instead. list, segment, loaded, lanes and the PEs' valid and ready:
    the loader's. The rest as of hw.array.Array.
    """

    def __init__(self, config: Config, pe: Callable[[Config], PE] = PE) -> None:
        self.config, self.pe = config, pe
        n = config.n_pe
        super().__init__(
            {
                "list": In(stream.Signature(config.stream_bits)),
                "segment": In(stream.Signature(SEGMENT_HEADER)),
                "loaded": In(1),
                "lanes": In(data.ArrayLayout(STREAM_BITS, stream_lanes(config))),
                "header_valid": In(n),
                "header_ready": Out(n),
                "headers_valid": In(n),
                "headers_ready": Out(n),
                "values_valid": In(n),
                "values_ready": Out(n),
                "row_valid": In(1),
                "row": In(row_layout(config)),
                "layer": In(LAYER),
                "layer_start": In(1),
                "layer_active": In(1),
                "all_done": Out(1),
                "result_room": In(1),
                "result_valid": Out(1),
                "result": Out(data.ArrayLayout(signed(config.accumulator_bits), config.ticks)),
                "counting": In(1),
                "capture": In(1),
                "shift": In(1),
                "chain": Out(STREAM_BITS),
                "written": Out(write_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.geometry = geometry = Geometry(config)
        m.submodules.buffer = buffer = SpikeBuffer(config)
        m.submodules.writer = writer = Writer(config)
        m.submodules.caster = caster = Caster(config)
        pes = [self.pe(config) for _ in range(config.n_pe)]
        connect(m, flipped(self.list), caster.list)
        connect(m, flipped(self.segment), caster.segment)
        fire = Signal()
        m.d.comb += [
            geometry.layer.eq(self.layer),
            caster.loaded.eq(self.loaded),
            caster.layer.eq(self.layer),
            caster.geometry.eq(geometry.o),
            caster.layer_start.eq(self.layer_start),
            caster.words.eq(buffer.words),
            caster.o.ready.eq(Cat(pe.accepts for pe in pes).all()),
            fire.eq(caster.o.valid & caster.o.ready),
            buffer.read.eq(caster.read),
            buffer.address.eq(caster.address),
            buffer.write.eq(writer.write),
            self.written.eq(writer.write),
            writer.row_valid.eq(self.row_valid),
            writer.row.eq(self.row),
            self.all_done.eq(caster.done & Cat(pe.done for pe in pes).all()),
        ]

        slot, turn = (Signal(range(max(config.n_pe, 2)), name=name) for name in ("slot", "turn"))
        writer_pe = Signal.like(slot)
        m.d.comb += writer_pe.eq(Mux(self.layer.raw, turn, slot))
        m.d.sync += slot.eq(Mux(slot == config.n_pe - 1, 0, slot + 1))
        with m.If(self.result_valid):
            m.d.sync += turn.eq(Mux(turn == config.n_pe - 1, 0, turn + 1))
        with m.If(self.layer_start):
            m.d.sync += [slot.eq(0), turn.eq(0)]

        chain = 0
        for i, pe in reversed(list(enumerate(pes))):
            m.submodules[f"pe_{i}"] = pe
            lane = self.lanes[i % stream_lanes(config)]
            m.d.comb += [
                pe.index.eq(i),
                pe.header.payload.eq(lane),
                pe.header.valid.eq(self.header_valid[i]),
                self.header_ready[i].eq(pe.header.ready),
                pe.headers.payload.eq(lane),
                pe.headers.valid.eq(self.headers_valid[i]),
                self.headers_ready[i].eq(pe.headers.ready),
                pe.values.payload.eq(lane),
                pe.values.valid.eq(self.values_valid[i]),
                self.values_ready[i].eq(pe.values.ready),
                pe.layer.eq(self.layer),
                pe.geometry.eq(geometry.o),
                pe.layer_start.eq(self.layer_start),
                pe.layer_active.eq(self.layer_active),
                pe.cast.eq(caster.o.payload),
                pe.fire.eq(fire),
                pe.active.eq(caster.active),
                pe.loading.eq(caster.loading),
                pe.output.ready.eq((writer_pe == i) & (self.result_room | ~self.layer.raw)),
                pe.counting.eq(self.counting),
                pe.capture.eq(self.capture),
                pe.shift.eq(self.shift),
                pe.chain_in.eq(chain),
            ]
            chain = pe.chain_out
        m.d.comb += self.chain.eq(chain)
        self._write(m, writer, pes, writer_pe)
        return m

    def _write(self, m: Module, writer: Writer, pes: list[PE], writer_pe: Signal) -> None:
        """The word of the PE whose turn it is, to the writer, or its sums to the results."""
        output_valid = Signal()
        with m.Switch(writer_pe):
            for i, pe in enumerate(pes):
                with m.Case(i):
                    output = pe.output.payload
                    m.d.comb += [
                        output_valid.eq(pe.output.valid & pe.output.ready),
                        self.result.eq(output.sums),
                        writer.word.channel.eq(output.filter),
                        writer.word.word_y.eq(output.word_y),
                        writer.word.word_x.eq(output.word_x),
                        writer.word.word.eq(output.word),
                    ]
        m.d.comb += [
            writer.word.base.eq(self.layer.output_base),
            writer.word.side.eq(self.layer.output_side),
            writer.word_valid.eq(output_valid & ~self.layer.raw),
            self.result_valid.eq(output_valid & self.layer.raw),
        ]
