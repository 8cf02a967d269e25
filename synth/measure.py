"""Energy of a PE from its own switching: a recorded layer replayed on the netlist, window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from hw.config import Config
from hw.counters import COUNTERS, CYCLES, Counter, counter_names
from hw.files import write_text
from sim.deployment import Deployment
from sim.files import write_json
from sim.models import golden
from sim.models.cycles import input_cycles
from synth import clocks, gates, netlist, power
from synth.flow import Flow
from synth.memories import MemoryMacro
from synth.recording import layer_program, ports_of, record

WORK = {
    "sweep": (Counter.WORK_CYCLES,),
    "event": (Counter.WORK_CYCLES, Counter.STALL_WINDOW),  # the second is there `stall_bank`
}
"""Accounts in which a PE adds, by machine."""
WINDOW = 256
PAPER_RATIO = 0.21


@dataclass(frozen=True)
class MemoryUse:
    """Joules of an SRAM macro's read, write and leakage a cycle; accesses a cycle, means over windows in which the layer runs."""

    name: str
    read: float
    write: float
    leakage_cycle: float
    reads_cycle: float
    writes_cycle: float

    @property
    def cycle(self) -> float:
        """Joules a cycle, without leakage."""
        return self.read * self.reads_cycle + self.write * self.writes_cycle


@dataclass(frozen=True)
class Counted:
    """What all PEs do in an image, by the models: cycles, those at work, accumulates."""

    cycles: int
    work_cycles: int
    accumulates: int


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
    memories: tuple[MemoryUse, ...]
    fit: dict[str, float]
    lanes: int

    @property
    def leak(self) -> float:
        """E_leak: leakage of the PE in a cycle, its memories included."""
        return sum(self.leakage_cycle.values()) + sum(m.leakage_cycle for m in self.memories)

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

    def image(self, counted: Counted) -> dict[str, float]:
        """Joules of the PEs in an image. Their memories are taken to be accessed in a cycle at work as often as in this layer."""
        share = self.work_cycles / self.cycles
        accesses = sum(memory.cycle for memory in self.memories) / share
        parts = {
            "accumulates": counted.accumulates * self.fit["accumulate"],
            "work": counted.work_cycles * self.fit["work_cycle"],
            "clock and control": counted.cycles * self.fit["cycle"],
            "leakage": counted.cycles * self.leak,
            "memories": counted.work_cycles * accesses,
        }
        return {**parts, "all": sum(parts.values())}


def measure(flow: Flow, model: str, layer: str, *, cycles: int) -> Measured:
    """Synthesize a PE, record it, replay it. Raises BadInput where netlist and RTL differ."""
    program, spikes, config = layer_program(model, layer, config=flow.config)
    flow.pe()
    path = flow.folder / "pe_flat.v"
    ports = ports_of(flow.folder / "rtl" / "pe.v")
    click.echo(f"{layer} of {model}: recording {cycles} cycles of PE 0")
    recording = record(program, spikes, ports, cycles=cycles, build=flow.folder.parent.parent)
    click.echo("replay on the netlist")
    module = netlist.read(path.read_text())
    kinds = [macro.name for macro in flow.macros]
    switching = gates.simulate(
        module, flow.library, ports, recording.rows, window=WINDOW, macros=kinds
    )
    return summary(
        layer,
        recording.account,
        recording.accumulates,
        power.costs(module, flow.library),
        switching,
        clocks.gating(module, flow.library),
        flow.macros,
        period=flow.period * 1e-9,
        lanes=config.lanes,
        work=WORK[config.machine],
    )


def counted(model: str, config: Config) -> Counted:
    """Of test image 0 through the whole network, the input's cycles included."""
    deployed = Deployment.load(model, config=config)
    (picture,), _ = deployed.test_images(1)
    spikes = deployed.spikes(picture[None])[0]
    expected = golden.run(deployed.network, spikes)
    loaded = deployed.loaded
    predicted = loaded.predict(spikes, expected)
    total = sum(one.cycles for one in predicted) + input_cycles(loaded.program, spikes)
    names = [counter_names(config.machine)[COUNTERS.index(one)] for one in WORK[config.machine]]
    added = sum(
        int(np.sum(list(one.filter_accumulates.values()))) + int(np.sum(one.shortcut_accumulates))
        for one in expected.values()
    )
    return Counted(
        cycles=total * config.n_pe,
        work_cycles=sum(int(one.counters[name].sum()) for one in predicted for name in names),
        accumulates=added,
    )


def summary(
    layer: str,
    account: np.ndarray,
    accumulates: np.ndarray,
    costs: power.Costs,
    switching: gates.Switching,
    gating: clocks.Gating,
    macros: Sequence[MemoryMacro],
    *,
    period: float,
    lanes: int,
    work: Sequence[Counter],
) -> Measured:
    """Energies from what was recorded of each cycle and what switched in each window.

    period: s. work: accounts that are work. macros: kinds of memories, at least those of the netlist.
    """
    at_work = np.isin(account, [CYCLES.index(one) for one in work])
    count = len(account) // WINDOW
    data = power.data_energy(costs, switching)[:count]
    clock = power.clock_energy(costs, switching, WINDOW)
    windows = [
        power.Window(
            cycles=WINDOW,
            work_cycles=int(at_work[k * WINDOW : (k + 1) * WINDOW].sum()),
            accumulates=int(accumulates[k * WINDOW : (k + 1) * WINDOW].sum()),
            energy=float(data[k]) + sum(float(joules[k]) for joules in clock.values()),
        )
        for k in range(count)
    ]
    running = [k for k, window in enumerate(windows) if window.work_cycles]
    active = account >= 0
    kinds = {macro.name: macro for macro in macros}
    accesses = [
        [float(of[running, k].mean()) / WINDOW for of in (switching.reads, switching.writes)]
        for k in range(len(switching.memories))
    ]
    memories = tuple(
        MemoryUse(one.name, kind.read, kind.write, kind.leakage * period, *each)
        for one, each in zip(switching.memories, accesses, strict=True)
        for kind in (kinds[one.kind],)
    )
    return Measured(
        layer=layer,
        cycles=int(active.sum()),
        work_cycles=int(at_work.sum()),
        accumulates=int(accumulates[active].sum()),
        windows=count,
        leakage_cycle={name: watts * period for name, watts in costs.leakage.items()},
        clock_cycle={name: float(j[running].mean()) / WINDOW for name, j in clock.items()},
        data_cycle=float(data[running].mean()) / WINDOW,
        gating=gating,
        memories=memories,
        fit=power.fit(windows),
        lanes=lanes,
    )


def write(measured: Measured, image: Counted, folder: Path) -> Path:
    """Write power.json and power.txt; returns the latter's path."""
    ratios, spent = measured.ratios(), measured.image(image)
    data = {
        **asdict(measured),
        "ratios": ratios,
        "paper_ratio": PAPER_RATIO,
        "image": {**asdict(image), "joules": spent},
    }
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
        *(
            f"{one.name}: {one.read * 1e12:.3f} pJ a read, {one.reads_cycle:.3f} reads a cycle; "
            f"{one.write * 1e12:.3f} pJ a write, {one.writes_cycle:.3f} writes a cycle; "
            f"{one.leakage_cycle * 1e12:.5f} pJ of leakage a cycle"
            for one in measured.memories
        ),
        f"fitted, without memories: {pico['cycle']:.3f} pJ a cycle, {pico['work_cycle']:.3f} pJ more a "
        f"working cycle, {pico['accumulate']:.3f} pJ more an accumulate; "
        f"{measured.fit['residual']:.2%} unexplained",
        f"E_leak = {measured.leak * 1e12:.3f} pJ a cycle; E_leak / E_dyn a step: leakage alone "
        f"{ratios['leakage']:.3f}, with clock and control {ratios['leakage_and_clock']:.2f}; "
        f"the paper's {PAPER_RATIO}",
        f"test image 0, all PEs: {image.cycles} cycles, {image.work_cycles} at work, {image.accumulates} accumulates; uJ: "
        + ", ".join(f"{name} {joules * 1e6:.1f}" for name, joules in spent.items()),
    ]
    write_text(path, "\n".join(lines) + "\n")
    return path
