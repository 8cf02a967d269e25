"""The lanes of a PE: for each tick one AND gate, one adder and the accumulators of a tile."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import Config
from hw.sram import UNUSED_COLLISIONS


def step_layout(config: Config) -> data.StructLayout:
    """One position of a sweep, for all lanes."""
    position_bits = config.tile_side.bit_length() - 1
    return data.StructLayout(
        {
            "y": position_bits,
            "x": position_bits,
            "spikes": config.lanes,
            "accumulate": 1,  # the position is in the tile: add the weight where the spike is 1
            "opening": 1,  # start from the bias instead of the accumulator
            "weight": signed(config.weight_bits),
            "bias": signed(config.accumulator_bits),
        }
    )


class Lanes(wiring.Component):
    """Read, add, write: three cycles, a position a cycle.

    valid, step: a position, whose accumulators are read.
    sums: what they held, from the next cycle to the next position, one field a lane: an opening sweep reads the
    finished tile while it starts the new one, so that draining costs nothing.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "step": In(step_layout(config)),
                "sums": Out(data.ArrayLayout(signed(config.accumulator_bits), config.lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        step = self.step
        adding = Signal(step_layout(config))
        adding_enable, writing_enable = Signal(name="adding_enable"), Signal()
        writing_address = Signal(2 * len(step.y))
        m.d.sync += [
            adding.eq(step),
            adding_enable.eq(self.valid & step.accumulate),
            writing_enable.eq(adding_enable),
            writing_address.eq(adding.x + (adding.y << len(step.x))),
        ]
        lane = signed(config.accumulator_bits)
        # Each lane is 24 bits of a word: block RAM has wide words.
        sums = data.ArrayLayout(lane, config.lanes)
        accumulators = Memory(
            shape=sums,
            depth=config.positions,
            init=[],
            attrs={**UNUSED_COLLISIONS, "ram_style": "block"},
        )
        m.submodules.accumulators = accumulators
        read, write = accumulators.read_port(), accumulators.write_port()
        totals = Signal(sums)
        m.d.comb += [
            read.addr.eq(step.x + (step.y << len(step.x))),
            read.en.eq(self.valid),
            self.sums.eq(read.data),
            write.addr.eq(writing_address),
            write.data.eq(totals),
            write.en.eq(writing_enable),
        ]
        for t in range(config.lanes):
            gated = Mux(adding.spikes[t], adding.weight, 0)  # the AND gates
            m.d.sync += totals[t].eq(Mux(adding.opening, adding.bias, self.sums[t]) + gated)
        return m
