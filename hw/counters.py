"""The counters of a PE: exact accounts of a layer, read out through a chain while the next one runs."""

from __future__ import annotations

from enum import StrEnum

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import STREAM_BITS, Config

COUNTER_BITS = 32


class Counter(StrEnum):
    """What is counted, in the order in which a PE sends it."""

    STEPS = "steps"
    ACCUMULATES = "accumulates"
    SHORTCUT_ACCUMULATES = "shortcut_accumulates"
    WORK_CYCLES = "work_cycles"
    IDLE_CYCLES = "idle_cycles"
    STALL_LOAD = "stall_load"
    STALL_WINDOW = "stall_window"
    STALL_LIF = "stall_lif"
    STALL_OUTPUT = "stall_output"
    STALL_SHORTCUT = "stall_shortcut"


COUNTERS: tuple[str, ...] = tuple(counter.value for counter in Counter)
CYCLES = COUNTERS[COUNTERS.index(Counter.WORK_CYCLES) :]
"""The accounts: where a cycle can go; exactly one of them counts in each cycle of a layer."""

_EVENT = {Counter.STEPS.value: "positions", Counter.STALL_WINDOW.value: "stall_bank"}
EVENT_COUNTERS: tuple[str, ...] = tuple(_EVENT.get(name, name) for name in COUNTERS)
"""Of the event machine, in the same places: positions that a weight was added to, in whatever ticks; cycles in which a
tap has positions left in some banks only, after its first; idle_cycles: no slice is there."""
EVENT_CYCLES = EVENT_COUNTERS[len(COUNTERS) - len(CYCLES) :]


def counter_names(machine: str) -> tuple[str, ...]:
    """What a machine's PEs count, in the order in which they send it."""
    return EVENT_COUNTERS if machine == "event" else COUNTERS


def cycle_names(machine: str) -> tuple[str, ...]:
    """The accounts among them: exactly one of them counts in each cycle of a layer."""
    return EVENT_CYCLES if machine == "event" else CYCLES


BEATS = len(COUNTERS) * COUNTER_BITS // STREAM_BITS
"""Beats of one PE's counters on the result stream, two counters a beat, in the order above."""


class Counters(wiring.Component):
    """steps, accumulates, shortcut_accumulates: how many of each in this cycle.

    The last are spikes that an identity shortcut adds. cycle: one-hot, in the order of CYCLES.
    counting: cycles count. capture: the counts, this cycle's included, go into the chain, and start
    from zero. shift: the chain moves on by a beat, `chain_in` coming in behind this PE's.
    """

    def __init__(self, config: Config, most: int | None = None) -> None:
        """most: of each in a cycle; by default a lane each."""
        lanes = (config.lanes if most is None else most).bit_length()
        super().__init__(
            {
                "steps": In(lanes),
                "accumulates": In(lanes),
                "shortcut_accumulates": In(lanes),
                "cycle": In(len(CYCLES)),
                "counting": In(1),
                "capture": In(1),
                "shift": In(1),
                "chain_in": In(STREAM_BITS),
                "chain_out": Out(STREAM_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chain = Signal(BEATS * STREAM_BITS, reset_less=True)
        amounts = [self.steps, self.accumulates, self.shortcut_accumulates, *self.cycle]
        for name, amount, k in zip(COUNTERS, amounts, range(len(COUNTERS)), strict=True):
            count = Signal(COUNTER_BITS, name=name)
            total = Signal(COUNTER_BITS, name=f"{name}_total")
            m.d.comb += total.eq(count + amount)
            with m.If(self.counting & (amount != 0)):
                m.d.sync += count.eq(total)
            with m.If(self.capture):
                m.d.sync += [chain.word_select(k, COUNTER_BITS).eq(total), count.eq(0)]
        with m.If(self.shift):
            m.d.sync += chain.eq(
                (chain >> STREAM_BITS) | (self.chain_in << (BEATS - 1) * STREAM_BITS)
            )
        m.d.comb += self.chain_out.eq(chain[:STREAM_BITS])
        return m
