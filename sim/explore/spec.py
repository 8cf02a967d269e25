"""What a sweep runs: a YAML of axes, and the points that are their product (docs/sweep.md)."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hw.config import Config
from support import yaml_file
from support.errors import BadInput
from sw.balance import POLICIES
from sw.networks import NETWORKS

POSITIONS = (16, 64)  # of a tile, which has one accumulator a lane and position
BASE = Config()
MAX_POINTS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Point:
    """One design: a network's masks on an array. The order of the fields is that of the columns."""

    network: str
    sparsity: float
    """Share of zero weights."""
    policy: str
    """How the masks are balanced, for this number of PEs."""
    n_pe: int
    lanes: int
    """Of a PE; as many ticks."""
    accumulators: int
    """Of a PE, over all lanes."""
    scratchpad_depth: int
    """Words of 16 bits of a PE."""

    def on(self, base: Config = BASE) -> Config:
        """The hardware: `base` with the point's sizes. Its spike buffer has the size of base's, in bits."""
        positions = self.accumulators // self.lanes
        return replace(
            base,
            n_pe=self.n_pe,
            ticks=self.lanes,
            tile_side=math.isqrt(positions),
            scratchpad_depth=self.scratchpad_depth,
            buffer_depth=base.buffer_depth * base.positions // positions,
        )

    @property
    def masks(self) -> tuple[str, float, str, int]:
        """What its masks depend on."""
        return self.network, self.sparsity, self.policy, self.n_pe


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A sweep."""

    points: tuple[Point, ...]
    seed: int
    """Of masks, of what balancing draws, and of the spot check."""
    spread: float
    """Sigma of the log-normal densities of filters."""
    spike_sparsity: float
    """Share of steps without a spike, for energy."""
    technology: str | None = None
    """Of energy, a name or a path (docs/energy.md)."""
    base: Config = BASE
    """What the axes do not say of the hardware."""

    @property
    def fingerprint(self) -> str:
        """Equal for sweeps that have equal rows."""
        content = [self.seed, self.spread, self.spike_sparsity, [asdict(p) for p in self.points]]
        if self.base != BASE:
            content.append(asdict(self.base))
        if self.technology is not None:
            path = Path(self.technology)
            text = path.read_text(encoding="utf-8") if path.suffix in (".yaml", ".yml") else ""
            content += [self.technology, text]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high


def _share(v: Any) -> bool:
    return isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < 1


Axis = tuple[Any, Callable[[Any], bool], str]
AXES: dict[str, Axis] = {  # default, or the field of the base that is it; check; what is allowed
    "network": (
        ["vgg16"],
        lambda v: isinstance(v, str) and v in NETWORKS,
        ", ".join(sorted(NETWORKS)),
    ),
    "sparsity": ([0.98], _share, "0 to below 1"),
    "policy": (
        ["none", "sort", "random"],
        lambda v: isinstance(v, str) and v in POLICIES,
        ", ".join(POLICIES),
    ),
    "n_pe": ("n_pe", _whole(1, 64), "1 to 64"),
    "lanes": ("lanes", _whole(1, 4), "1 to 4"),
    "accumulators": (
        "accumulators",
        _whole(16, 256),
        "16 or 64 for each lane",
    ),
    "scratchpad_depth": ("scratchpad_depth", _whole(32, 1024), "a power of two, 32 to 1024"),
}
NUMBERS: dict[str, tuple[float, Callable[[Any], bool], str]] = {
    "seed": (1, _whole(0, 2**32), "a whole number, 0 or more"),
    "spread": (
        0.25,
        lambda v: isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v <= 3,
        "0 to 3",
    ),
    "spike_sparsity": (0.85, _share, "0 to below 1"),
}


def load_spec(path: Path, base: Config = BASE) -> Spec:
    """The sweep of a YAML, on hardware `base` but for its axes. Raises BadInput, naming file, key and value."""
    if base.machine != BASE.machine:
        raise BadInput(f"machine = {base.machine!r}; allowed for a sweep: {BASE.machine}")
    content = yaml_file.read(path)
    if not isinstance(content, dict):
        raise BadInput(f"{path}: holds {content!r}; allowed: names with lists of values")
    for key in content:
        if key not in AXES and key not in NUMBERS:
            raise BadInput(f"{path}: unknown key {key!r}; allowed: {', '.join((*AXES, *NUMBERS))}")
    axes = {name: _axis(path, name, content.get(name, _default(name, base))) for name in AXES}
    numbers = {}
    for name, (default, valid, allowed) in NUMBERS.items():
        value = numbers[name] = content.get(name, default)
        if not valid(value):
            raise BadInput(f"{path}: {name} = {value!r}; allowed: {allowed}")
    count = math.prod(map(len, axes.values()))
    if count > MAX_POINTS:
        raise BadInput(f"{path}: {count:,} points; allowed: at most {MAX_POINTS:,}")
    points = []
    for values in itertools.product(*axes.values()):
        point = Point(**dict(zip(axes, values, strict=True)))
        if point.accumulators not in [point.lanes * p for p in POSITIONS]:
            continue  # of another number of lanes
        try:
            point.on(base)
        except ValueError as error:
            raise BadInput(f"{path}: {error}") from None
        points.append(point)
    if not points:
        raise BadInput(
            f"{path}: accumulators = {axes['accumulators']} fit none of lanes = {axes['lanes']}; "
            "allowed: 16 or 64 for each lane"
        )
    return Spec(points=tuple(points), base=base, **numbers)


def _default(name: str, base: Config) -> list[Any]:
    given = AXES[name][0]
    return [getattr(base, given)] if isinstance(given, str) else given


def _axis(path: Path, name: str, values: Any) -> list[Any]:
    _, valid, allowed = AXES[name]
    values = values if isinstance(values, list) else [values]
    for value in values:
        if not valid(value):
            raise BadInput(f"{path}: {name} = {value!r}; allowed: {allowed}")
    if not values or len(set(values)) != len(values):
        raise BadInput(f"{path}: {name} = {values!r}; allowed: one or more values, each once")
    return values
