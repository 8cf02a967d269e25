"""What the arrays of both machines have: PEs that write in turn into one spike buffer, and a chain of counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import STREAM_BITS, Config
from hw.geometry import Geometry
from hw.program import layer_layout
from hw.spike_buffer import SpikeBuffer, write_layout
from hw.widths import CHANNEL_BITS
from hw.writer import Writer, row_layout


class PeArray(wiring.Component):
    """n_pe PEs around one spike buffer.

    PE i writes in cycles congruent to i modulo n_pe, counted from the start of the layer: no arbiter.
    A classifier's results leave in the order of the filters instead.
    row: from the APU, where `row_ready`. layer, layer_start, layer_active, counting, capture, shift: from the sequencer.
    all_done: every PE's output of the layer is out. results: raw accumulators of a classifier; room: it takes
    one more. written: the buffer's writes. more: ports of the machine's own.
    """

    def __init__(self, config: Config, more: dict[str, Any]) -> None:
        self.config = config
        super().__init__(
            {
                **more,
                "row_valid": In(1),
                "row": In(row_layout(config)),
                "row_ready": Out(1),
                "layer": In(layer_layout(config)),
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

    def _around(self, m: Module, pes: Sequence[Any]) -> tuple[Geometry, SpikeBuffer, Signal]:
        """All but what PEs read: the layer's geometry, the buffer, and which PE's slot it is."""
        config, layer = self.config, self.layer
        m.submodules.geometry = geometry = Geometry(config)
        m.submodules.buffer = buffer = SpikeBuffer(config)
        m.submodules.writer = writer = Writer(config)
        last_of_group = Signal()  # the result is the last filter's of its group
        slot, turn = (Signal(range(max(config.n_pe, 2)), name=name) for name in ("slot", "turn"))
        writer_pe = Signal.like(slot)
        m.d.comb += [
            geometry.layer.eq(layer),
            buffer.write.eq(writer.write),
            self.written.eq(writer.write),
            writer.row_valid.eq(self.row_valid),
            writer.row.eq(self.row),
            self.row_ready.eq(writer.row_ready),
            writer_pe.eq(Mux(layer.raw, turn, slot)),
        ]
        m.d.sync += slot.eq(Mux(slot == config.n_pe - 1, 0, slot + 1))
        with m.If(self.result_valid):
            m.d.sync += turn.eq(Mux(last_of_group, 0, turn + 1))
        with m.If(self.layer_start):
            m.d.sync += [slot.eq(0), turn.eq(0)]
        chain: Value | int = 0
        for i, pe in reversed(list(enumerate(pes))):
            m.submodules[f"pe_{i}"] = pe
            m.d.comb += [
                pe.index.eq(i),
                pe.layer.eq(layer),
                pe.geometry.eq(geometry.o),
                pe.layer_start.eq(self.layer_start),
                pe.layer_active.eq(self.layer_active),
                pe.output.ready.eq((writer_pe == i) & (self.result_room | ~layer.raw)),
                pe.counting.eq(self.counting),
                pe.capture.eq(self.capture),
                pe.shift.eq(self.shift),
                pe.chain_in.eq(chain),
            ]
            chain = pe.chain_out
        m.d.comb += self.chain.eq(chain)
        self._write(m, pes, writer_pe, writer, last_of_group)
        return geometry, buffer, slot

    def _write(
        self,
        m: Module,
        pes: Sequence[Any],
        writer_pe: Signal,
        writer: Writer,
        last_of_group: Signal,
    ) -> None:
        """The word of the PE whose turn it is, into the spike buffer or out as a result."""
        output_valid = Signal()
        filter_ = Signal(CHANNEL_BITS)
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
                        filter_.eq(output.filter),
                    ]
                    if self.config.machine == "event":
                        m.d.comb += [
                            writer.word[name].eq(output[name])
                            for name in ("base", "part", "down", "right")
                        ]
        if self.config.machine == "sweep":
            m.d.comb += writer.word.base.eq(self.layer.output_base)
        m.d.comb += [
            writer.word.side.eq(self.layer.output_side),
            writer.word_valid.eq(output_valid & ~self.layer.raw),
            self.result_valid.eq(output_valid & self.layer.raw),
            last_of_group.eq(
                (writer_pe == self.config.n_pe - 1) | (filter_ == self.layer.filters - 1)
            ),
        ]
