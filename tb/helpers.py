"""What the component tests share: ports packed and unpacked, and a lockstep against a Python model.

A model is a class with three methods, each cycle called in this order:

    inputs(rng)   the values of the input ports for this cycle, random but legal for its state
    outputs(i)    what the output ports must show in the same cycle; a port left out is free
    edge(i)       the rising edge: the model's state moves on

So a lockstep checks value and latency at once: an output a cycle early or late is a mismatch.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from amaranth.lib import data, wiring
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from hw.config import PRESETS, Config
from hw.export import export
from tb.cocotb_runner import BUILD, parameters, simulate
from tb.streams import start
from tests.soak import times


class Model(Protocol):
    """A cycle-accurate model, see above."""

    def inputs(self, rng: random.Random) -> dict[str, int]: ...

    def outputs(self, i: dict[str, int]) -> dict[str, int | None]: ...

    def edge(self, i: dict[str, int]) -> None: ...


_exported: dict[tuple[wiring.Component, str, object], Path] = {}


def run(
    component: wiring.Component,
    name: str,
    test: str,
    case: str = "random",
    *,
    file: str | None = None,
    platform: object | None = None,
    **values: Any,
) -> None:
    """Export a component, for a platform, once, and run one cocotb test of tb.test_FILE on it.

    name: the Verilog module's, and the test file's if that is left out. case: names the folder of
    results; each test of a component has its own. values: for `parameters()`, a seed beside them.
    """
    key = component, name, platform
    if key not in _exported:
        _exported[key] = export(
            component, name, BUILD / "verilog" / f"{name}-{test}-{case}", platform
        )
    module = f"tb.test_{file or name}"
    for seed in range(1, 1 + times(1)):
        simulate(
            _exported[key], name, module, {"seed": seed, **values}, f"{test}-{case}", test=test
        )


def config_of(preset: str) -> Config:
    """A preset by the name that `parameters()` carries."""
    return PRESETS[preset]


async def lockstep(
    dut: Any,
    model: Model,
    cycles: int,
    *,
    clocked: bool = True,
    done: Callable[[], bool] | None = None,
) -> None:
    """Drive and compare for some cycles. clocked: False for a combinational component.

    done: ends it before; that it never does is a failure.
    """
    rng = random.Random(parameters()["seed"])
    if clocked:
        await start(dut)
    for cycle in range(cycles):
        if done and done():
            return
        inputs = model.inputs(rng)
        for port, value in inputs.items():
            getattr(dut, port).value = value
        await (ReadOnly() if clocked else Timer(1, "ns"))
        for port, expected in model.outputs(inputs).items():
            if expected is None:
                continue
            seen = int(getattr(dut, port).value)
            assert seen == expected, f"cycle {cycle}: {port} = {seen:#x}, expected {expected:#x}"
        model.edge(inputs)
        if clocked:
            await FallingEdge(dut.clk)
    assert done is None or done(), f"not done after {cycles} cycles"


def bits(layout: Any, value: Any) -> int:
    """The bits of a value: a dict for a struct (what is left out is 0), a sequence for an array."""
    if isinstance(layout, data.StructLayout):
        return sum(bits(layout[k].shape, v) << layout[k].offset for k, v in value.items())
    if isinstance(layout, data.ArrayLayout):
        return sum(bits(layout[k].shape, v) << layout[k].offset for k, v in enumerate(value))
    width = layout if isinstance(layout, int) else layout.width
    return int(value) & ((1 << width) - 1)


def fields(layout: Any, number: int) -> Any:
    """The inverse of `bits`, signed where the layout is."""
    if isinstance(layout, data.StructLayout):
        return {k: fields(f.shape, number >> f.offset) for k, f in layout}
    if isinstance(layout, data.ArrayLayout):
        return [fields(f.shape, number >> f.offset) for _, f in layout]
    width = layout if isinstance(layout, int) else layout.width
    value = number & ((1 << width) - 1)
    signed = getattr(layout, "signed", False)
    return value - (1 << width) if signed and value >> (width - 1) else value


def signed_random(rng: random.Random, width: int) -> int:
    """A signed number of `width` bits, the extremes more often than by chance."""
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    return rng.choice([rng.randint(low, high), rng.randint(-9, 9), rng.choice([low, high])])
