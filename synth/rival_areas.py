"""What rival designs add to an array of PEs, as small modules to synthesize the same way.

Not part of the array. Sizes: GoSPA decouples its PEs with FIFOs of activations (its depth is not fixed
by its paper as quoted: 4, 8 and 16 are measured); SparTen's GB-H sends every PE's partial sums through a
permuting network to the bank of its filter.
"""

from __future__ import annotations

from collections.abc import Callable

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

ACTIVATION_BITS = 16  # 8 of position, 4 of kernel position, 4 ticks
SUM_BITS = 24


class ActivationFifo(wiring.Component):
    """A PE's queue of activations, as GoSPA puts between its front end and each PE."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(ACTIVATION_BITS)),
                "o": Out(stream.Signature(ACTIVATION_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = SyncFIFO(width=ACTIVATION_BITS, depth=self.depth)
        m.d.comb += [
            queue.w_data.eq(self.i.payload),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            self.o.payload.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        return m


class PermutingNetwork(wiring.Component):
    """Any permutation of n values, n a power of two: a Benes network, registered at its output.

    swaps: one bit for each 2x2 switch, stage after stage, which whoever sorts the filters computes.
    """

    def __init__(self, n: int) -> None:
        if n < 2 or n & (n - 1):
            raise ValueError(f"n = {n}, allowed: a power of two from 2 on")
        self.n = n
        self.stages = 2 * (n.bit_length() - 1) - 1
        super().__init__(
            {
                "i": In(data.ArrayLayout(SUM_BITS, n)),
                "swaps": In(self.stages * n // 2),
                "o": Out(data.ArrayLayout(SUM_BITS, n)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        values = [Signal(SUM_BITS, name=f"in_{k}") for k in range(self.n)]
        swaps = Signal(len(self.swaps))
        m.d.sync += swaps.eq(self.swaps)
        m.d.sync += [value.eq(self.i[k]) for k, value in enumerate(values)]
        for stage, span in enumerate(spans(self.n)):
            moved = [Signal(SUM_BITS, name=f"stage_{stage}_{k}") for k in range(self.n)]
            for switch, low in enumerate(k for k in range(self.n) if not k & span):
                swap = swaps[stage * self.n // 2 + switch]
                m.d.comb += [
                    moved[low].eq(Mux(swap, values[low | span], values[low])),
                    moved[low | span].eq(Mux(swap, values[low], values[low | span])),
                ]
            values = moved
        m.d.sync += [self.o[k].eq(value) for k, value in enumerate(values)]
        return m


def spans(n: int) -> list[int]:
    """Distance of what each stage may swap: n/2 down to 1 and up again."""
    down = [n >> k for k in range(1, n.bit_length())]
    return down + down[-2::-1]


MODULES: dict[str, Callable[[], wiring.Component]] = {
    "gospa_fifo_4": lambda: ActivationFifo(4),
    "gospa_fifo_8": lambda: ActivationFifo(8),
    "gospa_fifo_16": lambda: ActivationFifo(16),
    "sparten_permute_16": lambda: PermutingNetwork(16),
}
"""One FIFO is for one PE; the network is for 16."""
