"""Neurons: what a tick does to a potential. Facts in plain Python; every other file asks here.

    u = leak(u) + sum            the potential, before the neuron decides
    fires where u >= threshold
    u = reset(u, threshold)      where it fired

`kept` and `reset` use operators alone. So they serve Python's and NumPy's integers (golden model,
quantizer), Amaranth's values (hw/lif.py), PyTorch's floats (training), and Numba compiles them.
A new neuron is a class here, listed in `NEURONS`, and a row in docs/formats.md ("Neurons");
hw/lif.py changes only where `kept` and `reset` cannot say what it does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

SHIFTS = range(1, 9)  # bits; the leaks that the hardware has


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    return yes if condition else no


@dataclass(frozen=True)
class Neuron(ABC):
    """Integrates and fires at u >= threshold; after firing its potential is 0."""

    name: ClassVar[str]
    reset_to: ClassVar[str] = "zero"
    """What `reset` does, by the name that tickets use."""
    reset_slope: ClassVar[int] = 0
    """d reset / d u, for training."""

    shift: int = 2
    """Bits; in SHIFTS."""

    @staticmethod
    @abstractmethod
    def kept(u: Any, shift: int) -> Any:
        """What a tick leaves of an integer potential; shifts floor."""

    @staticmethod
    def reset(u: Any, threshold: Any) -> Any:
        """The potential after firing."""
        return 0

    @property
    @abstractmethod
    def factor(self) -> float:
        """The share of a potential that a tick leaves, as training sees it."""

    @property
    def gain(self) -> float:
        """The factor on a trained neuron's input: v = factor v + gain x; 1 where nothing leaks."""
        return 1.0 if self.factor == 1 else 1 - self.factor

    def leak(self, u: Any) -> Any:
        """What a tick leaves of a potential `u`: an integer, an array of them, or a value of the RTL."""
        return self.kept(u, self.shift)

    def step(
        self, u: Any, current: Any, threshold: Any, choose: Callable[..., Any] = _choose
    ) -> tuple[Any, Any]:
        """One tick: whether the neuron fires, and the potential that it keeps.

        choose(condition, yes, no): numpy.where for arrays.
        """
        u = self.leak(u) + current
        fires = u >= threshold
        return fires, choose(fires, self.reset(u, threshold), u)

    def stays_inside(self, drive: Any, *, bits: int, ticks: int) -> Any:
        """Whether no input whatever leaves `bits` signed bits within `ticks` ticks, from 0.

        drive: the most that a tick adds or takes, at least 0; an integer or an array of them. A reset
        moves a potential of at least 0 towards 0, so that the extremes are those that never fire.
        """
        bound = 1 << (bits - 1)
        high = low = 0 * drive
        inside: Any = True
        for _ in range(ticks):
            high, low = self.leak(high) + drive, self.leak(low) - drive
            inside = inside & (high < bound) & (low >= -bound)
        return inside


class Shift(Neuron):
    """Leaky: a tick leaves u >> shift."""

    name = "shift"

    @staticmethod
    def kept(u: Any, shift: int) -> Any:
        return u >> shift

    @property
    def factor(self) -> float:
        return 2.0**-self.shift


class Complement(Neuron):
    """Leaky: a tick takes u >> shift away."""

    name = "complement"

    @staticmethod
    def kept(u: Any, shift: int) -> Any:
        return u - (u >> shift)

    @property
    def factor(self) -> float:
        return 1 - 2.0**-self.shift


class Lossless(Neuron):
    """Integrate and fire, without a leak; `shift` is not used."""

    name = "none"

    @staticmethod
    def kept(u: Any, shift: int) -> Any:
        return u

    @property
    def factor(self) -> float:
        return 1.0


NEURONS: dict[str, type[Neuron]] = {kind.name: kind for kind in (Shift, Complement, Lossless)}
"""By the name that `leak_mode` of a hardware configuration has."""


def trained(factor: float, reset_to: str = "zero") -> Neuron | None:
    """The neuron that a network was trained with, by what a tick leaves and by its reset; or None."""
    kinds = (kind(shift) for kind in NEURONS.values() for shift in SHIFTS)
    return next((n for n in kinds if (n.factor, n.reset_to) == (factor, reset_to)), None)
