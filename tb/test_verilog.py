"""The exported Verilog: the same text every time, the same simulation in Icarus and in Verilator.

Icarus knows undefined values: with black boxes, whose memories start undefined and forget a row that is
read while it is written, a run shows that nothing of the kind is ever used.
"""

import json
import os
import random
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import cocotb
import pytest
from amaranth import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.triggers import FallingEdge, ReadOnly

from hw.config import PRESETS, Config
from hw.export import export
from hw.machines import machine
from hw.scratchpad import Scratchpad
from hw.spike_buffer import SpikeBuffer
from hw.sram import BlackBoxes
from support.errors import BadInput
from support.files import made_once
from tb.cocotb_runner import parameters, simulate
from tb.lint import MEMORIES, SKY130, lint, verilator, yosys_check
from tb.streams import start
from tb.test_pe import run_layers
from tb.test_top import CONFIGS, two_programs

PORT = re.compile(r"^ {2}(input|output) (?:\[(\d+):0\] )?\\?(\w+) ?;$", re.MULTILINE)
MODULES = ("pe", "pe_array", "top", "top_axi")
CYCLES = 300


@pytest.fixture(scope="module", params=CONFIGS)
def config(request) -> Config:
    return CONFIGS[request.param]


@pytest.fixture(scope="module")
def exported(config, tmp_path_factory) -> Path:
    """What `make verilog` writes, of the tiny chip, by a process of its own: once, for all workers of a run."""

    def make(folder: Path) -> None:
        folder.mkdir()
        hardware = tmp_path_factory.mktemp("hardware") / "hardware.yaml"
        hardware.write_text(json.dumps(asdict(config)))
        command = [
            sys.executable,
            "-m",
            "sim.cli",
            "verilog",
            str(folder),
            "--hardware",
            str(hardware),
        ]
        environment = {**os.environ, "PYTHONHASHSEED": "1"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)

    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent
    return made_once(run / f"rtl-{config.machine}", make)


def ports(path: Path) -> dict[str, tuple[str, int]]:
    """Direction and bits of the top module's ports."""
    text = path.read_text()
    text = text[text.index(f"\nmodule {path.stem}(") :]
    found = PORT.findall(text[: text.index("\nendmodule")])
    return {name: (kind[:-3], int(high or 0) + 1) for kind, high, name in found}


def test_two_exports_are_equal(exported, config, tmp_path):
    """The second with other hashes, in a process that has elaborated other things before."""
    boxes = exported / "blackbox"
    made = machine(config)
    for component, name, platform, where in (
        (made.pe(config), "pe", BlackBoxes(), boxes),
        (made.top(config), "top", None, exported),
    ):
        again = export(component, name, tmp_path, platform)
        for path in (again, again.with_suffix(".json")):
            assert path.read_bytes() == (where / path.name).read_bytes()


def test_the_readme_lists_the_ports(exported):
    readme = (exported / "README.md").read_text()
    for name in MODULES:
        section = readme.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)` \| (in|out) \| (\d+) \|", section, re.MULTILINE)
        listed = {port: (way, int(bits)) for port, way, bits in rows}
        listed |= {"clk": ("in", 1), "rst": ("in", 1)}
        assert listed == ports(exported / f"{name}.v")
        assert listed == ports(exported / "blackbox" / f"{name}.v")


def test_the_map_of_names(exported):
    for name in MODULES:
        names = json.loads((exported / f"{name}.json").read_text())
        text = (exported / f"{name}.v").read_text()
        assert names
        for verilog in names.values():
            assert verilog.rpartition(".")[2] in text


def test_memories_are_memories_or_black_boxes(exported, config):
    """The event machine's PE has two rings and potentials, its caster a ring. Accumulators are never boxes."""
    counts = {"pe": (1, 0), "top": (1, 4)}
    if config.machine == "event":
        counts = {"pe": (2, 0), "top": (3, 4)}
    kept = config.machine == "event"  # potentials
    for name, count in counts.items():
        inferred = (exported / f"{name}.v").read_text()
        boxes = (exported / "blackbox" / f"{name}.v").read_text()
        rings = len(re.findall(r"reg \[\d+:0\] ring \[\d+:0\];", inferred))
        banks = len(re.findall(r"reg \[\d+:0\] bank_\d \[\d+:0\];", inferred))
        assert (rings, banks) == count
        rings = len(re.findall("  uticket_(?:scratchpad|header_ring|value_ring|list_ring) ", boxes))
        assert (rings, boxes.count("  uticket_spike_bank ")) == count
        assert boxes.count("  uticket_potentials ") == kept
        assert " ring [" not in boxes
        accumulators = " sum_0_0;" if config.machine == "event" else "accumulators_0 ["
        assert accumulators in boxes


def test_an_array_has_one_module_for_all_its_pes(exported, config):
    for name in MODULES[1:]:
        text = (exported / f"{name}.v").read_text()
        assert len(re.findall(r"^module \S+\.pe(?:_\d+)? \(", text, re.MULTILINE)) == 1
        assert text.count(f"module \\{name}.pe (") == 1
        assert text.count(f"  \\{name}.pe  pe_") == config.n_pe
        names = json.loads((exported / f"{name}.json").read_text())
        signal = "header_unit.have" if config.machine == "event" else "decoder.pattern"
        inside = [key.rpartition(".pe_")[2] for key in names if key.endswith(f".{signal}")]
        assert inside == [f"{k}.{signal}" for k in range(config.n_pe)]


class Wrapped(wiring.Component):
    """An array with one more reset."""

    more: In(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = ResetInserter(self.more)(
            machine(PRESETS["tiny"]).array(PRESETS["tiny"])
        )
        return m


def test_a_reset_that_pes_have_no_port_for_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"wrapped\.array holds PEs"):
        export(Wrapped(), "wrapped", tmp_path)


async def record(dut, path):
    """One line a cycle: every output before the rising edge."""
    names = [name for name, (way, _) in parameters()["ports"].items() if way == "out"]
    with path.open("w") as file:
        while True:
            await ReadOnly()
            file.write(" ".join(str(getattr(dut, name).value) for name in names) + "\n")
            await FallingEdge(dut.clk)


async def random_inputs(dut):
    """Any inputs, every cycle."""
    rng = random.Random(1)
    inputs = {n: bits for n, (way, bits) in parameters()["ports"].items() if way == "in"}
    for _ in range(CYCLES):
        for name in sorted(inputs.keys() - {"clk", "rst"}):
            getattr(dut, name).value = rng.getrandbits(inputs[name])
        await FallingEdge(dut.clk)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def recorded(dut):
    case = parameters()
    for name, (way, _) in case["ports"].items():
        if way == "in":
            getattr(dut, name).value = 0
    cocotb.start_soon(record(dut, Path(case["trace"])))
    checked = {("pe", "sweep"): run_layers, ("top", case["machine"]): two_programs}
    drive = checked.get((case["module"], case["machine"]), random_inputs)
    if drive is random_inputs:
        await start(dut)
    await drive(dut)


def trace(verilog: Path, machine: str, folder: Path, simulator: str, memories=()) -> str:
    """Every output in every cycle of a run whose results are checked too."""
    path = folder / f"{simulator}-{verilog.parent.name}.txt"
    case = {"module": verilog.stem, "trace": str(path), "ports": ports(verilog), "seed": 1}
    case |= {"network": "small", "stalls": (0.4,), "index": 0, "machine": machine}
    simulate(
        verilog,
        verilog.stem,
        "tb.test_verilog",
        case,
        f"recorded-{simulator}",
        test="recorded",
        simulator=simulator,
        more_verilog=memories,
    )
    return path.read_text()


@pytest.mark.parametrize("module", ["pe", "pe_array", "top"])
def test_icarus_and_verilator_agree(exported, config, tmp_path, module):
    verilog = exported / f"{module}.v"
    in_verilator = trace(verilog, config.machine, tmp_path, "verilator")
    in_icarus = trace(verilog, config.machine, tmp_path, "icarus")
    assert in_verilator.count("\n") >= CYCLES
    assert set(in_icarus) == set("01 \n")
    assert in_icarus == in_verilator


@pytest.mark.parametrize("module", ["pe", "top"])
def test_undefined_memories_are_never_used(exported, config, tmp_path, module):
    """Outputs that mean something are checked as ever; undefined ones come only beside them."""
    boxes = exported / "blackbox"
    trace(boxes / f"{module}.v", config.machine, tmp_path, "icarus", [boxes / MEMORIES])


@pytest.mark.parametrize("component", [Scratchpad, SpikeBuffer])
def test_sky130_memories(tmp_path, component):
    """The wrappers around the PDK's macros, which forget what they read after a cycle."""
    name = {Scratchpad: "scratchpad", SpikeBuffer: "spike_buffer"}[component]
    case = {"seed": 1, "preset": "paper", "cycles": 4000, "forgets": 1}
    simulate(
        export(component(PRESETS["paper"]), name, tmp_path, BlackBoxes()),
        name,
        f"tb.test_{name}",
        case,
        "sky130",
        simulator="icarus",
        more_verilog=[SKY130[0], Path(__file__).with_name("sky130_macros.v")],
    )


def test_a_missing_simulator_is_named(exported, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BadInput, match="iverilog is missing; on Debian: apt-get install iverilog"):
        trace(exported / "pe.v", "sweep", tmp_path, "icarus")


LOOP = (
    "module bad(input a, output b);\n  wire c;\n  assign c = b & a;\n  assign b = ~c;\nendmodule\n"
)
LATCH = "module bad(input a, input d, output reg q);\n  always @* if (a) q = d;\nendmodule\n"
WIDTH = "module bad(input [3:0] a, output [1:0] b);\n  assign b = a;\nendmodule\n"
MISSING = "module bad(input a);\n  nowhere n(.a(a));\nendmodule\n"
UNDRIVEN = "module bad(input a, output b);\n  wire c;\n  assign b = a & c;\nendmodule\n"
UNUSED = "module bad(input a, input c, output b);\n  assign b = a;\nendmodule\n"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (LOOP, "UNOPTFLAT", "found logic loop"),
        (LATCH, "LATCH", "dlatch"),
        (WIDTH, "WIDTHTRUNC", None),
        (MISSING, "MODMISSING", "nowhere"),
        (UNDRIVEN, "UNDRIVEN", "has no driver"),
        (UNUSED, "UNUSEDSIGNAL", None),
    ],
)
def test_lint_warns(tmp_path, text, kind, said):
    """Both tools: Verilator of each kind, Yosys of those with what it says."""
    path = tmp_path / "bad.v"
    path.write_text(text)
    warned, found = verilator([path], "bad"), yosys_check([path], "bad", tmp_path / "logs")
    assert f"-{kind}: " in warned[0]
    assert said in found[0] if said else not found
    assert lint(tmp_path, tmp_path / "logs") == [f"{path}: {line}" for line in (*warned, *found)]


@pytest.mark.parametrize("text", [WIDTH, MISSING, UNDRIVEN, UNUSED])
def test_lint_warns_of_a_part_of_the_chip(tmp_path, text):
    """One that the chip on AXI has, too."""
    (tmp_path / "top.v").write_text(text.replace("module bad", "module top"))
    assert lint(tmp_path, tmp_path / "logs")


def test_lint_is_content(tmp_path):
    (tmp_path / "good.v").write_text(
        "module good(input a, output b);\n  assign b = a;\nendmodule\n"
    )
    assert lint(tmp_path, tmp_path / "logs") == []
