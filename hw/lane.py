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
            "drain": 1,  # the accumulators are read whether there are spikes or not
            "weight": signed(config.weight_bits),
            "bias": signed(config.accumulator_bits),
        }
    )


class Lanes(wiring.Component):
    """Read, add, write: three cycles, a position a cycle. A lane without a spike does nothing of it.

    valid, step: a position, whose accumulators are read.
    sums: what the lanes that were read last held, from the next cycle on, one field a lane: an opening sweep
    reads the finished tile while it starts the new one, so that draining costs nothing.
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
        adding = Signal(step_layout(config), reset_less=True)
        adding_enable = Signal()
        writing_address = Signal(2 * len(step.y), reset_less=True)
        m.d.sync += [
            adding.eq(step),
            adding_enable.eq(self.valid & step.accumulate),
            writing_address.eq(adding.x + (adding.y << len(step.x))),
        ]
        lane = signed(config.accumulator_bits)
        # Sixteen rows are what one LUT RAM of an FPGA has; more of them would need multiplexers.
        style = "distributed" if config.positions <= 16 else "block"
        attributes = {**UNUSED_COLLISIONS, "ram_style": style}
        for t in range(config.lanes):
            bank = Memory(shape=lane, depth=config.positions, init=[], attrs=attributes)
            m.submodules[f"accumulators_{t}"] = bank
            read, write = bank.read_port(), bank.write_port()
            total = Signal(lane, name=f"total_{t}", reset_less=True)
            changes, writing = Signal(name=f"changes_{t}"), Signal(name=f"writing_{t}")
            gated = Mux(adding.spikes[t], adding.weight, 0)  # the AND gates
            m.d.comb += [
                read.addr.eq(step.x + (step.y << len(step.x))),
                read.en.eq(self.valid & (step.drain | step.spikes[t])),
                self.sums[t].eq(read.data),
                changes.eq(adding_enable & (adding.opening | adding.spikes[t])),
                write.addr.eq(writing_address),
                write.data.eq(total),
                write.en.eq(writing),
            ]
            m.d.sync += writing.eq(changes)
            with m.If(changes):
                m.d.sync += total.eq(Mux(adding.opening, adding.bias, self.sums[t]) + gated)
        return m
