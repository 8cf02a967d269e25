"""Energy of a PE from its own switching: a recorded layer replayed on the netlist, window by window."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from hw.counters import CYCLES
from synth import gates, power
from synth.flow import Flow
from synth.recording import Recording, layer_program, ports_of, record

WORK = CYCLES.index("work_cycles")
WINDOW = 256
PAPER_RATIO = 0.21


@dataclass(frozen=True)
class Measured:
    """Joules; means over the windows in which a layer runs. By component where it says so."""

    layer: str
    cycles: int
    work_cycles: int
    accumulates: int
    windows: int
    leakage_cycle: dict[str, float]
    clock_cycle: dict[str, float]
    data_cycle: dict[str, float]
    macro_leakage_cycle: float
    macro_read: float
    macro_write: float
    macro_reads: int
    macro_writes: int
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


def measure(flow: Flow, model: str, layer: str, *, cycles: int, windows: int) -> Measured:
    """Synthesize a PE if need be, record it, replay it. Raises BadInput where netlist and RTL differ."""
    netlist = flow.folder / "pe_hier.v"
    if not netlist.is_file():
        flow.pe()
    ports = ports_of(flow.folder / "rtl" / "pe.v")
    program, spikes, config = layer_program(model, layer)
    click.echo(f"{layer} of {model}: recording {cycles} cycles of PE 0")
    recording = record(program, spikes, ports, cycles=cycles, build=flow.folder.parent.parent)
    folder = flow.folder / "power"
    folder.mkdir(exist_ok=True)
    rows = folder / "rows.txt"
    power.write_rows(recording.rows, rows)
    click.echo("gate-level model: build")
    replay = gates.build(netlist, flow.library, ports, folder)
    nets = power.read_netlist(netlist.read_text())
    found, parts = [], []
    for number, first in enumerate(_starts(recording, windows)):
        last = first + WINDOW - 1
        click.echo(f"window {number + 1} of {windows}: cycles {first} to {last}")
        switching = replay.switching(rows, first, last)
        part = power.energies(nets, "pe", "replay/pe", switching, flow.library, WINDOW)
        parts.append(part)
        here = slice(first, last + 1)
        found.append(
            power.Window(
                cycles=WINDOW,
                work_cycles=int((recording.account[here] == WORK).sum()),
                accumulates=int(recording.accumulates[here].sum()),
                energy=sum(c.clock + c.data for c in part.values()),
            )
        )
    running = [k for k, window in enumerate(found) if window.work_cycles]
    macro = next(m for m in flow.macros if m.name == "uticket_scratchpad")
    active = recording.account >= 0
    names = list(parts[0])
    period = flow.period * 1e-9
    return Measured(
        layer=layer,
        cycles=int(active.sum()),
        work_cycles=int((recording.account == WORK).sum()),
        accumulates=int(recording.accumulates[active].sum()),
        windows=windows,
        leakage_cycle={name: parts[0][name].leakage * period for name in names},
        clock_cycle={
            name: float(np.mean([parts[k][name].clock for k in running])) / WINDOW for name in names
        },
        data_cycle={
            name: float(np.mean([parts[k][name].data for k in running])) / WINDOW for name in names
        },
        macro_leakage_cycle=macro.leakage * period,
        macro_read=macro.read,
        macro_write=macro.write,
        macro_reads=int(active.sum()),  # the RTL reads in every cycle
        macro_writes=0,
        fit=power.fit(found),
        lanes=config.lanes,
    )


def _starts(recording: Recording, windows: int) -> list[int]:
    """First cycles of windows: two before the layer, the others evenly over it."""
    first = int(np.argmax(recording.account == WORK))
    before = np.linspace(first // 4, max(first - WINDOW, 0), 2)
    during = np.linspace(first, len(recording.rows) - WINDOW - 1, windows - 2)
    return [int(start) for start in (*before, *during)]


def write(measured: Measured, folder: Path) -> Path:
    """Write power.json and power.txt; returns the latter's path."""
    ratios = measured.ratios()
    data = {**asdict(measured), "ratios": ratios, "paper_ratio": PAPER_RATIO}
    (folder / "power.json").write_text(json.dumps(data, indent=1) + "\n")
    path = folder / "power.txt"
    pico = {name: value * 1e12 for name, value in measured.fit.items() if name != "residual"}
    lines = [
        f"{measured.layer}: {measured.cycles} cycles of the layer, {measured.work_cycles} of them at "
        f"work, {measured.accumulates} accumulates; {measured.windows} windows of {WINDOW} cycles",
        "pJ a cycle, working   clock    data  leakage",
    ]
    for name in measured.clock_cycle:
        row = (measured.clock_cycle, measured.data_cycle, measured.leakage_cycle)
        lines.append(f"  {name:<20}" + "".join(f"{part[name] * 1e12:8.3f}" for part in row))
    lines += [
        f"scratchpad macro: {measured.macro_read * 1e12:.3f} pJ a read, "
        f"{measured.macro_leakage_cycle * 1e12:.5f} pJ of leakage a cycle",
        f"fitted, without the macro: {pico['cycle']:.3f} pJ a cycle, {pico['work_cycle']:.3f} pJ more a "
        f"working cycle, {pico['accumulate']:.3f} pJ more an accumulate; "
        f"{measured.fit['residual']:.1%} unexplained",
        f"E_leak = {measured.leak * 1e12:.3f} pJ a cycle; E_leak / E_dyn a step: leakage alone "
        f"{ratios['leakage']:.3f}, with clock and control {ratios['leakage_and_clock']:.2f}; "
        f"the paper's {PAPER_RATIO}",
    ]
    path.write_text("\n".join(lines) + "\n")
    return path
