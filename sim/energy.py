"""Energy of a layer by Eq. 3 of the paper, in units of E_dyn.

    energy = work * (E_dyn * (1 - s) + E_leak) + idle * E_leak

s is the share of steps without a spike. A view decides which s each layer gets:
`spikes` (default) its own, counted step by step, s = 1 - accumulates / work;
`input_sparsity` the share of zeros in its input; `network_average` the share of zeros in the inputs
of all layers together, one number for the network, which is the paper's way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sim.errors import BadInput

VIEWS = ("spikes", "input_sparsity", "network_average")
FOLDER = Path(__file__).parent / "technology"


@dataclass(frozen=True, kw_only=True)
class Technology:
    """Energy of an action in units of E_dyn, and where the figures come from."""

    name: str
    accumulate: float
    """Of a step whose input spike is 1."""
    leak: float
    """Of any step of a PE, working or idle."""
    source: str
    """Of `leak`."""
    sensitivity: dict[str, float]
    """`leak` under other assumptions, by name."""


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Counts of one layer: of one image, or sums over images (a ratio is then one of sums)."""

    work: float
    """Steps, over all PEs."""
    idle: float
    """Steps at the barrier, over all PEs."""
    accumulates: float
    """Steps whose input spike is 1; padding is no spike."""
    input_zeros: float = 0
    """(tick, neuron) pairs of the layer's input without a spike."""
    inputs: float = 0
    """(tick, neuron) pairs of the layer's input."""

    def __post_init__(self) -> None:
        if not 0 <= self.accumulates <= self.work or self.idle < 0:
            raise ValueError(
                f"accumulates = {self.accumulates}, work = {self.work}, idle = {self.idle}; "
                "allowed: 0 <= accumulates <= work, 0 <= idle"
            )
        if not 0 <= self.input_zeros <= self.inputs:
            raise ValueError(
                f"input_zeros = {self.input_zeros}; allowed: 0 to inputs = {self.inputs}"
            )

    @property
    def spike_sparsity(self) -> float | None:
        """Share of steps without a spike; None without weights."""
        return 1 - self.accumulates / self.work if self.work else None

    @property
    def input_sparsity(self) -> float | None:
        """Plain share of zeros in the layer's input; None where it was not counted."""
        return self.input_zeros / self.inputs if self.inputs else None


def load_technology(name: str = "paper") -> Technology:
    """Read `sim/technology/NAME.yaml`. Raises BadInput for an unknown name, listing the known."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
        raise BadInput(f"unknown technology {name!r}; known: {known}")
    table: dict[str, Any] = yaml.safe_load(path.read_text())
    actions = table["actions"]
    return Technology(
        name=table["name"],
        accumulate=actions["accumulate"]["energy"],
        leak=actions["leak"]["energy"],
        source=actions["leak"]["source"],
        sensitivity={case: row["leak"] for case, row in table["sensitivity"].items()},
    )


def eq3(*, work: float, idle: float, spike_sparsity: float, technology: Technology) -> float:
    """Energy of a layer in units of E_dyn (Eq. 3)."""
    dynamic = work * (1 - spike_sparsity) * technology.accumulate
    return dynamic + (work + idle) * technology.leak


def layer_energies(
    layers: Sequence[Activity], technology: Technology, *, view: str = "spikes"
) -> list[float]:
    """Energy of each layer in units of E_dyn; their sum is the network's.

    Raises ValueError for an unknown view, or where a view needs `inputs` that were not counted.
    """
    sparsities = _sparsities(layers, view)
    return [
        eq3(work=layer.work, idle=layer.idle, spike_sparsity=s, technology=technology)
        for layer, s in zip(layers, sparsities, strict=True)
    ]


def _sparsities(layers: Sequence[Activity], view: str) -> list[float]:
    if view not in VIEWS:
        raise ValueError(f"unknown view {view!r}; allowed: {', '.join(VIEWS)}")
    if view == "spikes":
        return [layer.spike_sparsity or 0.0 for layer in layers]
    if any(layer.inputs == 0 for layer in layers):
        raise ValueError(f"view {view!r} needs the input zeros of every layer")
    if view == "input_sparsity":
        return [layer.input_zeros / layer.inputs for layer in layers]
    zeros = sum(layer.input_zeros for layer in layers)
    return [zeros / sum(layer.inputs for layer in layers)] * len(layers)
