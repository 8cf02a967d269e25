"""The event machine's array: the caster, its PEs and the spike buffer between them."""

from __future__ import annotations

from collections.abc import Callable

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import STREAM_BITS, Config
from hw.event.caster import Caster
from hw.event.pe import PE
from hw.event.program import SEGMENT_HEADER, stream_lanes
from hw.pe_array import PeArray


class Array(PeArray):
    """n_pe PEs behind one caster. pe: makes one; what stands for a PE has its ports.

    No barrier: a PE's FIFO is how far it may fall behind. list, segment, loaded, lanes and the PEs'
    valid and ready: the loader's. The rest as of hw.pe_array.PeArray.
    """

    def __init__(self, config: Config, pe: Callable[[Config], PE] = PE) -> None:
        self.pe = pe
        n = config.n_pe
        super().__init__(
            config,
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
            },
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.caster = caster = Caster(config)
        pes = [self.pe(config) for _ in range(config.n_pe)]
        geometry, buffer, _ = self._around(m, pes)
        connect(m, flipped(self.list), caster.list)
        connect(m, flipped(self.segment), caster.segment)
        fire = Signal()
        m.d.comb += [
            caster.loaded.eq(self.loaded),
            caster.layer.eq(self.layer),
            caster.geometry.eq(geometry.o),
            caster.layer_start.eq(self.layer_start),
            caster.words.eq(buffer.words),
            caster.o.ready.eq(Cat(pe.accepts for pe in pes).all()),
            fire.eq(caster.o.valid & caster.o.ready),
            buffer.read.eq(caster.read),
            buffer.address.eq(caster.address),
            self.all_done.eq(caster.done & Cat(pe.done for pe in pes).all()),
        ]
        for i, pe in enumerate(pes):
            for kind in ("header", "headers", "values"):
                port = getattr(pe, kind)
                m.d.comb += [
                    port.payload.eq(self.lanes[i % stream_lanes(config)]),
                    port.valid.eq(getattr(self, f"{kind}_valid")[i]),
                    getattr(self, f"{kind}_ready")[i].eq(port.ready),
                ]
            m.d.comb += [
                pe.cast.eq(caster.o.payload),
                pe.fire.eq(fire),
                pe.active.eq(caster.active),
                pe.loading.eq(caster.loading),
            ]
        return m
