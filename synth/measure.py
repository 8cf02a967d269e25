"""Energy of a PE from its own switching: a recorded layer replayed on the netlist, window by window."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from hw.counters import CYCLES, Counter
from hw.files import write_text
from sim.errors import BadInput
from sim.files import write_json
from synth import clocks, gates, netlist, power
from synth.flow import Flow
from synth.memories import MemoryMacro
from synth.recording import layer_program, ports_of, record

WORK = CYCLES.index(Counter.WORK_CYCLES)
WINDOW = 256
PAPER_RATIO = 0.21


@dataclass(frozen=True)
class Measured:
    """Joules; clock and leakage by component; clock and data are means over windows in which the layer runs."""

    layer: str
    cycles: int
    work_cycles: int
    accumulates: int
    windows: int
    leakage_cycle: dict[str, float]
    clock_cycle: dict[str, float]
    data_cycle: float
    gating: clocks.Gating
    macro_leakage_cycle: float
    macro_read: float
    macro_write: float
    macro_reads_cycle: float
    macro_writes_cycle: float
    fit: dict[str, float]
    lanes: int

    @property
    def leak(self) -> float:
        """E_leak: leakage of the PE in a cycle, its scratchpad included."""
        return sum(self.leakage_cycle.values()) + self.macro_leakage_cycle

    @property
    def standing(self) -> float:
        """What a cycle costs whatever happens in it: clock and control (fitted), leakage."""
        return self.leak + self.fit["cycle"]

    def ratios(self) -> dict[str, float]:
        """E_leak / E_dyn of Eq. 3: both of one step, so a cycle's leakage is shared by the lanes."""
        dynamic = self.fit["accumulate"]
        return {
            "leakage": self.leak / self.lanes / dynamic,
            "leakage_and_clock": self.standing / self.lanes / dynamic,
        }


def measure(flow: Flow, model: str, layer: str, *, cycles: int) -> Measured:
    """Synthesize a PE, record it, replay it.

    Raises BadInput where netlist and RTL differ, and for the event machine, whose PE has two memories.
    """
    if flow.config.machine != "sweep":
        raise BadInput(f"machine = {flow.config.machine!r}; allowed for power: sweep")
    program, spikes, config = layer_program(model, layer, config=flow.config)
    flow.pe()
    path = flow.folder / "pe_flat.v"
    ports = ports_of(flow.folder / "rtl" / "pe.v")
    click.echo(f"{layer} of {model}: recording {cycles} cycles of PE 0")
    recording = record(program, spikes, ports, cycles=cycles, build=flow.folder.parent.parent)
    click.echo("replay on the netlist")
    module = netlist.read(path.read_text())
    macro = next(m for m in flow.macros if m.name == "uticket_scratchpad")
    switching = gates.simulate(
        module, flow.library, ports, recording.rows, window=WINDOW, macro=macro.name
    )
    return summary(
        layer,
        recording.account,
        recording.accumulates,
        power.costs(module, flow.library),
        switching,
        clocks.gating(module, flow.library),
        macro,
        period=flow.period * 1e-9,
        lanes=config.lanes,
    )


def summary(
    layer: str,
    account: np.ndarray,
    accumulates: np.ndarray,
    costs: power.Costs,
    switching: gates.Switching,
    gating: clocks.Gating,
    macro: MemoryMacro,
    *,
    period: float,
    lanes: int,
) -> Measured:
    """Energies from what was recorded of each cycle and what switched in each window. period: s."""
    count = len(account) // WINDOW
    data = power.data_energy(costs, switching)[:count]
    clock = power.clock_energy(costs, switching, WINDOW)
    windows = [
        power.Window(
            cycles=WINDOW,
            work_cycles=int((account[k * WINDOW : (k + 1) * WINDOW] == WORK).sum()),
            accumulates=int(accumulates[k * WINDOW : (k + 1) * WINDOW].sum()),
            energy=float(data[k]) + sum(float(joules[k]) for joules in clock.values()),
        )
        for k in range(count)
    ]
    running = [k for k, window in enumerate(windows) if window.work_cycles]
    active = account >= 0
    return Measured(
        layer=layer,
        cycles=int(active.sum()),
        work_cycles=int((account == WORK).sum()),
        accumulates=int(accumulates[active].sum()),
        windows=count,
        leakage_cycle={name: watts * period for name, watts in costs.leakage.items()},
        clock_cycle={name: float(j[running].mean()) / WINDOW for name, j in clock.items()},
        data_cycle=float(data[running].mean()) / WINDOW,
        gating=gating,
        macro_leakage_cycle=macro.leakage * period,
        macro_read=macro.read,
        macro_write=macro.write,
        macro_reads_cycle=float(switching.reads[running].mean()) / WINDOW,
        macro_writes_cycle=float(switching.writes[running].mean()) / WINDOW,
        fit=power.fit(windows),
        lanes=lanes,
    )


def write(measured: Measured, folder: Path) -> Path:
    """Write power.json and power.txt; returns the latter's path."""
    ratios = measured.ratios()
    data = {**asdict(measured), "ratios": ratios, "paper_ratio": PAPER_RATIO}
    write_json(folder / "power.json", data)
    path = folder / "power.txt"
    pico = {name: value * 1e12 for name, value in measured.fit.items() if name != "residual"}
    lines = [
        f"{measured.layer}: {measured.cycles} cycles of the layer, {measured.work_cycles} of them at "
        f"work, {measured.accumulates} accumulates; {measured.windows} windows of {WINDOW} cycles",
        clocks.describe(measured.gating),
        "pJ a cycle             clock  leakage",
    ]
    for name, leakage in measured.leakage_cycle.items():
        clock = measured.clock_cycle.get(name, 0.0)
        lines.append(f"  {name:<20}{clock * 1e12:8.3f}{leakage * 1e12:9.4f}")
    lines += [
        f"  {'all':<20}{sum(measured.clock_cycle.values()) * 1e12:8.3f}"
        f"{sum(measured.leakage_cycle.values()) * 1e12:9.4f}",
        f"data, while the layer runs: {measured.data_cycle * 1e12:.3f} pJ a cycle",
        f"scratchpad macro: {measured.macro_read * 1e12:.3f} pJ a read, "
        f"{measured.macro_reads_cycle:.3f} reads a cycle, "
        f"{measured.macro_leakage_cycle * 1e12:.5f} pJ of leakage a cycle",
        f"fitted, without the macro: {pico['cycle']:.3f} pJ a cycle, {pico['work_cycle']:.3f} pJ more a "
        f"working cycle, {pico['accumulate']:.3f} pJ more an accumulate; "
        f"{measured.fit['residual']:.2%} unexplained",
        f"E_leak = {measured.leak * 1e12:.3f} pJ a cycle; E_leak / E_dyn a step: leakage alone "
        f"{ratios['leakage']:.3f}, with clock and control {ratios['leakage_and_clock']:.2f}; "
        f"the paper's {PAPER_RATIO}",
    ]
    write_text(path, "\n".join(lines) + "\n")
    return path
