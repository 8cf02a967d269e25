"""A PE's netlist in Verilator: a recording replayed, outputs compared, switching of every net."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from sim.errors import BadInput
from sim.verilator import environment, run
from synth import yosys
from synth.liberty import Library
from synth.recording import Ports

SRAM = Path(__file__).resolve().parent.parent / "constraints" / "sram" / "behavioural.v"


@dataclass(frozen=True)
class Replay:
    """A program, and where it may write."""

    program: Path
    folder: Path

    def switching(self, rows: Path, first: int, last: int) -> dict[str, int]:
        """Transitions of each net, by its hierarchical name, in cycles `first` to `last`.

        Raises BadInput where the netlist's outputs differ from the recording's in any cycle.
        """
        saif = self.folder / "switching.saif"
        log = self.folder / "replay.log"
        run(
            [str(self.program), str(rows), str(first), str(last), str(saif)],
            cwd=self.folder,
            log=log,
        )
        cycles, wrong, where = (int(word) for word in log.read_text().split()[-3:])
        if wrong or cycles != last + 1:
            raise BadInput(
                f"the netlist disagrees with the RTL in {wrong} of {cycles} cycles, first in {where}"
            )
        return read_saif(saif.read_text())


def build(netlist: Path, library: Library, ports: Ports, folder: Path) -> Replay:
    """Verilate a PE's netlist, with the cells' functions from Liberty, and the replayer."""
    environment()
    yosys.run(
        [
            f"read_liberty -ignore_miss_func -ignore_miss_data_latch {library.path.resolve()}",
            "write_verilog -noattr cells.v",
        ],
        folder,
        "cells",
    )
    wide = {"in": sum(ports.inputs.values()), "out": sum(ports.outputs.values())}
    (folder / "replay.v").write_text(_wrapper(ports, wide))
    shutil.copy(Path(__file__).with_name("replay.cpp"), folder)
    shutil.copy(SRAM, folder)
    run(
        [
            *(
                "verilator",
                "--cc",
                "--exe",
                "--build",
                "--prefix",
                "Vreplay",
                "--top-module",
                "replay",
            ),
            *("--trace-saif", "--trace-underscore", "-Wno-fatal", "-Wno-lint", "-Wno-style"),
            *(
                "--x-assign",
                "0",
                "--x-initial",
                "0",
                "-DSYNTHESIS",
                "-MAKEFLAGS",
                "OPT_FAST=-O0 OPT_SLOW=-O0",
            ),
            *("-CFLAGS", f"-DINPUTS={wide['in']}", "-Mdir", "gates", "-o", "replay"),
            *("replay.v", str(netlist.resolve()), "cells.v", SRAM.name, "replay.cpp"),
        ],
        cwd=folder,
        log=folder / "verilator.log",
    )
    return Replay(folder / "gates" / "replay", folder)


def _wrapper(ports: Ports, wide: dict[str, int]) -> str:
    connections = ["    .clk(clk), .rst(rst)"]
    for bus, names in (("in", ports.inputs), ("out", ports.outputs)):
        low = wide[bus]
        for name, width in names.items():
            low -= width
            escaped = "\\release " if name == "release" else name
            connections.append(f"    .{escaped}({bus}[{low + width - 1}:{low}])")
    joined = ",\n".join(connections)
    return (
        f"module replay(input clk, input rst, input [{wide['in'] - 1}:0] in,"
        f" output [{wide['out'] - 1}:0] out);\n  pe pe (\n{joined}\n  );\nendmodule\n"
    )


def read_saif(text: str) -> dict[str, int]:
    """Transitions (TC) of each net by its path, from the top's instances on, joined by slashes."""
    result: dict[str, int] = {}
    path: list[str] = []
    opened: list[str] = []
    net = ""
    for kind, name in re.findall(r"\(([^\s()]+)\s*([^\s()]*)|\)", text):
        if not kind:
            if opened and opened.pop() == "INSTANCE":
                path.pop()
            continue
        opened.append(kind)
        if kind == "INSTANCE":
            path.append(name.replace("\\", ""))
        elif kind == "TC":
            result["/".join([*path, net])] = int(name)
        elif kind not in ("NET", "T0", "T1", "TX", "TZ", "TB"):
            net = kind.replace("\\", "")
    return result
