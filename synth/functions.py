"""Boolean functions as Liberty writes them: what a pin computes, and when a condition holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

MAX_PINS = 16  # of a function: its table has 2**16 bits
MAX_NESTING = 60


def check(function: str) -> list[str]:
    """The words of a function. Raises ValueError where it has too many pins, or nests too deep, for a table."""
    words = re.findall(r"\w+|\S", function)
    pins = {word for word in words if re.match(r"[A-Za-z_]", word)}
    if len(pins) > MAX_PINS:
        raise ValueError(f"function {function[:60]!r}: {len(pins)} pins, allowed: {MAX_PINS}")
    opened: list[int] = []  # a bracket and the ! before it
    run = 0  # of !
    for word in words:
        if word == "(":
            opened.append(run + 1)
        elif word == ")" and opened:
            opened.pop()
        run = run + 1 if word == "!" else 0
        if sum(opened) + run > MAX_NESTING:
            raise ValueError(f"function {function[:60]!r}: nested deeper than {MAX_NESTING}")
    return words


def truth_table(function: str, inputs: Sequence[str]) -> int:
    """Bit k is the function's value where bit i of k is the value of inputs[i].

    Liberty's operators: ! before, ' after, & * or nothing between for AND, | + for OR, ^.
    Raises ValueError for what is none.
    """
    return _table(function, tuple(inputs))


@cache  # a netlist has few kinds of cells, and many of each
def _table(function: str, inputs: tuple[str, ...]) -> int:
    words = check(function)[::-1]
    if len(inputs) > MAX_PINS:
        raise ValueError(f"function {function[:60]!r}: {len(inputs)} pins, allowed: {MAX_PINS}")
    count = 1 << len(inputs)
    mask = (1 << count) - 1
    values = {n: sum(1 << k for k in range(count) if k >> i & 1) for i, n in enumerate(inputs)}
    values |= {"0": 0, "1": mask}

    def either() -> int:
        value = differ()
        while words and words[-1] in "|+":
            words.pop()
            value |= differ()
        return value

    def differ() -> int:
        value = both()
        while words and words[-1] == "^":
            words.pop()
            value ^= both()
        return value

    def both() -> int:
        value = single()
        while words and words[-1] not in "|+^)":
            if words[-1] in "&*":
                words.pop()
            value &= single()
        return value

    def single() -> int:
        word = words.pop() if words else ""
        if word == "!":
            return single() ^ mask
        if word == "(":
            value = either()
            if not words or words.pop() != ")":
                raise ValueError(f"function {function!r}: a bracket is open")
        elif word in values:
            value = values[word]
        else:
            raise ValueError(f"function {function!r}: {word!r}, allowed: {', '.join(values)}")
        while words and words[-1] == "'":
            words.pop()
            value ^= mask
        return value

    result = either()
    if words:
        raise ValueError(f"function {function!r}: {words[-1]!r} is too much")
    return result


def possible(condition: str, values: dict[str, int]) -> bool:
    """Whether a condition, a Liberty function, can hold where some of its pins have these values."""
    if not condition:
        return True
    names = sorted(set(re.findall(r"[A-Za-z_]\w*", condition)))
    table = truth_table(condition, names)
    return any(
        table >> k & 1 and all(values.get(n, k >> i & 1) == k >> i & 1 for i, n in enumerate(names))
        for k in range(1 << len(names))
    )
