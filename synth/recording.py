"""What happens at the ports of one PE while the array runs a layer of a ticket: from the RTL itself."""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw.counters import CYCLES
from sim.rtl.harness import Rtl
from sw.compile import Program

COUNTED = ("steps", "accumulates", "cycle")  # of hw.counters: two counters, and what a cycle is
SLACK = 256  # cycles beyond those wanted, for the reset before the first


@dataclass(frozen=True)
class Ports:
    """Names and widths of a PE's ports, in the order in which a recording has them."""

    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass(frozen=True)
class Recording:
    """One row a cycle, from the first after reset on: hexadecimal inputs and outputs, and counts."""

    rows: list[tuple[str, str]]
    steps: np.ndarray
    accumulates: np.ndarray
    account: np.ndarray
    """Of each cycle, index in hw.counters.CYCLES; -1 where no layer runs."""


def ports_of(verilog: Path) -> Ports:
    """The ports of module `pe`, exported, without clock and reset."""
    body = verilog.read_text().partition("\nmodule pe(")[2].partition("endmodule")[0]
    header = body.partition(");")[0].replace("\\", "").replace("\n", "")
    listed = {name.strip() for name in header.split(",")} - {"clk", "rst"}
    found: dict[str, dict[str, int]] = {"input": {}, "output": {}}
    for kind, high, name in re.findall(
        r"^  (input|output) (?:\[(\d+):0\] )?\\?(\S+?) *;", body, re.MULTILINE
    ):
        if name in listed:
            found[kind][name] = int(high or 0) + 1
    return Ports(found["input"], found["output"])


def record(program: Program, spikes: np.ndarray, ports: Ports, *, cycles: int) -> Recording:
    """The first `cycles` cycles of PE 0 in the Verilated array; fewer where the program ends before."""
    config = program.config
    with tempfile.TemporaryDirectory() as folder:
        recorder = Path(folder, "recorder.v")

        def make(verilog: Path) -> Path:
            recorder.write_text(_recorder(_names(verilog, ports), ports))
            return recorder

        with chdir(folder), Rtl(config, beside=make, quick=True) as rtl:
            beats = program.beats(spikes)
            rtl.run_beats(
                beats,
                len(beats) - 1,
                max_cycles=cycles + 2 * SLACK,
                max_results=1,
                max_buffers=1,
                reset_at=cycles + SLACK,
            )
            lines = Path(folder, "ports.hex").read_text().splitlines()[:cycles]
    rows, counts = [], []
    for line in lines:
        inputs, outputs, *counted = line.split()
        rows.append((inputs, outputs))
        counts.append([int(number, 16) for number in counted])
    values = np.array(counts, np.int64)
    account = np.full(len(rows), -1)
    for k in range(len(CYCLES)):
        account[(values[:, 2] == 1 << k) & (values[:, 3] == 1)] = k
    return Recording(rows, _changes(values[:, 0]), _changes(values[:, 1]), account)


def _changes(counter: np.ndarray) -> np.ndarray:
    """What a counter counted in each cycle; nothing where it starts anew, and in the last."""
    return np.maximum(np.diff(counter, append=counter[-1:]), 0)


def _names(verilog: Path, ports: Ports) -> dict[str, str]:
    """Hierarchical Verilog names in PE 0: of its ports, and of what the map of names knows."""
    mapped: dict[str, str] = json.loads(verilog.with_suffix(".json").read_text())
    pe = "top.array.pe_0"
    names = {name: f"{pe}.{name}" for name in (*ports.inputs, *ports.outputs)}
    return names | {name: mapped[f"{pe}.{name}"] for name in (f"counters.{n}" for n in COUNTED)}


def _recorder(names: dict[str, str], ports: Ports) -> str:
    """Verilog that writes a line a cycle; the first port is in the highest bits."""

    def signals(of: list[str]) -> str:
        return ", ".join(_reference(names[name]) for name in of)

    counted = [f"counters.{name}" for name in COUNTED] + ["counting"]
    return f"""module recorder;
  integer file;
  initial file = $fopen("ports.hex", "w");
  always @(posedge harness.clk)
    if (!harness.reset) begin
      $fwrite(file, "%h %h %h %h %h %h\\n", {{{signals(list(ports.inputs))}}},
              {{{signals(list(ports.outputs))}}}, {signals(counted)});
      $fflush(file);
    end
endmodule
bind harness recorder recorder ();
"""


def _reference(path: str) -> str:
    """A hierarchical Verilog name, every part escaped."""
    return "harness." + ".".join(f"\\{part} " for part in path.split("."))
