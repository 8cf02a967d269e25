"""FPGA builds: Yosys for both vendors, nextpnr for ECP5, and what they use."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from hw.config import PRESETS, Config
from hw.export import export
from hw.home import ensure_home
from sim.options import replaced
from support import processes
from support.errors import BadInput
from support.files import BUILD, write_json, write_text
from synth import boards, yosys
from synth.board import Board
from synth.boards import Target

QUICKEST = "ulx3s_25f"
"""What `make fpga` builds if nothing is asked for."""
CELLS: dict[str, dict[str, tuple[str, ...]]] = {  # what a report calls a resource: Yosys' cells
    "ecp5": {
        "LUT4": ("LUT4",),
        "carry (two LUT4 each)": ("CCU2C",),
        "distributed RAM 16x4": ("TRELLIS_DPR16X4",),
        "flip-flops": ("TRELLIS_FF",),
        "block RAM": ("DP16KD",),
        "multipliers": ("MULT18X18D",),
    },
    "xilinx": {
        "LUT": ("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6"),
        "carry": ("CARRY4",),
        "distributed RAM": ("RAM32M", "RAM64M", "RAM64X1D", "RAM32X1D", "RAM128X1D"),
        "flip-flops": ("FDRE", "FDSE", "FDCE", "FDPE"),
        "block RAM 36 kbit": ("RAMB36E1",),
        "block RAM 18 kbit": ("RAMB18E1",),
        "multipliers": ("DSP48E1",),
    },
}


@dataclass(frozen=True)
class Result:
    """Cells after synthesis; after place and route what is used of what there is, and the clock."""

    target: str
    device: str
    n_pe: int
    preset: str | None  # None where fields but the machine and the number of PEs are others
    """That the array started from."""
    config: dict
    """All fields of the array."""
    cells: dict[str, int]
    used: dict[str, tuple[int, int]]
    clock_mhz: float | None
    wanted_mhz: float
    synthesis_s: float
    place_s: float | None


def config_of(
    target: Target,
    n_pe: int | None = None,
    hardware: Path | None = None,
    machine: str | None = None,
) -> Config:
    """The array for a target: its preset, then the fields of a YAML, then what is given.

    Raises BadInput for what no array has.
    """
    try:
        return replaced(PRESETS[target.preset], hardware, n_pe, machine)
    except ValueError as error:
        raise BadInput(str(error)) from None


def folder_of(name: str, hardware: Path | None = None, machine: str | None = None) -> Path:
    """Where a board's files go: a folder for each machine and each YAML."""
    parts = [name, machine, hardware and hardware.stem]
    return BUILD / "fpga" / "-".join(part for part in parts if part)


def build(name: str, config: Config, folder: Path, *, place: bool) -> Result:
    """Build an array for a target; `folder` gets the netlist, the bitstream, and the report.

    place: place and route, where there is nextpnr for it. Raises BadInput where a tool fails.
    """
    target = boards.board(name)
    divisor = round(target.clock_mhz * 1e6 / target.baud)
    board = Board(config, vendor=target.vendor, divider=target.pll_divider, divisor=divisor)
    source = export(board, "board", folder)
    click.echo(f"{name}: synthesis of {config.n_pe} PEs ({config.machine}) for {target.device}")
    started = time.perf_counter()
    script = [
        *synthesis(source.resolve(), "board", target.vendor),
        "write_json board.netlist.json",
        "tee -q -o board.stat.json stat -json",
    ]
    yosys.run(script, folder, "board")
    synthesis_s = time.perf_counter() - started
    counted = count(json.loads((folder / "board.stat.json").read_text()), target.vendor)
    used: dict[str, tuple[int, int]] = {}
    clock = place_s = None
    if place and target.nextpnr:
        click.echo(f"{name}: place and route, for {target.clock_mhz:g} MHz")
        started = time.perf_counter()
        used, clock = place_and_route(target, folder)
        place_s = time.perf_counter() - started
    preset = replace(PRESETS[target.preset], n_pe=config.n_pe, machine=config.machine)
    unchanged = config == preset
    result = Result(
        target=name,
        device=target.device,
        n_pe=config.n_pe,
        preset=target.preset if unchanged else None,
        config=config.to_dict(),
        cells=counted,
        used=used,
        clock_mhz=clock,
        wanted_mhz=target.clock_mhz,
        synthesis_s=synthesis_s,
        place_s=place_s,
    )
    write_json(folder / "report.json", asdict(result))
    write_text(folder / "report.txt", "\n".join(text(result)) + "\n")
    return result


def synthesis(source: Path, top: str, vendor: str) -> list[str]:
    """Yosys' commands from exported Verilog to a vendor's cells."""
    return [
        f"read_verilog {source}",
        f"hierarchy -top {top}",
        "proc",
        "opt_clean -purge",  # a wire called `o[0]` is bit 0 of `o` to synth_xilinx, twice
        # Without LUTs of five to seven inputs: they take up to eight LUT4s, and half of these stayed empty.
        *([f"synth_ecp5 -nowidelut -top {top}"] if vendor == "ecp5" else XILINX),
    ]


XILINX = (
    "synth_xilinx -run begin:map_luts",
    # As synth_xilinx has it, but for abc: abc9 was not done with 16 PEs after a quarter of an hour.
    "opt_expr -mux_undef -noclkinv",
    "abc -luts 2:2,3,6:5,10,20",
    "clean",
    "xilinx_srl -fixed -minlen 3",
    "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
    "xilinx_dffopt",
    "opt_lut_ins -tech xilinx",
    "synth_xilinx -run finalize:edif",
)
"""Yosys' commands for a Xilinx 7."""


def count(stat: dict, vendor: str) -> dict[str, int]:
    """Cells by resource, from `stat -json` of a flat design."""
    cells = stat["design"]["num_cells_by_type"]
    return {
        resource: sum(cells.get(kind, 0) for kind in kinds)
        for resource, kinds in CELLS[vendor].items()
    }


def place_and_route(target: Target, folder: Path) -> tuple[dict[str, tuple[int, int]], float]:
    """What nextpnr uses of each resource, and the core's clock in MHz. Raises BadInput if it fails.

    The static placer's wires are a fifth shorter than the default one's, and only router2 comes to an end
    on large arrays (docs/silicon.md).
    """
    pins = f"board{Path(target.constraints).suffix}"  # beside the netlist: YoWASP's /tmp is not the machine's
    shutil.copyfile(boards.CONSTRAINTS / target.constraints, folder / pins)
    nextpnr = ["--json", "board.netlist.json", "--lpf", pins, "--placer", "static", "--router"]
    nextpnr += ["router2", "--textcfg", "board.config", "--report", "nextpnr.json"]
    run_tool("nextpnr-ecp5", [*target.nextpnr, *nextpnr, "--timing-allow-fail"], folder)
    run_tool("ecppack", ["--compress", "board.config", "board.bit.partial"], folder)
    (folder / "board.bit.partial").replace(folder / "board.bit")
    return read_report((folder / "nextpnr.json").read_text())


def run_tool(name: str, arguments: list[str], folder: Path) -> None:
    """Run one of YoWASP's tools; `folder` gets its log. Raises BadInput if it fails or is missing."""
    ensure_home()
    log = folder / f"{name}.log"
    try:
        done = processes.run_tool(
            [f"yowasp-{name}", *arguments],
            log=log,
            cwd=folder,
            env={**os.environ, "PATH": _path()},
        )
    except FileNotFoundError:
        raise BadInput(f"yowasp-{name} is missing; `make fpga` sets it up") from None
    if status := done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        reason = errors[-1].partition("ERROR: ")[2] if errors else f"it ended with status {status}"
        raise BadInput(f"{name}: {reason} (see {log})")


def _path() -> str:
    """PATH with this environment's commands first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def read_report(content: str) -> tuple[dict[str, tuple[int, int]], float]:
    """The report of nextpnr: (used, available) of what is used, and the slowest clock in MHz."""
    report = json.loads(content)
    used = {
        name: (entry["used"], entry["available"])
        for name, entry in report["utilization"].items()
        if entry["used"]
    }
    return used, min(entry["achieved"] for entry in report["fmax"].values())


def text(result: Result) -> list[str]:
    """A report for people."""
    lines = [
        f"{result.target}: {result.n_pe} PEs ({result.config['machine']}, preset {result.preset or 'none'}) on {result.device}",
        f"  after synthesis ({result.synthesis_s:.0f} s):",
        *[f"    {name:<24}{number:>9}" for name, number in result.cells.items()],
    ]
    if result.clock_mhz is None or result.place_s is None:
        return [*lines, "  not placed"]
    verdict = "met" if result.clock_mhz >= result.wanted_mhz else "MISSED"
    lines.append(f"  after place and route ({result.place_s:.0f} s):")
    for name, (used, available) in result.used.items():
        lines.append(f"    {name:<24}{used:>9} of {available:>7}  {used / available:>6.1%}")
    lines.append(f"  {result.wanted_mhz:g} MHz {verdict}: {result.clock_mhz:.1f} MHz")
    return lines
