"""Drives and reads Amaranth streams, ports NAME__payload, NAME__valid, NAME__ready, from cocotb.

Inputs change and ports are read in the half cycle before the rising edge of `clk`: the edge sees what
was read, whichever coroutine runs first.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

from cocotb.clock import Clock
from cocotb.task import Task
from cocotb.triggers import FallingEdge, ReadOnly

PORTS = ("payload", "valid", "ready")
NEVER = repeat(False)


def stalls(seed: int, probability: float) -> Iterator[bool]:
    """Whether to hold a stream back, cycle by cycle, for ever, at random."""
    generator = random.Random(seed)
    while True:
        yield generator.random() < probability


_clock: list[Task[None]] = []  # of this simulation; cocotb ends it with each test


async def start(dut: Any, cycles: int = 2) -> None:
    """Start the clock, unless it runs, and hold reset for some cycles; inputs must have been set or be 0."""
    dut.rst.value = 1
    if not _clock or _clock[-1].done():
        _clock.append(Clock(dut.clk, 10, "ns").start())
    for _ in range(cycles):
        await FallingEdge(dut.clk)
    dut.rst.value = 0


async def stream_put(
    dut: Any, name: str, payloads: Iterable[int], stall: Iterator[bool] = NEVER
) -> None:
    """Send all payloads. stall: cycles to wait with `valid` low; never while one is offered."""
    payload, valid, ready = (getattr(dut, f"{name}__{port}") for port in PORTS)
    await FallingEdge(dut.clk)
    for value in payloads:
        while next(stall):
            await FallingEdge(dut.clk)
        payload.value = value
        valid.value = 1
        taken = False
        while not taken:
            await ReadOnly()
            taken = bool(ready.value)
            await FallingEdge(dut.clk)
        valid.value = 0


async def stream_get(dut: Any, name: str, count: int, stall: Iterator[bool] = NEVER) -> list[int]:
    """Receive `count` payloads. stall: cycles to wait with `ready` low.

    Fails if the sender takes back an offer or changes it before it was taken.
    """
    payload, valid, ready = (getattr(dut, f"{name}__{port}") for port in PORTS)
    received: list[int] = []
    offered: int | None = None
    await FallingEdge(dut.clk)
    while len(received) < count:
        wait = next(stall)
        ready.value = int(not wait)
        await ReadOnly()
        offer = int(payload.value) if valid.value else None
        assert offered in (None, offer), f"{name}: offered {offered}, then {offer}, not taken yet"
        offered = offer if wait else None
        if offer is not None and not wait:
            received.append(offer)
        await FallingEdge(dut.clk)
    ready.value = 0
    return received
