"""The array: PEs, spike buffer, the time slots in which they meet, and the barrier."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.config import BANKS, STREAM_BITS, Config
from hw.fetch import REQUEST
from hw.pe import PE
from hw.pe_array import PeArray
from hw.program import FILTER_HEADER
from hw.window import LATENCY, WindowReader


class Array(PeArray):
    """n_pe PEs around one spike buffer. pe: makes one; what stands for a PE has its ports.

    PE i reads in cycles congruent to i modulo n_pe (to i // 4 modulo n_pe / 4 where maps are small).
    header, weights: from the loader. The rest as of hw.pe_array.PeArray.
    """

    def __init__(self, config: Config, pe: Callable[[Config], PE] = PE) -> None:
        self.pe = pe
        super().__init__(
            config,
            {
                "header": In(FILTER_HEADER),
                "header_valid": In(config.n_pe),
                "header_ready": Out(config.n_pe),
                "weights": In(STREAM_BITS),
                "weights_valid": In(config.n_pe),
                "weights_ready": Out(config.n_pe),
            },
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.windows = windows = WindowReader(config)
        pes = [self.pe(config) for _ in range(config.n_pe)]
        _, buffer, slot = self._around(m, pes)
        rotation = -(-config.n_pe // BANKS)  # cycles in which every PE has a slot, small maps
        phase = Signal(range(max(rotation, 2)))
        m.d.sync += phase.eq(Mux(phase == rotation - 1, 0, phase + 1))
        with m.If(self.layer_start):
            m.d.sync += phase.eq(0)
        m.d.comb += [
            windows.layer.eq(self.layer),
            buffer.read.eq(windows.read),
            buffer.address.eq(windows.address),
            windows.words.eq(buffer.words),
            self.all_done.eq(Cat(pe.done for pe in pes).all()),
        ]

        release = Signal()
        m.d.comb += release.eq(Cat(pe.at_barrier for pe in pes).all())
        port_layout = data.StructLayout({"valid": 1, "request": REQUEST})
        ports = [Signal(port_layout, name=f"port_{b}") for b in range(BANKS)]
        m.d.comb += [
            windows.valid.eq(Cat(port.valid for port in ports)),
            windows.requests.eq(Cat(port.request for port in ports)),
        ]
        for i, pe in enumerate(pes):
            mine = Mux(self.layer.fast, phase == i // BANKS, slot == i)
            granted, window_valid = self._load(m, pe, i, mine)
            m.d.comb += [
                pe.window_valid.eq(window_valid),
                pe.window.eq(windows.windows[i % BANKS]),
                pe.release.eq(release),
            ]
            port = ports[i % BANKS]
            with m.If(granted):
                m.d.comb += [port.valid.eq(1), port.request.eq(pe.request.payload)]
        return m

    def _load(self, m: Module, pe: PE, i: int, mine: Value) -> tuple[Signal, Signal]:
        """PE i behind its queue of headers. mine: its read slot.

        Whether its request is granted, and whether its window is there.
        """
        queue = SyncFIFOBuffered(width=FILTER_HEADER.size, depth=self.config.queue_depth)
        m.submodules[f"headers_{i}"] = queue
        granted = [Signal(name=f"granted_{i}_{k}") for k in range(LATENCY + 1)]
        for before, after in pairwise(granted):
            m.d.sync += after.eq(before)
        m.d.comb += [
            queue.w_en.eq(self.header_valid[i]),
            queue.w_data.eq(self.header),
            self.header_ready[i].eq(queue.w_rdy),
            pe.header.payload.eq(queue.r_data),
            pe.header.valid.eq(queue.r_rdy),
            queue.r_en.eq(pe.header.ready),
            pe.weights.payload.eq(self.weights),
            pe.weights.valid.eq(self.weights_valid[i]),
            self.weights_ready[i].eq(pe.weights.ready),
            pe.request.ready.eq(mine),
            granted[0].eq(pe.request.valid & mine),
        ]
        return granted[0], granted[-1]
