"""Energy of a PE from its own switching: recorded layers replayed on the netlist, window by window, and what an image takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click
import numpy as np

from hw.counters import CYCLES, Counter
from sim.models.cycles import input_cycles
from synth import clocks, gates, netlist, power
from synth.fit import TERMS, Fit, fit
from synth.flow import Flow
from synth.image import ACCOUNTS, WINDOW, Image
from synth.memories import MemoryMacro
from synth.recording import Recording, ports_of, record

PARTS = ("clock", "data", "memories", "leakage")


@dataclass(frozen=True)
class MemoryUse:
    """An SRAM macro: joules of a read, a write, and of leakage a cycle; accesses in each window."""

    name: str
    read: float
    write: float
    leakage_cycle: float
    reads: np.ndarray
    writes: np.ndarray


@dataclass(frozen=True)
class Stretch:
    """The beginning of a layer, in windows of WINDOW cycles; those in which its input comes are there too."""

    layer: str
    counts: np.ndarray
    """(windows, fit.TERMS)."""
    running: np.ndarray
    """Bool (windows,): the layer runs in every cycle."""
    clock: dict[str, np.ndarray]
    """Joules of each window, by component."""
    data: np.ndarray
    leakage: dict[str, float]
    """Joules a cycle, by component, without memories."""
    memories: tuple[MemoryUse, ...]

    @property
    def leak(self) -> float:
        """Joules a cycle, memories included."""
        return sum(self.leakage.values()) + sum(one.leakage_cycle for one in self.memories)

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """Joules of each window, by PARTS."""
        none = np.zeros(len(self.data))
        return {
            "clock": sum(self.clock.values(), none),
            "data": self.data,
            "memories": sum((m.read * m.reads + m.write * m.writes for m in self.memories), none),
            "leakage": none + WINDOW * self.leak,
        }

    @property
    def energy(self) -> np.ndarray:
        """Joules of each window."""
        return sum(self.parts.values(), np.zeros(len(self.data)))

    def while_running(self) -> tuple[np.ndarray, np.ndarray]:
        """Counts and energy of the windows in which the layer runs."""
        return self.counts[self.running], self.energy[self.running]


@dataclass(frozen=True)
class Measured:
    """A PE of a machine in several layers."""

    machine: str
    stretches: tuple[Stretch, ...]
    gating: clocks.Gating
    lanes: int

    @property
    def fit(self) -> Fit:
        """Of all windows."""
        return self._fit(self.stretches)

    def without(self, k: int) -> Fit | None:
        """What the other layers say; None where there are none."""
        others = self.stretches[:k] + self.stretches[k + 1 :]
        return self._fit(others) if others else None

    @staticmethod
    def _fit(stretches: Sequence[Stretch]) -> Fit:
        return fit(
            np.concatenate([one.counts for one in stretches]),
            np.concatenate([one.energy for one in stretches]),
        )

    @property
    def residual(self) -> float:
        """Of the windows in which a layer runs, see `Fit.residual`."""
        running = [one.while_running() for one in self.stretches]
        return self.fit.residual(
            np.concatenate([counts for counts, _ in running]),
            np.concatenate([energy for _, energy in running]),
        )

    def ratios(self) -> dict[str, float] | None:
        """E_leak / E_dyn of Eq. 3: both of one step, so a cycle's is shared by the lanes.

        None where there is none: on the event machine, which has no steps, and where an accumulate has no price.
        """
        prices = self.fit.prices
        if self.machine == "event" or not prices["accumulates"]:
            return None
        step = self.lanes * prices["accumulates"]
        return {
            "leakage": self.stretches[0].leak / step,
            "leakage_and_clock": prices["cycles"] / step,
        }


def measure(flow: Flow, image: Image, layers: Sequence[str], *, cycles: int) -> Measured:
    """Synthesize a PE, record it in each layer, replay that.

    cycles: of a layer, at most, from its first on. Raises BadInput where netlist and RTL differ, and for a layer
    that cannot be recorded, see `Image.program_from`.
    """
    programs = [image.program_from(layer) for layer in layers]
    module = netlist.read(flow.pe_netlist().read_text())
    ports = ports_of(flow.folder / "rtl" / "pe.v")
    costs = power.costs(module, flow.library)
    stretches = []
    for layer, (program, spikes) in zip(layers, programs, strict=True):
        before = input_cycles(program, spikes)
        most = min(cycles, image.predicted[layer].cycles)
        click.echo(
            f"{flow.config.machine}, {layer}: {most} cycles of PE 0, and {before} of its input"
        )
        recording = record(program, spikes, ports, cycles=before + most)
        switching = gates.simulate(
            module,
            flow.library,
            ports,
            recording.rows,
            window=WINDOW,
            macros=[macro.name for macro in flow.macros],
        )
        stretches.append(
            stretch(
                layer,
                recording,
                costs,
                switching,
                flow.macros,
                period=flow.period * 1e-9,
                machine=flow.config.machine,
            )
        )
    return Measured(
        machine=flow.config.machine,
        stretches=tuple(stretches),
        gating=clocks.gating(module, flow.library),
        lanes=flow.config.lanes,
    )


def stretch(
    layer: str,
    recording: Recording,
    costs: power.Costs,
    switching: gates.Switching,
    macros: Sequence[MemoryMacro],
    *,
    period: float,
    machine: str,
) -> Stretch:
    """Energies from what was recorded of each cycle and what switched in each window.

    period: s. macros: kinds of memories, at least those of the netlist. What is left of a last window is left out.
    """
    windows = len(recording.account) // WINDOW

    def summed(cycles: np.ndarray) -> np.ndarray:
        return cycles[: windows * WINDOW].reshape(windows, WINDOW).sum(1)

    def of(accounts: Sequence[Counter]) -> np.ndarray:
        return summed(np.isin(recording.account, [CYCLES.index(one) for one in accounts]))

    kinds = {macro.name: macro for macro in macros}
    columns = {
        "cycles": np.full(windows, WINDOW),
        "accumulates": summed(recording.accumulates),
        **{term: of(accounts[machine]) for term, accounts in ACCOUNTS.items()},
    }
    clock = power.clock_energy(costs, switching, WINDOW)
    return Stretch(
        layer=layer,
        counts=np.stack([columns[term] for term in TERMS], axis=1),
        running=summed(recording.account >= 0) == WINDOW,
        clock={part: joules[:windows] for part, joules in clock.items()},
        data=power.data_energy(costs, switching)[:windows],
        leakage={part: watts * period for part, watts in costs.leakage.items()},
        memories=tuple(
            MemoryUse(
                one.name,
                kind.read,
                kind.write,
                kind.leakage * period,
                switching.reads[:windows, k],
                switching.writes[:windows, k],
            )
            for k, one in enumerate(switching.memories)
            for kind in (kinds[one.kind],)
        ),
    )
