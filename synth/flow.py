"""Synthesis and timing of a PE, and of the array around the PEs, on one library."""

from __future__ import annotations

import time
from pathlib import Path

import click
from amaranth.lib import wiring

from hw.config import PRESETS, Config
from hw.export import export
from hw.machines import machine
from hw.sram import BlackBoxes
from sim.options import LIBERTY, replaced
from support.errors import BadInput
from support.files import BUILD
from synth import asic, clocks, interface, memories, netlist, sta
from synth.liberty import Library
from synth.recording import ports_of
from synth.report import Design

CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints"


class Flow:
    """`folder` gets all files. PEs come first: the array takes their timing from there."""

    def __init__(self, library: Library, node: int, config: Config, folder: Path) -> None:
        self.library, self.node, self.config, self.folder = library, node, config, folder
        self.machine = machine(config)
        self.period = sta.constraint_period(CONSTRAINTS / "top.sdc")
        self.macros = memories.macros(library, node, config, self.period)
        folder.mkdir(parents=True, exist_ok=True)
        self.libraries = [library.plain(folder), folder / "macros.lib"]
        self.libraries[1].write_text(memories.liberty(self.macros, library))

    def pe(self) -> Design:
        """One PE, its memories as macros."""
        return self._design(self.machine.pe(self.config), "pe")

    def pe_netlist(self) -> Path:
        """One PE as one netlist, not timed."""
        click.echo(f"pe on {self.library.name}: export, synthesis")
        source = export(self.machine.pe(self.config), "pe", self.folder / "rtl", BlackBoxes())
        return self._map(source, "pe", flat=True)

    def top(self) -> Design:
        """The array without what is inside the PEs; their ports have the timing found for `pe`."""
        ports = ports_of(self.folder / "rtl" / "pe.v")
        timing = interface.extract(
            self.folder / "pe_flat.v",
            self.libraries,
            self._constraints("pe"),
            ports.inputs,
            ports.outputs,
            self.folder,
            self.library.load,
        )
        path = self.folder / "pe.lib"
        path.write_text(interface.liberty(timing, self.period))
        self.libraries = [*self.libraries[:2], path]
        return self._design(
            self.machine.top(self.config, pe=interface.black_box(self.machine.pe)),
            "top",
            interface.verilog(ports.inputs, ports.outputs),
            interface.loads(ports.inputs, ports.outputs),
        )

    def _constraints(self, module: str) -> Path:
        """A PE's ports are its machine's, the chip's are the same."""
        if module == "pe" and self.config.machine == "event":
            return CONSTRAINTS / "event_pe.sdc"
        return CONSTRAINTS / f"{module}.sdc"

    def area(self, component: wiring.Component, name: str) -> float:
        """um2 of a small component, flat; no timing."""
        folder = self.folder / "rivals"
        source = export(component, name, folder / "rtl")
        path = asic.synthesize(
            source, name, self.library, [], folder, flat=True, period=self.period
        )
        stat = asic.areas(path.with_suffix(".stat.json"), self.library, [])
        return sum(area.area for area in stat)

    def _map(
        self, source: Path, name: str, boxes: str = "", box_loads: str = "", *, flat: bool
    ) -> Path:
        """The netlist of exported Verilog."""
        return asic.synthesize(
            source,
            name,
            self.library,
            self.macros,
            self.folder,
            flat=flat,
            period=self.period,
            boxes=boxes,
            box_loads=box_loads,
            machine=self.config.machine,
        )

    def _design(
        self, component: wiring.Component, name: str, boxes: str = "", box_loads: str = ""
    ) -> Design:
        started = time.perf_counter()
        click.echo(f"{name} on {self.library.name}: export")
        source = export(component, name, self.folder / "rtl", BlackBoxes())
        netlists, areas = [], []
        for flat in (False, True):
            click.echo(f"{name}: synthesis, {'flat' if flat else 'by component'}")
            path = self._map(source, name, boxes, box_loads if flat else "", flat=flat)
            netlists.append(path)
            stat = path.with_suffix(".stat.json")
            areas.append(asic.areas(stat, self.library, self.macros))
        click.echo(f"{name}: timing")
        timing = sta.analyze(
            [netlists[1]], name, self.libraries, self._constraints(name), self.folder
        )
        return Design(
            top=name,
            areas=areas[0],
            flat_area=sum(area.area for area in areas[1]),
            timing=timing,
            gating=clocks.gating(netlist.read(netlists[1].read_text()), self.library),
            seconds=time.perf_counter() - started,
        )


def flow_on(
    liberty: Path, node: int | None, hardware: Path | None = None, machine: str | None = None
) -> Flow:
    """A configuration on a library, in build/synth; hardware: a YAML, by default preset `paper`.

    machine: instead of the YAML's. What is not `paper` goes to a folder of its own. Raises BadInput for a file that is not there.
    """
    config = replaced(PRESETS["paper"], hardware, machine=machine)
    if liberty == LIBERTY and not liberty.is_file():
        raise BadInput(
            f"Liberty file {liberty} is missing; on Debian: apt-get install qflow-tech-osu018, "
            "or give another with --liberty FILE.lib (make: LIBERTY=)"
        )
    library = Library(liberty)
    name = library.name if machine is None else f"{library.name}-{machine}"
    if hardware is not None and config != PRESETS["paper"]:
        name += f"-{hardware.stem}"
    folder = BUILD / "synth" / name
    return Flow(library, memories.node_of(library, node), config, folder)
