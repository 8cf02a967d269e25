"""Neurons: what a tick does to a potential. Facts in plain Python; every other file asks here.

    u = initial(threshold)       before the first tick
    u = leak(u) - owed + sum     the potential, before the neuron decides
    fires where u >= threshold
    u = reset(u, level)          where it fired; level: the threshold as trained

`owed` is 0, but for the reset `late`, which leaves u: then it is the level where the tick before fired, u >= threshold. So
the level is taken away behind the leak, as snnTorch's neurons do, and exactly.

`kept` uses operators alone. So it serves Python's and NumPy's integers (golden model,
quantizer), Amaranth's values (hw/lif.py), PyTorch's floats (training), and Numba compiles it.
A new leak is a class here, listed in `NEURONS`, and a row in docs/formats.md ("Neurons").
Resets and initial potentials go with every leak. A new reset is an entry of `_RESETS`; the event machine has a bit for it.

The sweep machine has one neuron of `NEURONS` for all layers. The event machine takes each layer's from the program,
as the numbers of `Neuron.code`: there every leak is (share u + carry) >> 8, exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

SHIFTS = range(1, 9)  # bits; the leaks that the sweep machine has
UNIT = 256
"""Shares of a potential are 256ths."""
STARTS = ("zero", "half")


class Reset(NamedTuple):
    """What firing leaves of a potential."""

    after: Callable[[Any, Any], Any]
    """Of u and the level, by operators alone, in the type of u."""
    slope: int
    """D after / d u, for training."""


_RESETS = {
    "zero": Reset(lambda u, level: u - u, 0),
    "subtract": Reset(lambda u, level: u - level, 1),
    "late": Reset(lambda u, level: u, 1),  # what is owed stands in `Neuron.owed`
}
RESETS = tuple(_RESETS)


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    return yes if condition else no


@dataclass(frozen=True)
class Neuron(ABC):
    """Integrates and fires at u >= threshold."""

    name: ClassVar[str]
    amounts: ClassVar[range] = SHIFTS

    amount: int = 2
    """In `amounts`: bits of a shift, 256ths of a share."""
    reset_to: str = "zero"
    """What is left after firing: `zero`, or what the potential has above the threshold (`subtract`), or all of it (`late`):
    then the next tick takes the threshold away, behind its leak."""
    start: str = "zero"
    """The potential before the first tick: `zero`, or `half` the threshold, rounded down."""
    above: bool = False
    """The threshold is one more than the trained one, since it fires only above that: resets and starts know."""

    @staticmethod
    @abstractmethod
    def kept(u: Any, amount: int) -> Any:
        """What a tick leaves of an integer potential; shifts floor."""

    @property
    @abstractmethod
    def share(self) -> int:
        """With `carry`: kept(u) is (share u + carry) >> 8. 0 to 256."""

    @property
    def carry(self) -> int:
        """0 rounds down, 255 up."""
        return 0

    @property
    def factor(self) -> float:
        """The share of a potential that a tick leaves, as training sees it."""
        return self.share / UNIT

    @property
    def gain(self) -> float:
        """The factor on a trained neuron's input: v = factor v + gain x; 1 where nothing leaks."""
        return 1.0 if self.factor == 1 else 1 - self.factor

    @property
    def reset_slope(self) -> int:
        """D reset / d u, for training."""
        return _RESETS[self.reset_to].slope

    @property
    def code(self) -> dict[str, int]:
        """What the event machine is told of it: hw.program.NEURON."""
        return {
            "share": self.share,
            "carry": self.carry,
            "subtract": int(self.reset_to == "subtract"),
            "start": int(self.start == "half"),
            "above": int(self.above),
            **{name: int(self.reset_to == name) for name in RESETS[2:]},
        }

    @property
    def swept(self) -> bool:
        """Whether the sweep machine has it: by `leak_mode` and `leak_shift` of its configuration."""
        return self.name in NEURONS and (self.reset_to, self.start) == ("zero", "zero")

    def leak(self, u: Any) -> Any:
        """What a tick leaves of a potential `u`: an integer, an array of them, or a value of the RTL."""
        return self.kept(u, self.amount)

    def reset(self, u: Any, level: Any) -> Any:
        """The potential after firing. level: the threshold, or one less where `above`."""
        return 0 if self.reset_to == "zero" else after(self.reset_to)(u, level)

    def owed(self, u: Any, threshold: Any, level: Any) -> Any:
        """What a tick takes away, behind its leak, of the potential that the one before left. level: as of `reset`."""
        return (u >= threshold) * level if self.reset_to == "late" else 0

    def initial(self, threshold: Any) -> Any:
        """The potential before the first tick, of integers."""
        return (threshold - int(self.above)) >> 1 if self.start == "half" else 0

    def step(
        self, u: Any, current: Any, threshold: Any, choose: Callable[..., Any] = _choose
    ) -> tuple[Any, Any]:
        """One tick: whether the neuron fires, and the potential that it keeps.

        choose(condition, yes, no): numpy.where for arrays.
        """
        level = threshold - int(self.above)
        u = self.leak(u) - self.owed(u, threshold, level) + current
        fires = u >= threshold
        return fires, choose(fires, self.reset(u, level), u)

    def stays_inside(self, drive: Any, *, bits: int, ticks: int, threshold: Any = 0) -> Any:
        """Whether no input whatever leaves `bits` signed bits within `ticks` ticks.

        drive: the most that a tick adds or takes, at least 0; an integer or an array of them. threshold: the largest that it
        may be, which matters to where it starts, and to a reset that can end below 0, as a late one. A reset moves a potential of at least 0 towards 0, so
        that the extremes are those that never fire. Such a one ends farthest below 0 where the largest threshold is just met. Whether it can be met is not asked. So a larger threshold never mends what a smaller one breaks.
        """
        bound = 1 << (bits - 1)
        level = threshold - int(self.above)
        fired = self.leak(self.reset(threshold, level)) - self.owed(threshold, threshold, level)
        low = 0 * drive
        high = low + self.leak(self.initial(threshold))
        inside: Any = True
        for _ in range(ticks):
            high, low = high + drive, low - drive
            inside = inside & (high < bound) & (low >= -bound)
            high, low = self.leak(high), self.leak(low)
            low = low + (fired - low) * (fired < low)
        return inside


class Shift(Neuron):
    """Leaky: a tick leaves u >> amount."""

    name = "shift"

    @staticmethod
    def kept(u: Any, amount: int) -> Any:
        return u >> amount

    @property
    def share(self) -> int:
        return UNIT >> self.amount


class Complement(Neuron):
    """Leaky: a tick takes u >> amount away."""

    name = "complement"

    @staticmethod
    def kept(u: Any, amount: int) -> Any:
        return u - (u >> amount)

    @property
    def share(self) -> int:
        return UNIT - (UNIT >> self.amount)

    @property
    def carry(self) -> int:
        """What is taken away is rounded down."""
        return UNIT - 1


class Lossless(Neuron):
    """Integrate and fire, without a leak; `amount` is not used."""

    name = "none"

    @staticmethod
    def kept(u: Any, amount: int) -> Any:
        return u

    @property
    def share(self) -> int:
        return UNIT


class Share(Neuron):
    """Leaky: a tick leaves `amount` 256ths, rounded down. Of the event machine alone."""

    name = "share"
    amounts = range(1, UNIT + 1)

    @staticmethod
    def kept(u: Any, amount: int) -> Any:
        return (u * amount) >> 8

    @property
    def share(self) -> int:
        return self.amount


NEURONS: dict[str, type[Neuron]] = {kind.name: kind for kind in (Shift, Complement, Lossless)}
"""By the name that `leak_mode` of a hardware configuration has."""
PAPER = Shift(2)
"""A quarter of the potential is left, a reset to zero."""


def after(reset_to: str) -> Callable[[Any, Any], Any]:
    """The potential after firing, of it and the level."""
    return _RESETS[reset_to].after


def kinds() -> tuple[type[Neuron], ...]:
    """All leaks, those that the event machine alone has last."""
    return (*NEURONS.values(), Share)


def trained(
    factor: float, reset_to: str = "zero", start: str = "zero", *, above: bool = False
) -> Neuron | None:
    """The neuron that a network was trained with, by what a tick leaves, reset and start; or None.

    above: it fires above its threshold only.
    """
    if reset_to not in RESETS or start not in STARTS:
        return None
    above = above and (reset_to, start) != ("zero", "zero")  # else it makes no difference
    found = (kind(n, reset_to, start, above) for kind in kinds() for n in kind.amounts)
    return next((n for n in found if n.factor == factor), None)
