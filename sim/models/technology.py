"""Energy technologies: the files of technologies/, checked; docs/energy.md. Adding one is adding a file.

A file has one of three kinds. `components`: a table with a row a component, of SATA_Sim's names.
`variant`: such a table with another scratchpad, or with clocks that are never gated. `constants`: the
ratio of Eq. 3 alone.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from sim import schema
from sim.errors import BadInput

FOLDER = Path(__file__).parent / "technologies"
PAPER, BASE = "paper", "32nm"
COMPONENTS = (
    "and-gate", "adder", "reg-acc", "comp-lif", "sub-lif", "reg-membrane", "spad", "glb", "dram",
)  # fmt: skip

Amount = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Sources = dict[str, str]


class Picojoule(Struct, frozen=True, forbid_unknown_fields=True):
    """Energy, of what `per` says."""

    value: Amount
    unit: Literal["pJ"]
    per: str = ""
    source: str = ""


class Microwatt(Struct, frozen=True, forbid_unknown_fields=True):
    """Leakage."""

    value: Amount
    unit: Literal["uW"]
    per: str = ""
    source: str = ""


class Area(Struct, frozen=True, forbid_unknown_fields=True):
    """Of one instance."""

    value: Amount
    unit: Literal["um2"]
    source: str = ""


class Row(Struct, forbid_unknown_fields=True, kw_only=True):
    """One instance of a component, as the file has it."""

    width_bits: int
    node_nm: int
    area: Area
    dynamic: Picojoule
    """Of an action: an accumulate, a LIF update, a read."""
    write: Picojoule = Picojoule(0.0, "pJ")
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


class Fifo(Struct, forbid_unknown_fields=True):
    """16 bits wide."""

    area_um2: Amount
    dynamic_mw: Amount
    leakage_uw: Amount
    source: str


class Components(Struct, tag="components", tag_field="kind", kw_only=True):
    """A table. What else the file has (`kernels`, `srams`) says where its rows come from."""

    node_nm: int
    clock_mhz: Positive
    sources: Sources
    components: dict[str, Row]
    fifos: dict[int, Fifo]


class Scratchpad(Struct, forbid_unknown_fields=True):
    """Of another device."""

    read_pj: Amount
    write_pj: Amount
    leakage_uw: Amount
    access_ns: Amount
    source: str


class Variant(Struct, tag="variant", tag_field="kind", forbid_unknown_fields=True, kw_only=True):
    """A table that differs from another one."""

    base: str
    scratchpad: Scratchpad | None = None
    ungated: list[str] = []
    """Components that spend an action's energy in every cycle."""


class Action(Struct, forbid_unknown_fields=True, kw_only=True):
    """Energy in units of E_dyn, and where the figure comes from."""

    energy: Amount
    per: str
    source: str
    picojoule: Positive | None = None
    """Where it was measured."""


class Actions(Struct, forbid_unknown_fields=True):
    """Those of Eq. 3."""

    accumulate: Action
    leak: Action


class Case(Struct, forbid_unknown_fields=True):
    """E_leak under another assumption."""

    leak: Amount
    source: str


class Constants(
    Struct, tag="constants", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """E_dyn and E_leak of Eq. 3."""

    actions: Actions
    sensitivity: dict[str, Case] = {}


class ComponentTable(Struct, frozen=True, kw_only=True):
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
    found = schema.read(path, Components | Variant | Constants)  # type: ignore[arg-type]
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
    return found


def tables() -> list[str]:
    """Names of those that have components."""
    return [name for name, found in known().items() if not isinstance(found, Constants)]


def find(name: str) -> Components | Variant | Constants:
    """A file by name. Raises BadInput for an unknown one, listing the known."""
    if name not in known():
        raise BadInput(f"unknown technology {name!r}; known: {', '.join(known())}")
    return known()[name]


@cache
def load_table(name: str = BASE) -> ComponentTable:
    """A table of components. Raises BadInput for a name that has none."""
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
        raise BadInput(f"{FOLDER / name}.yaml: base = {variant.base!r} is no table of components")
    base = load_table(variant.base)
    rows = dict(base.components)
    if device := variant.scratchpad:
        rows["spad"] = replace(
            rows["spad"],
            dynamic=Picojoule(device.read_pj, "pJ"),
            write=Picojoule(device.write_pj, "pJ"),
            leakage=Microwatt(device.leakage_uw, "uW"),
        )
    for component in variant.ungated:  # what would be an action's energy is spent in every cycle
        if component not in rows:
            raise BadInput(f"{FOLDER / name}.yaml: ungated: {component!r}; allowed: {list(rows)}")
        row = rows[component]
        rows[component] = replace(row, dynamic=Picojoule(0.0, "pJ"), ungated=row.dynamic)
    return replace(base, name=name, components=rows)
