"""The result stream: what the array counted and what its classifier computed, in a fixed order.

One beat of the input: its spikes (low 32 bits) and the cycles it took. Then for each layer: for a
raw layer first the accumulators, filter after filter, each tick sign-extended to 32 bits, two a
beat, padded with zeros; then each PE's counters (counters.py). `last` is on the last beat of the program.
"""

from __future__ import annotations

from amaranth import Cat, Module, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.config import STREAM_BITS, Config
from hw.counters import BEATS
from hw.loader import beat_layout

RESULT_BITS = 32


def beats_a_result(config: Config) -> int:
    """Beats that hold one neuron's accumulators."""
    return -(-config.ticks * RESULT_BITS // STREAM_BITS)


class Results(wiring.Component):
    """input_valid, input_spikes, input_cycles: a pulse, before the first layer.

    result_valid, result: accumulators; only while `room`. capture: counters are in the chain, which
    `shift` moves on. last_layer: held with `capture`. idle: everything is out.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "input_valid": In(1),
                "input_spikes": In(32),
                "input_cycles": In(32),
                "room": Out(1),
                "result_valid": In(1),
                "result": In(data.ArrayLayout(signed(config.accumulator_bits), config.ticks)),
                "capture": In(1),
                "last_layer": In(1),
                "chain": In(STREAM_BITS),
                "shift": Out(1),
                "idle": Out(1),
                "o": Out(stream.Signature(beat_layout())),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        o = self.o.payload
        input_waiting = Signal(name="input_waiting")
        input_beat = Signal(STREAM_BITS)
        chain_left = Signal(range(BEATS * config.n_pe + 1))
        ends = Signal()
        width = self.result.shape().size
        m.submodules.queue = queue = SyncFIFOBuffered(width=width, depth=config.n_pe + 2)
        part = Signal(range(max(beats_a_result(config), 2)))
        first = data.View(self.result.shape(), queue.r_data)
        extended = Signal(data.ArrayLayout(STREAM_BITS, beats_a_result(config)))
        m.d.comb += [
            extended.eq(Cat(_extend(first[t]) for t in range(config.ticks))),
            queue.w_data.eq(self.result),
            queue.w_en.eq(self.result_valid),
            self.room.eq(queue.w_rdy),
            self.idle.eq(~input_waiting & (chain_left == 0) & (queue.level == 0)),
        ]
        with m.If(self.input_valid):
            m.d.sync += [
                input_waiting.eq(1),
                input_beat.eq(Cat(self.input_spikes, self.input_cycles)),
            ]
        with m.If(self.capture):
            m.d.sync += [chain_left.eq(BEATS * config.n_pe), ends.eq(self.last_layer)]

        # A program's counters may still wait when the next one's input is done: they go first.
        with m.If(chain_left != 0):
            m.d.comb += [
                self.o.valid.eq(1),
                o.data.eq(self.chain),
                o.last.eq(ends & (chain_left == 1)),
                self.shift.eq(self.o.ready),
            ]
            with m.If(self.o.ready):
                m.d.sync += chain_left.eq(chain_left - 1)
        with m.Elif(input_waiting):
            m.d.comb += [self.o.valid.eq(1), o.data.eq(input_beat)]
            with m.If(self.o.ready):
                m.d.sync += input_waiting.eq(0)
        with m.Elif(queue.r_rdy):
            m.d.comb += [self.o.valid.eq(1), o.data.eq(extended[part])]
            with m.If(self.o.ready):
                m.d.sync += part.eq(part + 1)
                with m.If(part == beats_a_result(config) - 1):
                    m.d.sync += part.eq(0)
                    m.d.comb += queue.r_en.eq(1)
        return m


def _extend(value: Value) -> Value:
    return Cat(value, value[-1].replicate(RESULT_BITS - len(value)))
