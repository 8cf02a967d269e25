"""Lowering: from a ticket to a program in passes, each a function in a list; docs/network.md.

    ticket -> FloatNetwork      `read` of sw/floats.py
    FloatNetwork -> the same    `FLOAT_PASSES` of sw/floats.py: fold norm, fuse shortcut, spread groups
    FloatNetwork -> integers    `quantize_network` of sw/quantize.py
    integers -> program         `passes` of sw/machines.py: order filters, place, encode

tests/test_lowering.py holds each pass to the golden model's answers for what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
Steps = Generator[str, None, T]
"""Yields the name of each pass before it runs; returns what the last one made."""


def running(passes: Sequence[Callable[[Any], Any]], value: object) -> Steps[Any]:
    """Gives each pass what the one before it made, the first one `value`."""
    for one in passes:
        yield name(one)
        value = one(value)
    return value


def name(one: Callable[..., object]) -> str:
    """A pass's, as it is printed."""
    function = one.func if isinstance(one, partial) else one
    return function.__name__.replace("_", " ")


def finish(steps: Steps[T]) -> T:
    """Runs all passes without a word."""
    return together([steps])[0]


def together(several: Sequence[Steps[T]], tell: Callable[[str], object] = str) -> list[T]:
    """Runs the passes of several networks side by side; `tell` is told each pass once."""
    results: dict[int, T] = {}
    while len(results) < len(several):
        told = False
        for number, steps in enumerate(several):
            if number in results:
                continue
            try:
                text = next(steps)
            except StopIteration as stop:
                results[number] = stop.value
                continue
            if not told:
                tell(text)
                told = True
    return [results[number] for number in range(len(several))]
