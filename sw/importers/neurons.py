"""A framework's neuron -> v = leak v + gain x, exactly, or with a leak that is rounded and said."""

from __future__ import annotations

import numpy as np

from hw.neuron import NEURONS, RESETS, SHIFTS, UNIT
from sw.importers.graph import FILE, GIVEN, Choice, Options, Spiking, refuse

FLOAT32 = 4e-7  # relative: what float32 makes of a leak that was meant
SWEPT = sorted({kind(shift).factor for kind in NEURONS.values() for shift in SHIFTS})
"""Leaks of the sweep machine."""
LEAKS = [share / UNIT for share in range(1, UNIT + 1)]
"""Of the event machine: those of the sweep machine are among them."""


def nearest_leaks(leak: float, *, swept: bool) -> list[float]:
    """The two leaks of a machine that are nearest to one that it does not have."""
    leaks = SWEPT if swept else LEAKS
    return sorted(sorted(leaks, key=lambda there: abs(there - leak))[:2])


def known_leak(leak: float) -> float:
    """The hardware's leak that `leak` is but for the rounding of float32; else `leak` itself."""
    near = min(LEAKS, key=lambda there: abs(there - leak))
    return near if abs(near - leak) <= FLOAT32 else leak


def spiking(
    node: str,
    options: Options,
    *,
    leak: float,
    gain: np.ndarray | float,
    threshold: np.ndarray | float,
    above: bool,
    reset: str,
    offset: np.ndarray | float = 0.0,
    half: bool = False,
) -> Spiking:
    """A neuron whose numbers are checked. Raises Refused, naming the node and the value.

    half: the file says that it starts at half the threshold. Its leak is one of the hardware's where `options.round_leak` says so, or where float32 alone is between.
    """
    gain, threshold, offset = (np.asarray(a, np.float64) for a in (gain, threshold, offset))
    for what, values in (("gain", gain), ("threshold", threshold)):
        if not (np.isfinite(values).all() and (values > 0).all()):
            refuse(node, f"{what} = {values.min():g}; allowed: above 0")
    if not 0 <= leak <= 1:
        refuse(node, f"leak = {leak:g}; allowed: 0 to 1 (is dt above tau?)")
    if leak == 0:
        refuse(node, "leak = 0, a neuron that keeps nothing; nearest: 0.00390625")
    approximate, found = None, known_leak(leak)
    if found not in LEAKS and options.round_leak:
        found = min(LEAKS, key=lambda there: abs(there - leak))
        approximate = f"leak {leak:.6g} rounded to {found:g}, {found / leak - 1:+.2%}"
    return Spiking(
        found,
        gain,
        threshold,
        reset,
        above,
        offset,
        start="half" if half else options.start,
        approximate=approximate,
    )


def shortest(leak: float) -> str:
    """A leak in the fewest digits that are the same float32: frameworks store 0.9 as 0.899999976."""
    return str(np.float32(leak))


def leak_choice(made: Spiking, leak: float, source: str) -> Choice:
    """The leak of a neuron as it was made, and who said it; leak: as it was said."""
    if made.leak == known_leak(leak):
        return Choice("leak", shortest(leak), source)
    return Choice("leak", f"{made.leak:.6g}", f"rounded from {shortest(leak)}")


def reset_choice(node: str, options: Options, said: str | None, why: str) -> Choice:
    """How a neuron resets: what the file says, or --reset. Raises Refused where neither says it.

    said: "zero", "subtract", or None where the file cannot tell; why: then, in words.
    """
    if said is not None:
        if options.reset not in (None, said):
            refuse(node, f"reset = {said} in the file, {options.reset} given by --reset")
        return Choice("reset", said, FILE)
    if options.reset is None:
        refuse(node, f"{why}; give --reset {' or --reset '.join(RESETS)}")
    return Choice("reset", options.reset, GIVEN)


def start_choice(options: Options, rest: str, source: str, *, half: bool = False) -> Choice:
    """The potential before the first tick: `rest`, as `source` says, unless the file or --start says half."""
    if half:
        return Choice("v at the start", "half the threshold", FILE)
    if options.start == "half":
        return Choice("v at the start", "half the threshold", GIVEN)
    return Choice("v at the start", rest, source)


def shown(values: np.ndarray | float) -> str:
    """A number, or the range of an array."""
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:.9g}" if low == high else f"{low:.6g} to {high:.6g}"
