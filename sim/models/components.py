"""Energy from counts x a table of components (technology.py), line by line; docs/energy.md.

Every line is a component of SATA_Sim's names. Its energy has three parts: dynamic (an action),
ungated (a cycle, whatever happens in it, where the clock is not gated) and leakage (a cycle).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from hw.config import Config
from sim.models.technology import ComponentTable

PARTS = ("dynamic_pj", "ungated_pj", "leakage_pj")
ACCOUNTINGS = ("paper", "rtl")


def accountings(machine: str) -> tuple[str, ...]:
    """Those that a machine has: of the event machine's own memories and gates there is no table yet."""
    return ACCOUNTINGS[:1] if machine == "event" else ACCOUNTINGS


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What happened, of one image or summed over several. Cycles are summed over the PEs."""

    accumulates: float
    pe_cycles: float
    """Cycles that all PEs together were powered; in accounting `paper` a step is a cycle."""
    spad_reads: float
    """Words of 16 bits."""
    spad_writes: float = 0
    lif_updates: float = 0
    """(neuron, tick) pairs."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} = {value}; allowed: 0 or more")


def add_counts(parts: Iterable[Counts]) -> Counts:
    """Their sum: of a network's layers."""
    sums = dict.fromkeys((field.name for field in fields(Counts)), 0.0)
    for part in parts:
        for name in sums:
            sums[name] += getattr(part, name)
    return Counts(**sums)


def instances(accounting: str, config: Config | None = None) -> dict[str, int]:
    """How many of each component a PE has.

    `paper`: as its section III-B, four AND gates, 256 accumulators each with its adder, 256 LIF
    units of four registers. `rtl`: this RTL's, a gate and an adder a lane, accumulators in memories
    (counted as registers), and a LIF pipeline of a unit and a register a tick.
    Raises ValueError for an unknown accounting.
    """
    if accounting == "paper":
        return {
            "and-gate": 4,
            "adder": 256,
            "reg-acc": 256,
            "comp-lif": 256,
            "sub-lif": 256,
            "reg-membrane": 4 * 256,
            "spad": 1,
        }
    if accounting == "rtl":
        config = config or Config()
        return {
            "and-gate": config.lanes,
            "adder": config.lanes,
            "reg-acc": config.accumulators,
            "comp-lif": config.ticks,
            "sub-lif": config.ticks,
            "reg-membrane": config.ticks,
            "spad": 1,
        }
    raise ValueError(f"unknown accounting {accounting!r}; allowed: {', '.join(ACCOUNTINGS)}")


def breakdown(
    table: ComponentTable, counts: Counts, *, accounting: str, config: Config | None = None
) -> dict[str, dict[str, float]]:
    """Energy of the PEs in pJ: PARTS by component. Their sum is the total, see `total_pj`."""
    actions = {
        "and-gate": counts.accumulates,
        "adder": counts.accumulates,
        "reg-acc": counts.accumulates,
        "comp-lif": counts.lif_updates,
        "sub-lif": counts.lif_updates,
        "reg-membrane": counts.lif_updates,
        "spad": counts.spad_reads,
    }
    lines = {}
    for name, number in instances(accounting, config).items():
        component = table.components[name]
        dynamic = actions[name] * component.dynamic.value
        if name == "spad":
            dynamic += counts.spad_writes * component.write.value
        lines[name] = {
            "dynamic_pj": dynamic,
            "ungated_pj": counts.pe_cycles * number * component.ungated.value,
            "leakage_pj": counts.pe_cycles * number * table.leakage_pj(name),
        }
    return lines


def total_pj(lines: Mapping[str, Mapping[str, float]]) -> float:
    """The sum of all parts of all lines."""
    return sum(sum(line[part] for part in PARTS) for line in lines.values())


def merge(lines: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The six bars of the paper's Fig. 8, in pJ: MAC, LIF and MEM, dynamic (D) and standing (L).

    Standing is what a cycle costs whatever happens in it: leakage and ungated.
    """
    kinds = {"spad": "MEM", "comp-lif": "LIF", "sub-lif": "LIF", "reg-membrane": "LIF"}
    bars = {f"{kind}_{part}": 0.0 for part in "DL" for kind in ("MAC", "MEM", "LIF")}
    for name, line in lines.items():
        kind = kinds.get(name, "MAC")
        bars[f"{kind}_D"] += line["dynamic_pj"]
        bars[f"{kind}_L"] += line["ungated_pj"] + line["leakage_pj"]
    return bars


def step_counts(
    *,
    work: float,
    idle: float,
    accumulates: float,
    accounting: str,
    lif_updates: float = 0,
    config: Config | None = None,
) -> Counts:
    """Counts of PEs of which only steps are known.

    `paper`: a step is a cycle, and an accumulate reads the scratchpad. `rtl`: a cycle does `lanes`
    steps, and a word is read once for the sweep of a whole tile; what else the RTL does (headers,
    filling, stalls) only its program and counters tell, see `sim.models.memory`.
    """
    instances(accounting)  # refuses an unknown one
    if accounting == "paper":
        cycles, reads = work + idle, accumulates
    else:
        config = config or Config()
        cycles, reads = (work + idle) / config.lanes, work / config.accumulators
    return Counts(
        accumulates=accumulates, pe_cycles=cycles, spad_reads=reads, lif_updates=lif_updates
    )


def constants(
    table: ComponentTable, *, accounting: str = "paper", config: Config | None = None
) -> tuple[float, float]:
    """E_dyn and E_leak of Eq. 3 in pJ: of a step with a spike, and of any step of a PE.

    What `breakdown` says of one accumulate, and of one step of standing. In accounting `rtl` E_dyn
    holds the read that a step's share of a sweep costs.
    """
    one = step_counts(work=1, idle=0, accumulates=1, accounting=accounting, config=config)
    lines = breakdown(table, one, accounting=accounting, config=config)
    dynamic = sum(line["dynamic_pj"] for line in lines.values())
    return dynamic, total_pj(lines) - dynamic


def pe_area_um2(
    table: ComponentTable, *, accounting: str = "paper", config: Config | None = None
) -> float:
    """Area of a PE: its components, without control."""
    return sum(
        number * table.components[name].area.value
        for name, number in instances(accounting, config).items()
    )
