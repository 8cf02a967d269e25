"""Energy technologies: the files of technologies/, checked; docs/energy.md. Adding one is adding a file.

A file of a user's stays where it is: its path is its name.

A file has one of three kinds. `components`: a table with a row a component, of SATA_Sim's names.
`variant`: such a table with another scratchpad, or with clocks that are never gated. `constants`: the
ratio of Eq. 3 alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from support import schema
from support.errors import BadInput
from support.schema import Strict

FOLDER = Path(__file__).parent / "technologies"
PAPER, BASE = "paper", "32nm"
COMPONENTS = (
    "and-gate", "adder", "reg-acc", "comp-lif", "sub-lif", "reg-membrane", "spad", "glb", "dram",
)  # fmt: skip

Amount = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Sources = dict[str, str]


class Picojoule(Strict):
    """Energy, of what `per` says."""

    value: Amount
    unit: Literal["pJ"]
    per: str = ""
    source: str = ""


class Microwatt(Strict):
    """Leakage."""

    value: Amount
    unit: Literal["uW"]
    per: str = ""
    source: str = ""


class Area(Strict):
    """Of one instance."""

    value: Amount
    unit: Literal["um2"]
    source: str = ""


class Row(Strict):
    """One instance of a component, as the file has it."""

    width_bits: int
    node_nm: int
    area: Area
    dynamic: Picojoule
    """Of an action: an accumulate, a LIF update, a read."""
    write: Picojoule = Picojoule(value=0.0, unit="pJ")
    """Of a write, of memories."""
    ungated: Picojoule
    """Of a cycle, whatever happens in it."""
    leakage: Microwatt
    source: str
    kernel: str = ""
    device: str = ""
    bytes: int = 0
    """Of a memory."""
    banks: int = 1


class Fifo(Strict):
    """16 bits wide."""

    area_um2: Amount
    dynamic_mw: Amount
    leakage_uw: Amount
    source: str


class Components(Strict):
    """A table. What else the file has (`kernels`, `srams`) says where its rows come from."""

    model_config = ConfigDict(extra="ignore")
    kind: Literal["components"]

    node_nm: int
    clock_mhz: Positive
    sources: Sources
    components: dict[str, Row]
    fifos: dict[int, Fifo]


class Scratchpad(Strict):
    """Of another device."""

    read_pj: Amount
    write_pj: Amount
    leakage_uw: Amount
    access_ns: Amount
    source: str


class Variant(Strict):
    """A table that differs from another one."""

    kind: Literal["variant"]

    base: str
    scratchpad: Scratchpad | None = None
    ungated: list[str] = Field(default_factory=list)
    """Components that spend an action's energy in every cycle."""


class Action(Strict):
    """Energy in units of E_dyn, and where the figure comes from."""

    energy: Amount
    per: str
    source: str
    picojoule: Positive | None = None
    """Where it was measured."""


class Actions(Strict):
    """Those of Eq. 3."""

    accumulate: Action
    leak: Action


class Case(Strict):
    """E_leak under another assumption."""

    leak: Amount
    source: str


class Constants(Strict):
    """E_dyn and E_leak of Eq. 3."""

    kind: Literal["constants"]

    actions: Actions
    sensitivity: dict[str, Case] = Field(default_factory=dict)


KINDS = {"components": Components, "variant": Variant, "constants": Constants}


@dataclass(frozen=True, kw_only=True)
class ComponentTable:
    """Components of one technology."""

    name: str
    clock_mhz: float
    components: dict[str, Row]
    fifo_um2: dict[int, float]
    """Area of a FIFO 16 bits wide, by depth."""

    def leakage_pj(self, name: str) -> float:
        """What one instance leaks in a cycle."""
        return self.components[name].leakage.value / self.clock_mhz


@cache
def known() -> dict[str, Components | Variant | Constants]:
    """Every file of the folder, by name. Raises BadInput for a file that is not as it must be."""
    paths = {path.stem: path for path in FOLDER.glob("*.yaml")}
    return {name: read(paths[name]) for name in sorted(paths)}


def read(path: Path) -> Components | Variant | Constants:
    """One file. Raises BadInput, naming file and field."""
    content = schema.fields(path)
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        given = f" = {kind!r}" if "kind" in content else " is missing"
        raise BadInput(f"{path}: kind{given}; allowed: {', '.join(KINDS)}")
    found: Components | Variant | Constants = schema.checked(path, content, KINDS[kind])
    if isinstance(found, Components):
        for name in COMPONENTS:
            if name not in found.components:
                raise BadInput(f"{path}: components: {name} is missing")
        for name, row in found.components.items():
            if row.source not in found.sources:
                raise BadInput(
                    f"{path}: components.{name}: source = {row.source!r}; "
                    f"allowed: {', '.join(found.sources)}"
                )
    if isinstance(found, Constants) and (unit := found.actions.accumulate.energy) != 1:
        raise BadInput(f"{path}: actions.accumulate.energy = {unit:g}; allowed: 1, the unit")
    return found


def tables() -> list[str]:
    """Names of those that have components."""
    return [name for name, found in known().items() if not isinstance(found, Constants)]


def find(name: str) -> Components | Variant | Constants:
    """A file of the folder by name, or one of a user's by its path, which ends in .yaml or .yml.

    Raises BadInput for an unknown one, listing the known, and for a file that is not as it must be.
    """
    if Path(name).suffix in (".yaml", ".yml"):
        return read(Path(name))
    if name not in known():
        listed = ", ".join(known())
        raise BadInput(f"unknown technology {name!r}; known: {listed}, or a path to a .yaml")
    return known()[name]


def load_table(name: str = BASE) -> ComponentTable:
    """A table of components, of a name or a path. Raises BadInput for one that has none."""
    found = find(name)
    if isinstance(found, Constants):
        raise BadInput(f"technology {name!r} has no components; allowed: {', '.join(tables())}")
    if isinstance(found, Variant):
        return _varied(name, found)
    return ComponentTable(
        name=name,
        clock_mhz=found.clock_mhz,
        components=found.components,
        fifo_um2={depth: row.area_um2 for depth, row in found.fifos.items()},
    )


def _varied(name: str, variant: Variant) -> ComponentTable:
    if not isinstance(known().get(variant.base), Components):
        whole = [one for one, found in known().items() if isinstance(found, Components)]
        raise BadInput(f"{name}: base = {variant.base!r}; allowed: {', '.join(whole)}")
    base = load_table(variant.base)
    rows = dict(base.components)
    if device := variant.scratchpad:
        other = {
            "dynamic": Picojoule(value=device.read_pj, unit="pJ"),
            "write": Picojoule(value=device.write_pj, unit="pJ"),
            "leakage": Microwatt(value=device.leakage_uw, unit="uW"),
        }
        rows["spad"] = rows["spad"].model_copy(update=other)
    for component in variant.ungated:  # what would be an action's energy is spent in every cycle
        if component not in rows:
            raise BadInput(f"{name}: ungated: {component!r}; allowed: {', '.join(rows)}")
        row = rows[component]
        nothing = Picojoule(value=0.0, unit="pJ")
        rows[component] = row.model_copy(update={"dynamic": nothing, "ungated": row.dynamic})
    return replace(base, name=name, components=rows)
