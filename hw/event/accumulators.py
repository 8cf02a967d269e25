"""A PE's accumulators: banks that add side by side, and are read side by side when a tile is drained."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.event.bank import Bank
from hw.event.issue import step_signature
from hw.event.planes import place, shape


class Accumulators(wiring.Component):
    """step: what is added in the next cycle. average: the bias is given to position 0 alone.

    draining, y, x, lanes: positions that are read in the next cycle, and start from the bias again; `sums` are
    theirs then. adding, spikes: banks that add in this cycle, and in which ticks.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        bits = config.tile_side.bit_length() - 1
        sums = data.ArrayLayout(signed(config.accumulator_bits), config.ticks)
        super().__init__(
            {
                "step": In(step_signature(config)),
                "average": In(1),
                "draining": In(1),
                "y": In(bits),
                "x": In(bits),
                "lanes": In(config.lifs),
                "sums": Out(data.ArrayLayout(sums, config.lifs)),
                "adding": Out(config.banks),
                "spikes": Out(data.ArrayLayout(config.ticks, config.banks)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, step = self.config, self.step
        across = config.tile_side // shape(config)[1]
        log_y, log_x = (n.bit_length() - 1 for n in shape(config))
        at = Signal.like(step.at, name="at", reset_less=True)
        spikes = Signal.like(step.spikes, name="spikes_at", reset_less=True)
        weight = Signal.like(step.weight, name="weight", reset_less=True)
        bias = Signal.like(step.bias, name="bias", reset_less=True)
        drain_at = Signal.like(step.at[0], name="drain_at")
        m.d.comb += [
            drain_at.eq(1 << ((self.y >> log_y) * across + (self.x >> log_x))),
            self.spikes.eq(spikes),
        ]
        m.d.sync += [
            self.adding.eq(step.valid),
            spikes.eq(step.spikes),
            weight.eq(step.weight),
            bias.eq(step.bias),
        ]
        banks = []
        for b in range(config.banks):
            m.submodules[f"bank_{b}"] = bank = Bank(config)
            banks.append(bank)
            drained = Signal(name=f"drained_{b}")
            m.d.sync += [
                at[b].eq(Mux(self.draining, drain_at, step.at[b])),
                drained.eq(self._drains(b)),
            ]
            biased: Value = ~self.average
            if place(config, 0, 0)[0] == b:
                biased = biased | at[b][place(config, 0, 0)[1]]
            m.d.comb += [
                bank.add.eq(self.adding[b]),
                bank.drain.eq(drained),
                bank.at.eq(at[b]),
                bank.spikes.eq(spikes[b]),
                bank.weight.eq(weight),
                bank.bias.eq(bias),
                bank.biased.eq(biased),
            ]
        self._read(m, banks)
        return m

    def _drains(self, b: int) -> Value:
        """Whether one of the positions that are drained next lies in bank b."""
        by, bx = shape(self.config)
        mine: Value = Const(0)
        for k in range(self.config.lifs):
            here = self.lanes[k]
            if by > 1:
                here = here & (self.y[: by.bit_length() - 1] == b // bx)
            if bx > 1:
                here = here & ((self.x + k)[: bx.bit_length() - 1] == b % bx)
            mine = mine | here
        return mine

    def _read(self, m: Module, banks: list[Bank]) -> None:
        """Sums of the positions that are drained: side by side in a row, so in banks side by side."""
        config = self.config
        by, bx = shape(config)
        here = Signal(by * bx, name="read", reset_less=True)  # one-hot: the first lane's
        m.d.sync += here.eq(1 << Cat(self.x[: bx.bit_length() - 1], self.y[: by.bit_length() - 1]))
        for k in range(config.lifs):
            read = [
                Mux(here[b], banks[b + k].sums.as_value(), 0)
                for b in range(0, config.banks, config.lifs)
            ]
            m.d.comb += self.sums[k].eq(reduce(or_, read))
