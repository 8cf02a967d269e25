"""Energy of a layer by Eq. 3 of the paper, in units of E_dyn.

    energy = work * (E_dyn * (1 - s) + E_leak) + idle * E_leak

s is the share of steps without a spike, 1 - s the active share. A view decides which s each layer gets:
`spikes` (default) its own, counted step by step, s = 1 - accumulates / work;
`input_sparsity` the share of zeros in its input; `network_average` the share of zeros in the inputs
of all layers together, one number for the network, which is the paper's way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from sim.models.components import breakdown, constants, step_counts, total_pj
from sim.models.technology import (
    BASE,
    PAPER,
    ComponentTable,
    Constants,
    find,
    load_table,
    tables,
)
from support.errors import BadInput

VIEWS = ("spikes", "input_sparsity", "network_average")


@dataclass(frozen=True, kw_only=True)
class Technology:
    """E_leak in units of E_dyn, and where the figures come from."""

    name: str
    leak: float
    """Of any step of a PE, working or idle; that of an accumulate, E_dyn, is the unit."""
    source: str
    """Of `leak`."""
    picojoule: float | None = None
    """Of an accumulate, where it was measured."""


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


def load_technology(name: str = PAPER) -> Technology:
    """The two constants: of a file that has them, or of a table of components; name or path.

    Raises BadInput for an unknown name, listing the known.
    """
    found = find(name)
    if isinstance(found, Constants):
        accumulate, leak = found.actions.accumulate, found.actions.leak
        return Technology(
            name=name, leak=leak.energy, source=leak.source, picojoule=accumulate.picojoule
        )
    dynamic, standing = constants(load_table(name))
    source = f"components of {name}: {standing:.3f} pJ / {dynamic:.3f} pJ"
    return Technology(name=name, leak=standing / dynamic, source=source)


@dataclass(frozen=True, kw_only=True)
class Energies:
    """What a run is counted in: Eq. 3 in units of E_dyn, and components in pJ."""

    eq3: Technology
    table: ComponentTable


def energies(name: str | None = None) -> Energies:
    """Of a technology, name or path; None: the paper's Eq. 3 and the components of 32nm.

    A file of constants is Eq. 3's alone; components stay those of 32nm. Raises BadInput.
    """
    if name is None:
        return Energies(eq3=load_technology(), table=load_table())
    constant = isinstance(find(name), Constants)
    return Energies(eq3=load_technology(name), table=load_table(BASE if constant else name))


def eq3(*, work: float, idle: float, active: float, leak: float) -> float:
    """Energy in units of E_dyn (Eq. 3). active: share of steps with a spike. leak: E_leak / E_dyn."""
    return work * active + (work + idle) * leak


def layer_energies(
    layers: Sequence[Activity], technology: Technology, *, view: str = "spikes"
) -> list[float]:
    """Energy of each layer in units of E_dyn; their sum is the network's.

    Raises ValueError for an unknown view, or where a view needs `inputs` that were not counted.
    """
    sparsities = _sparsities(layers, view)
    return [
        eq3(work=layer.work, idle=layer.idle, active=1 - s, leak=technology.leak)
        for layer, s in zip(layers, sparsities, strict=True)
    ]


def answer(
    *,
    work: float,
    idle: float,
    spike_sparsity: float,
    ratio: float | None = None,
    technology: str | None = None,
    accounting: str = "paper",
    lif_updates: float = 0,
) -> dict[str, Any]:
    """What `uticket energy` says: energy in E_dyn and in pJ, ratio, and lines that add up to it.

    ratio: E_leak / E_dyn of Eq. 3, whose two constants are then the only lines. technology: `paper`
    is the ratio 0.21; a table of components gives its lines, LIF updates included. Raises BadInput.
    """
    _check(work=work, idle=idle, lif_updates=lif_updates)
    if not 0 <= spike_sparsity <= 1:
        raise BadInput(f"spike_sparsity = {spike_sparsity}; allowed: 0 to 1")
    if ratio is not None:
        _check(ratio=ratio)
        if technology is not None:
            raise BadInput(f"ratio = {ratio} and technology = {technology!r}; allowed: one of them")
    name = technology or (PAPER if accounting == PAPER or ratio is not None else BASE)
    label = name if ratio is None else f"ratio {ratio:g}"
    known = load_technology(name)
    tabled = ratio is None and not isinstance(find(name), Constants)
    e_dyn, e_leak = constants(load_table(name if tabled else BASE), accounting=accounting)
    e_dyn = known.picojoule or e_dyn
    accumulates = work * (1 - spike_sparsity)
    if tabled:
        counts = step_counts(
            work=work,
            idle=idle,
            accumulates=accumulates,
            accounting=accounting,
            lif_updates=lif_updates,
        )
        lines = breakdown(load_table(name), counts, accounting=accounting)
        ratio = e_leak / e_dyn
    else:
        if accounting != PAPER or lif_updates:
            raise BadInput(
                "Eq. 3 with a given ratio is of accounting 'paper', without LIF updates; "
                f"allowed for others: technology {', '.join(tables())}"
            )
        ratio = known.leak if ratio is None else ratio
        standing = (work + idle) * ratio * e_dyn
        lines = {
            "E_dyn": {"dynamic_pj": accumulates * e_dyn, "ungated_pj": 0.0, "leakage_pj": 0.0},
            "E_leak": {"dynamic_pj": 0.0, "ungated_pj": 0.0, "leakage_pj": standing},
        }
    energy_pj = total_pj(lines)
    return {
        "technology": label,
        "accounting": accounting,
        "ratio": ratio,
        "e_dyn_pj": e_dyn,
        "e_leak_pj": ratio * e_dyn,
        "energy": energy_pj / e_dyn,
        "energy_pj": energy_pj,
        "components": lines,
    }


def _check(**values: float) -> None:
    for name, value in values.items():
        if not (isfinite(value) and value >= 0):
            raise BadInput(f"{name} = {value}; allowed: a number, 0 or more")


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
