"""The array: PEs, spike buffer, the time slots in which they meet, and the barrier."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.config import BANKS, STREAM_BITS, Config
from hw.fetch import REQUEST
from hw.geometry import Geometry
from hw.pe import PE
from hw.program import FILTER_HEADER, LAYER
from hw.spike_buffer import SpikeBuffer, write_layout
from hw.window import LATENCY, WindowReader
from hw.writer import Writer, row_layout


class Array(wiring.Component):
    """n_pe PEs around one spike buffer. pe: makes one; what stands for a PE has its ports.

    PE i reads in cycles congruent to i modulo n_pe (to i // 4 modulo n_pe / 4 where maps are small)
    and writes in cycles congruent to i modulo n_pe, counted from the start of the layer: no arbiter.
    A classifier's results leave in the order of the filters instead.
    header, weights: from the loader. row: from the APU. layer, layer_start, layer_active, counting,
    capture, shift: from the sequencer. all_done: every PE's output of the layer is out.
    results: raw accumulators of a classifier; room: it takes one more. written: the buffer's writes.
    """

    def __init__(self, config: Config, pe: Callable[[Config], PE] = PE) -> None:
        self.config, self.pe = config, pe
        super().__init__(
            {
                "header": In(FILTER_HEADER),
                "header_valid": In(config.n_pe),
                "header_ready": Out(config.n_pe),
                "weights": In(STREAM_BITS),
                "weights_valid": In(config.n_pe),
                "weights_ready": Out(config.n_pe),
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
        m.submodules.windows = windows = WindowReader(config)
        m.submodules.writer = writer = Writer(config)
        pes = [self.pe(config) for _ in range(config.n_pe)]
        rotation = -(-config.n_pe // BANKS)  # cycles in which every PE has a slot, small maps
        slot, phase = Signal(range(max(config.n_pe, 2))), Signal(range(max(rotation, 2)))
        m.d.sync += [
            slot.eq(Mux(slot == config.n_pe - 1, 0, slot + 1)),
            phase.eq(Mux(phase == rotation - 1, 0, phase + 1)),
        ]
        with m.If(self.layer_start):
            m.d.sync += [slot.eq(0), phase.eq(0)]

        # Results have no address: they leave in the order of the filters.
        turn, writer_pe = Signal.like(slot), Signal.like(slot)
        m.d.comb += writer_pe.eq(Mux(self.layer.raw, turn, slot))
        with m.If(self.result_valid):
            m.d.sync += turn.eq(Mux(turn == config.n_pe - 1, 0, turn + 1))
        with m.If(self.layer_start):
            m.d.sync += turn.eq(0)

        m.d.comb += [
            geometry.layer.eq(self.layer),
            windows.layer.eq(self.layer),
            buffer.read.eq(windows.read),
            buffer.address.eq(windows.address),
            windows.words.eq(buffer.words),
            buffer.write.eq(writer.write),
            self.written.eq(writer.write),
            writer.row_valid.eq(self.row_valid),
            writer.row.eq(self.row),
        ]

        release = Signal()
        m.d.comb += release.eq(Cat(pe.at_barrier for pe in pes).all())
        m.d.comb += self.all_done.eq(Cat(pe.done for pe in pes).all())
        port_layout = data.StructLayout({"valid": 1, "request": REQUEST})
        ports = [Signal(port_layout, name=f"port_{b}") for b in range(BANKS)]
        m.d.comb += [
            windows.valid.eq(Cat(port.valid for port in ports)),
            windows.requests.eq(Cat(port.request for port in ports)),
        ]
        chain: Value | int = 0
        for i, pe in reversed(list(enumerate(pes))):
            m.submodules[f"pe_{i}"] = pe
            mine = Mux(self.layer.fast, phase == i // BANKS, slot == i)
            granted, window_valid = self._load(m, pe, i, mine)
            m.d.comb += [
                pe.geometry.eq(geometry.o),
                pe.window_valid.eq(window_valid),
                pe.window.eq(windows.windows[i % BANKS]),
                pe.release.eq(release),
                pe.output.ready.eq((writer_pe == i) & (self.result_room | ~self.layer.raw)),
                pe.chain_in.eq(chain),
            ]
            chain = pe.chain_out
            port = ports[i % BANKS]
            with m.If(granted):
                m.d.comb += [port.valid.eq(1), port.request.eq(pe.request.payload)]
        m.d.comb += self.chain.eq(chain)
        self._write(m, pes, writer_pe, writer)
        return m

    def _load(self, m: Module, pe: PE, i: int, mine: Value) -> tuple[Signal, Signal]:
        """PE i behind its queue of headers, and what all PEs get alike.

        mine: its read slot. Whether its request is granted, and whether its window is there.
        """
        queue = SyncFIFOBuffered(width=FILTER_HEADER.size, depth=self.config.queue_depth)
        m.submodules[f"headers_{i}"] = queue
        granted = [Signal(name=f"granted_{i}_{k}") for k in range(LATENCY + 1)]
        for before, after in pairwise(granted):
            m.d.sync += after.eq(before)
        m.d.comb += [
            pe.index.eq(i),
            queue.w_en.eq(self.header_valid[i]),
            queue.w_data.eq(self.header),
            self.header_ready[i].eq(queue.w_rdy),
            pe.header.payload.eq(queue.r_data),
            pe.header.valid.eq(queue.r_rdy),
            queue.r_en.eq(pe.header.ready),
            pe.weights.payload.eq(self.weights),
            pe.weights.valid.eq(self.weights_valid[i]),
            self.weights_ready[i].eq(pe.weights.ready),
            pe.layer.eq(self.layer),
            pe.layer_start.eq(self.layer_start),
            pe.layer_active.eq(self.layer_active),
            pe.request.ready.eq(mine),
            granted[0].eq(pe.request.valid & mine),
            pe.counting.eq(self.counting),
            pe.capture.eq(self.capture),
            pe.shift.eq(self.shift),
        ]
        return granted[0], granted[-1]

    def _write(self, m: Module, pes: list[PE], writer_pe: Signal, writer: Writer) -> None:
        """The word of the PE whose turn it is, into the spike buffer or out as a result."""
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
