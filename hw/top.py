"""The top: a program stream in, a whole network run, a result stream out."""

from __future__ import annotations

from collections.abc import Callable

from amaranth import Module

from hw.array import Array
from hw.chip import Chip
from hw.config import Config
from hw.loader import Loader, beat_layout
from hw.pe import PE


class Top(Chip):
    """Runs programs of hw/program.py; ports as of hw.chip.Chip. pe: makes a PE of the array."""

    def __init__(self, config: Config, pe: Callable[[Config], PE] = PE) -> None:
        self.pe = pe
        super().__init__(config, beat_layout())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        loader, array = Loader(self.config), Array(self.config, self.pe)
        self._around(m, loader, array)
        m.d.comb += [
            loader.header_ready.eq(array.header_ready),
            loader.weights_ready.eq(array.weights_ready),
            array.header.eq(loader.header),
            array.header_valid.eq(loader.header_valid),
            array.weights.eq(loader.weights),
            array.weights_valid.eq(loader.weights_valid),
        ]
        return m
