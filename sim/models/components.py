"""Energy from counts x a table of components (technology.py), line by line; docs/energy.md.

Every line is a component of SATA_Sim's names. Its energy has three parts: dynamic (an action),
ungated (a cycle, whatever happens in it, where the clock is not gated) and leakage (a cycle).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from hw.config import Config
from hw.event.fifo import entry_layout
from sim.models.technology import ComponentTable

PARTS = ("dynamic_pj", "ungated_pj", "leakage_pj")
ACCOUNTINGS = ("paper", "rtl")
SLICES = "slice-fifo"
ROWS = {SLICES: "reg-acc"}
"""Components without a row of their own in a table, and whose prices they have."""
REGISTER = 24  # bits of that row


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
    slices: float = 0
    """Taken into a PE's FIFO; of the event machine."""

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
    (counted as registers), and a LIF pipeline of a unit and a register a tick. The event machine has gate and adder
    in each bank, two LIF pipelines, rings of together a scratchpad, and a FIFO of slices, as registers of 24 bits.
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
        event = config.machine == "event"
        lanes = config.ticks * (config.banks if event else 1)
        neurons = config.ticks * (config.lifs if event else 1)
        made = {
            "and-gate": lanes,
            "adder": lanes,
            "reg-acc": config.accumulators,
            "comp-lif": neurons,
            "sub-lif": neurons,
            "reg-membrane": neurons,
            "spad": 1,
        }
        return made | ({SLICES: config.fifo_depth * slice_registers(config)} if event else {})
    raise ValueError(f"unknown accounting {accounting!r}; allowed: {', '.join(ACCOUNTINGS)}")


def slice_registers(config: Config) -> int:
    """Registers of 24 bits that hold a slice with its taps."""
    return -(-entry_layout(config).size // REGISTER)


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
    if counts.slices:
        actions[SLICES] = counts.slices * slice_registers(config or Config())
    lines = {}
    for name, number in instances(accounting, config).items():
        row = ROWS.get(name, name)
        component = table.components[row]
        dynamic = actions.get(name, 0.0) * component.dynamic.value
        if name == "spad":
            dynamic += counts.spad_writes * component.write.value
        lines[name] = {
            "dynamic_pj": dynamic,
            "ungated_pj": counts.pe_cycles * number * component.ungated.value,
            "leakage_pj": counts.pe_cycles * number * table.leakage_pj(row),
        }
    return lines


def total_pj(lines: Mapping[str, Mapping[str, float]]) -> float:
    """The sum of all parts of all lines."""
    return sum(sum(line[part] for part in PARTS) for line in lines.values())


def merge(lines: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The six bars of the paper's Fig. 8, in pJ: MAC, LIF and MEM, dynamic (D) and standing (L).

    Standing is what a cycle costs whatever happens in it: leakage and ungated.
    """
    kinds = {
        "spad": "MEM",
        SLICES: "MEM",
        "comp-lif": "LIF",
        "sub-lif": "LIF",
        "reg-membrane": "LIF",
    }
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
        number * table.components[ROWS.get(name, name)].area.value
        for name, number in instances(accounting, config).items()
    )
