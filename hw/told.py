"""A neuron of the event machine, whose numbers are signals: what hw.neuron.Neuron says, in as few gates as we found."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from hw.neuron import UNIT
from hw.program import NEURON

UNIT_BITS = UNIT.bit_length() - 1
TERM = data.StructLayout({"one": 1, "two": 1, "minus": 1})
"""A digit of a share in radix 4, 1, 2, -1, or 0 where it is none of them: which multiple of the potential it adds."""
DIGITS = NEURON["share"].width // 2 + 1


def recoded(share: Value) -> list[data.View]:
    """The digits of a share, the lowest first: it is the sum of digit k times 4^k. It is at most UNIT, so the highest is 0 or 1.

    3 is -1 and one more of the next digit, as is 4, which is 0.
    """
    digits, more = [], Const(0, 1)
    for k in range(DIGITS - 1):
        low, high = share[2 * k], share[2 * k + 1]
        odd = low ^ more
        upper = high ^ (low & more)  # of the two bits and one more, 0 to 4
        digits.append(Cat(odd & ~upper, upper & ~odd, odd & upper))
        more = high & (low | more)
    return [TERM(digit) for digit in (*digits, Cat(share[-1] | more, Const(0, 2)))]


class Told:
    """A layer's neuron. code: NEURON, held from the cycle before `prepare` on; threshold: from that on. prepare: before the first neuron.

    A leak is floor((share u + carry) / 256), so that what a tick makes of a potential is one sum: a term for each of the
    share's digits, the tick's current, and what rounds. What a reset takes away changes the last of these alone, where the
    neuron fired in the tick before:

        subtract  leak(u - level) is floor((share u + carry - share level) / 256)
        late      leak(u) - level is floor((share u + carry - 256 level) / 256)

    So a tick leaves u as it is, or 0 where the reset is to zero, and the next one adds `owed` instead of `rounds`. The sum
    itself makes `owed`, once a tile: a tick whose potential, or current, is the complement of the threshold.
    """

    def __init__(self, m: Module, code: Any, threshold: Value, prepare: Value) -> None:
        self.code, self.threshold, self.preparing = code, threshold, prepare
        # A term's sign is written as what it is less: one constant for all of them, and no copies of signs to add.
        self.bits, self.width = len(threshold), len(threshold) + UNIT_BITS
        self.signs = -sum(1 << self.bits + 2 * k for k in range(DIGITS))
        recode = Signal(data.ArrayLayout(TERM, DIGITS))
        m.d.comb += [recode[k].eq(digit) for k, digit in enumerate(recoded(code.share))]
        self.digits = Signal.like(recode, name="digits", reset_less=True)
        # A term is the complement of what is chosen: of nothing -1, which a one more makes up for, as that of -u.
        ones = Cat(Cat(~(recode[k].one | recode[k].two), Const(0, 1)) for k in range(DIGITS))
        # -level is the complement of the threshold, and one, and one more where the level is below the threshold.
        taken = Mux(code.late, UNIT, Mux(code.subtract, code.share, 0))
        self.rounds = Signal(UNIT_BITS + 2, reset_less=True)
        self.prepares = Signal(
            UNIT_BITS + 3, reset_less=True
        )  # instead, for the sum that `owed` is
        self.owed = Signal(self.width, reset_less=True)
        m.d.sync += [
            self.digits.eq(recode),
            self.rounds.eq(code.carry + ones),
            self.prepares.eq(code.carry + (ones << 1) + Mux(code.above, taken << 1, taken)),
        ]

    def prepare(
        self, m: Module, u: Value, rounds: Value, current: Value
    ) -> tuple[Value, Value, Value]:
        """The three of `integrate`, or what makes its total `owed`."""
        instead = ~self.threshold
        twice = self.prepares | (2 * self.signs % (1 << self.width))
        return (
            Mux(self.preparing, Mux(self.code.subtract, instead, 0), u),
            Mux(self.preparing, twice, rounds),
            Mux(self.preparing, Mux(self.code.late, instead, 0), current),
        )

    def rounding(self, fired: Value) -> Value:
        """What rounds, less what is owed. fired: the neuron did, in the tick before."""
        return Mux(fired, self.owed, self.rounds | (self.signs % (1 << self.width)))

    def integrate(self, m: Module, u: Value, rounding: Value, current: Value, name: str) -> Value:
        """256ths of leak(u) - owed + current, rounded down."""
        total = Signal(self.width, name=f"{name}_total")
        terms = rounding + (current << UNIT_BITS)
        for k in range(DIGITS):
            term = Signal(len(u) + 1, name=f"{name}_term_{k}")
            one, two, minus = (bit.replicate(len(term)) for bit in self.digits[k].as_value())
            chosen = ~u & one | ~(u << 1) & two | u & minus
            m.d.comb += term.eq(~chosen ^ 1 << len(u))
            terms = terms + (term << 2 * k)
        m.d.comb += total.eq(terms)
        return total

    def initial(self) -> Value:
        """The potential before the first tick."""
        return Mux(self.code.start, (self.threshold - self.code.above) >> 1, 0)

    def left(self, u: Value, fires: Value) -> Value:
        """The potential after a tick, but for what is owed."""
        return Mux(fires & ~(self.code.subtract | self.code.late), 0, u)
