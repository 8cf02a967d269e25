"""A neuron of the event machine, whose numbers are signals: what hw.neuron.Neuron says, in as few gates as we found."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from hw.neuron import UNIT
from hw.program import NEURON

UNIT_BITS = UNIT.bit_length() - 1
TERM = data.StructLayout({"one": 1, "two": 1, "minus": 1})
"""A digit of a share in Booth's radix 4, -2 to 2: which multiple of the potential it adds, or takes away."""
DIGITS = NEURON["share"].width // 2 + 1


def recoded(share: Value) -> list[data.View]:
    """The digits of a share, the lowest first: it is the sum of digit k times 4^k. It is at most UNIT, so the highest is 0 or 1."""
    bits = Cat(Const(0, 1), share)
    digits = []
    for k in range(DIGITS - 1):
        low, middle, high = (bits[2 * k + j] for j in range(3))
        some = low ^ middle
        digits.append(Cat(some, ~some & (middle ^ high), high & ~(low & middle)))
    return [TERM(digit) for digit in (*digits, Cat(bits[-2:].any(), Const(0, 2)))]


class Told:
    """A layer's neuron. code: NEURON; it and threshold are held from the cycle before its first neuron on.

    A leak is floor((share u + carry) / 256), so that what a tick makes of a potential is one sum of few terms: those of the
    share's digits, what rounds, the tick's current, and the level where a late reset takes it away.
    """

    def __init__(self, m: Module, code: Any, threshold: Value) -> None:
        self.code = code
        self.level = Signal(
            signed(len(threshold) + 1)
        )  # what a reset takes away, unless it is to zero
        m.d.comb += self.level.eq(threshold - code.above)
        recode = Signal(data.ArrayLayout(TERM, DIGITS))
        m.d.comb += [recode[k].eq(digit) for k, digit in enumerate(recoded(code.share))]
        self.digits = Signal.like(recode, name="digits", reset_less=True)
        # To take a multiple away is to add its complement and one.
        ones = Cat(Cat(recode[k].minus, Const(0, 1)) for k in range(DIGITS))
        self.rounds = Signal(UNIT_BITS + 3, reset_less=True)
        m.d.sync += [self.digits.eq(recode), self.rounds.eq(code.carry + ones)]

    def integrate(self, m: Module, u: Value, fired: Value, current: Value, name: str) -> Value:
        """leak(u) - owed + current, as wide as `u`. fired: the neuron did, in the tick before."""
        width = len(u) + UNIT_BITS
        total = Signal(width, name=f"{name}_total")
        # A term's sign is written as what it is less: one constant for all of them, and no copies of signs to add.
        signs = sum(1 << len(u) + 2 * k for k in range(DIGITS))
        terms = (self.rounds | -signs % (1 << width)) + (current << UNIT_BITS)
        owes = Signal(name=f"{name}_owes")
        m.d.comb += owes.eq(fired & self.code.late)
        taken = ~self.level[: len(u)] & owes.replicate(len(u))
        terms = terms + (taken << UNIT_BITS) + (owes << UNIT_BITS)
        for k in range(DIGITS):
            term = Signal(len(u) + 1, name=f"{name}_term_{k}")
            one, two, minus = (bit.replicate(len(term)) for bit in self.digits[k].as_value())
            m.d.comb += term.eq((u & one | u << 1 & two) ^ minus ^ 1 << len(u))
            terms = terms + (term << 2 * k)
        m.d.comb += total.eq(terms)
        return total[UNIT_BITS:].as_signed()

    def initial(self) -> Value:
        """The potential before the first tick."""
        return Mux(self.code.start, self.level >> 1, 0)

    def decide(self, m: Module, u: Value, fires: Signal, name: str) -> Value:
        """Says whether it `fires`, and gives the potential after that: one difference says both."""
        over = Signal(signed(len(self.level) + 1), name=f"{name}_over")
        m.d.comb += over.eq(u - self.level)
        m.d.comb += fires.eq((over >= 0) & ~(self.code.above & (over == 0)))
        return Mux(fires & ~self.code.late, Mux(self.code.subtract, over, 0), u)
