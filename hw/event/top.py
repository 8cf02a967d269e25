"""The event machine's top: a program stream in, a whole network run, a result stream out."""

from __future__ import annotations

from collections.abc import Callable

from amaranth import Module
from amaranth.lib.wiring import connect

from hw.chip import Chip
from hw.config import Config
from hw.event.array import Array
from hw.event.loader import Loader, beat_layout
from hw.event.pe import PE


class Top(Chip):
    """Runs programs of hw/event/program.py; ports as of hw.chip.Chip. pe: makes a PE of the array."""

    def __init__(self, config: Config, pe: Callable[[Config], PE] = PE) -> None:
        self.pe = pe
        super().__init__(config, beat_layout(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        loader, array = Loader(self.config), Array(self.config, self.pe)
        self._around(m, loader, array)
        connect(m, loader.list, array.list)
        connect(m, loader.segment, array.segment)
        m.d.comb += [array.loaded.eq(loader.loaded), array.lanes.eq(loader.lanes)]
        for kind in ("header", "headers", "values"):
            valid, ready = f"{kind}_valid", f"{kind}_ready"
            m.d.comb += [
                getattr(array, valid).eq(getattr(loader, valid)),
                getattr(loader, ready).eq(getattr(array, ready)),
            ]
        return m
