"""What a few counts say of an energy: least squares in which no count has a price below zero.

The counts are those that the models know of a whole image: cycles, and among them those in which the PE adds (`work`)
and those in which it drains a tile; accumulates. What happens in every cycle, leakage and most of the clock above all,
is in a cycle's price.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

TERMS = ("cycles", "work", "drain", "accumulates")
SINGULAR = {
    "cycles": "cycle",
    "work": "cycle at work",
    "drain": "cycle of draining",
    "accumulates": "accumulate",
}
"""What one of each is called in reports."""


@dataclass(frozen=True)
class Fit:
    """Joules of one of each of TERMS."""

    prices: dict[str, float]

    def joules(self, counts: np.ndarray) -> np.ndarray:
        """Of counts (..., TERMS)."""
        return counts @ np.array([self.prices[term] for term in TERMS])

    def residual(self, counts: np.ndarray, energy: np.ndarray) -> float:
        """Root of the mean square of what is not explained of windows, as a share of the mean window."""
        left = self.joules(counts) - energy
        return float(np.sqrt(np.mean(left**2)) / energy.mean())


def fit(counts: np.ndarray, energy: np.ndarray) -> Fit:
    """Of windows: counts (windows, TERMS), energy (windows,) in joules.

    A term that no window has, or that explains nothing, gets the price 0.
    """
    columns, mean = counts.astype(float), float(energy.mean())
    scale = np.maximum(columns.max(0), 1.0)  # nnls stops where a slope is below a number of its own
    prices = nnls(columns / scale, energy / mean)[0] * mean / scale
    return Fit({term: float(price) for term, price in zip(TERMS, prices, strict=True)})
