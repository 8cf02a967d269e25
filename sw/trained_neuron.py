"""A neuron as it was trained: floats, in any unit. hw/neuron.py has those that do the same on integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from hw import neuron as hardware
from sw.fields import STRICT, Leak, Positive

RESETS = f"^({'|'.join(hardware.RESETS)})$"


@dataclass(frozen=True, kw_only=True)
class TrainedNeuron:
    """The neuron as trained: v = leak v + gain x, fires at v >= threshold (or above it), then the reset."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    leak: Leak = 0.25
    gain: Positive = 0.75
    threshold: Positive = 1.0
    reset: Annotated[str, Field(pattern=RESETS, description="zero, subtract, late")] = "zero"
    """`late` takes the threshold away as well, but in the next tick, behind the leak."""
    fires: Annotated[str, Field(pattern="^(at|above)$", description="at, above")] = "at"
    """`at` the threshold, v >= threshold, or only `above` it, v > threshold."""
    start: Annotated[str, Field(pattern="^(zero|half)$", description="zero, half")] = "zero"
    """v before the first tick: 0, or `half` the threshold."""

    @property
    def hardware(self) -> hardware.Neuron | None:
        """The neuron of hw/neuron.py that does the same on integers; None where there is none."""
        return hardware.trained(self.leak, self.reset, self.start, above=self.fires == "above")

    @property
    def initial(self) -> float:
        """V before the first tick."""
        return self.threshold / 2 if self.start == "half" else 0.0

    def after(self, v: Any) -> Any:
        """V after firing."""
        return hardware.after(self.reset)(v, self.threshold)

    def found(self, v: Any) -> Any:
        """What the next tick finds of the v that this one left."""
        owed = (v >= self.level) * self.threshold if self.reset == "late" else 0.0
        return self.leak * v - owed

    @property
    def level(self) -> float:
        """The least float64 at which it fires."""
        return self.threshold if self.fires == "at" else math.nextafter(self.threshold, math.inf)

    @property
    def scale(self) -> float:
        """What a sum counts in units of the threshold: gain / threshold."""
        return self.gain / self.threshold
