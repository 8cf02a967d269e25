"""The components of either machine, and the format of its program stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from amaranth.lib import wiring

from hw import array, pe, program, top
from hw.config import STREAM_BITS, Config
from hw.event import array as event_array
from hw.event import pe as event_pe
from hw.event import program as event_program
from hw.event import top as event_top


@dataclass(frozen=True)
class Machine:
    """What is a configuration's own."""

    config: Config
    pe: type[wiring.Component]
    array: Callable[[Config], Any]
    top: Callable[..., Any]
    """Also takes `pe`, what stands for a PE; both machines' have the same ports but for a beat's width."""
    program: ModuleType
    """Layouts of the program stream."""
    version: int
    """Of that stream, as its header says it."""
    stream_bits: int
    """Of one of its beats."""


def machine(config: Config) -> Machine:
    """The machine that a configuration says."""
    if config.machine == "event":
        return Machine(
            config=config,
            pe=event_pe.PE,
            array=event_array.Array,
            top=event_top.Top,
            program=event_program,
            version=event_program.version(config),
            stream_bits=config.stream_bits,
        )
    return Machine(
        config=config,
        pe=pe.PE,
        array=array.Array,
        top=top.Top,
        program=program,
        version=program.VERSION,
        stream_bits=STREAM_BITS,
    )
