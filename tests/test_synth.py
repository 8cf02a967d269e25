"""Synthesis: a component mapped end to end, memories, reports parsed, bad input."""

import gc
import gzip
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from amaranth.hdl import Value
from amaranth.lib.wiring import In

from hw.config import PRESETS
from hw.export import export, modules
from hw.scratchpad import Scratchpad
from hw.sram import BlackBoxes
from hw.sweep import Sweep
from support.errors import BadInput
from synth import asic, memories, sta, yosys
from synth.boards import boards
from synth.liberty import Library
from tests.tolerance import near

CELLS = Path(__file__).with_name("cells.lib")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def library():
    return Library(CELLS)


def test_gzipped_cells_are_mapped_to(tmp_path):
    path = tmp_path / "cells.lib.gz"
    path.write_bytes(gzip.compress(CELLS.read_bytes()))
    source = tmp_path / "x.v"
    source.write_text("module x(input a, b, output y); assign y = a & b; endmodule\n")
    mapped = asic.synthesize(source, "x", Library(path), [], tmp_path, flat=True, period=2.5)
    (area,) = asic.areas(mapped.with_suffix(".stat.json"), Library(path), [])
    assert area.area > 0


def test_component_mapped_end_to_end(tmp_path, library):
    source = export(Sweep(PRESETS["paper"]), "sweep", tmp_path)
    for flat in (False, True):
        path = asic.synthesize(source, "sweep", library, [], tmp_path, flat=flat, period=2.5)
        (area,) = asic.areas(path.with_suffix(".stat.json"), library, [])
        text = path.read_text()
        assert area.name == "sweep"
        assert area.sequential == 8 * 10  # y, x: 3 each; age: 2; running, resting: 1 each
        assert area.cells == sum(text.count(f"  {cell} ") for cell in library.cells)
        assert "  DFFE " not in text
        assert "always" not in text


def test_scratchpad_is_a_macro(tmp_path, library):
    config = PRESETS["paper"]
    macros = memories.macros(library, 45, config, 2.5)
    source = export(Scratchpad(config), "scratchpad", tmp_path, BlackBoxes())
    path = asic.synthesize(source, "scratchpad", library, macros, tmp_path, flat=True, period=2.5)
    (area,) = asic.areas(path.with_suffix(".stat.json"), library, macros)
    assert area.macros == {"uticket_scratchpad": 1}
    assert area.sequential == 9 * 8  # the pointer alone


def test_macros_scale_beyond_cacti(library):
    config = PRESETS["paper"]
    here, old = (memories.macros(library, node, config, 2.5)[0] for node in (90, 180))
    assert old.area == pytest.approx(4 * here.area)
    assert old.read == near(2 * (1.5 / 1.2) ** 2 * here.read)
    assert old.access == near(2 * here.access)
    assert (here.source, old.source) == ("CACTI at 90 nm", "CACTI at 90 nm, scaled to 180 nm")
    with pytest.raises(BadInput, match="NODE=65"):
        memories.macros(library, 65, config, 2.5)
    with pytest.raises(BadInput, match="its node is not known"):
        memories.node_of(library, None)


def test_macro_liberty_reads_back(library, tmp_path):
    path = tmp_path / "macros.lib"
    macros = memories.macros(library, 45, PRESETS["paper"], 2.5)
    path.write_text(memories.liberty(macros, library))
    cells = Library(path).cells
    assert {name: cell.area for name, cell in cells.items()} == {m.name: m.area for m in macros}
    for macro in macros:
        assert cells[macro.name].leakage == near(macro.leakage)
        # the timing, which Library leaves to OpenSTA: every input's setup, the output's access
        text = path.read_text().partition(f"cell ({macro.name})")[2].partition("\n }\n")[0]
        assert text.count(f'rise_constraint (scalar) {{ values ("{2.5 / 20:.4f}")') == 5
        assert text.count(f'cell_rise (scalar) {{ values ("{macro.access:.4f}")') == 1


def test_concatenations_leave_the_left_side():
    text = "  assign { a[2:1], \\b.c [0], d } = { \\x [3] , y[1:0], 1'h0 };\n  assign e = f;\n"
    assert asic.plain_assigns(text) == (
        "  assign a[2] = \\x [3] ;\n  assign a[1] = y[1];\n  assign \\b.c [0] = y[0];\n"
        "  assign d = 1'h0;\n  assign e = f;\n"
    )


REPORT = """== setup
Warning: There is 1 unconstrained endpoint.
  output__payload[352]
== path
Startpoint: geometry[11] (input port clocked by clk)
Endpoint: weights__ready (output port clocked by clk)
Path Group: clk
Path Type: max

    Delay      Time   Description
-------------------------------------------------------------
   0.0000    0.0000   clock clk (rise edge)
   0.0000    0.0000   clock network delay (ideal)
   0.5000    0.5000 v input external delay
   0.0000    0.5000 v geometry[11] (in)
   0.0856    0.5856 v _56573_/Z (XOR2_X1)
   0.0000    0.5856 v weights__ready (out)
             0.5856   data arrival time
-------------------------------------------------------------
             1.9144   slack (MET)


worst slack 1.9144
tns 0.0000
== endpoints
Startpoint                           Endpoint                               Slack
--------------------------------------------------------------------------------

geometry[11] (input)                 weights__ready (output)               1.9144
"""


def test_opensta_report():
    timing = sta.parse(REPORT, 2.5, Path("x.txt"))
    assert timing.slack == 1.9144
    assert timing.clock_mhz == pytest.approx(1000 / 0.5856)
    assert (timing.startpoint, timing.endpoint) == ("geometry[11]", "weights__ready")
    assert [step.cell for step in timing.path] == ["in", "XOR2_X1", "out"]
    assert timing.path[1] == sta.Step("_56573_/Z", "XOR2_X1", 0.0856, 0.5856)
    assert timing.endpoints == (("geometry[11]", "weights__ready", 1.9144),)
    assert timing.constants == ("output__payload[352]",)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("unconstrained endpoint", "input port missing set_input_delay", "set_input_delay"),
        ("== endpoints\n", "", "ended early"),
        ("worst slack 1.9144\n", "", "no slack"),
    ],
)
def test_opensta_complains(old, new, reason):
    with pytest.raises(BadInput, match=reason):
        sta.parse(REPORT.replace(old, new), 2.5, Path("x.txt"))


def test_constraints_ask_for_400_mhz():
    for name in ("pe", "top"):
        assert sta.constraint_period(ROOT / "constraints" / f"{name}.sdc") == 2.5


def test_librelane_configuration():
    folder = ROOT / "constraints" / "librelane"
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["meta"] == {"version": 3, "flow": "Classic"}
    for key in ("PNR_SDC_FILE", "SIGNOFF_SDC_FILE", "FALLBACK_SDC"):
        sdc = folder / config[key].removeprefix("dir::")
        assert sta.constraint_period(sdc) == config["CLOCK_PERIOD"]
    rtl, wrapper = (folder / name.removeprefix("dir::") for name in config["VERILOG_FILES"])
    assert rtl.resolve() == ROOT / "build" / "rtl" / "blackbox" / "pe.v"
    assert all(f" {macro} " in wrapper.read_text() for macro in config["MACROS"])
    for macro, views in config["MACROS"].items():
        (header,) = (folder / name.removeprefix("dir::") for name in views["vh"])
        assert f"module {macro} (" in header.read_text()


@pytest.mark.parametrize(
    ("name", "module", "machine"),
    [
        ("pe", "pe", "sweep"),
        ("pe_130nm", "pe", "sweep"),
        ("event_pe", "pe", "event"),
        ("top", "top", "sweep"),
        ("top", "top", "event"),
        ("pe_array", "pe_array", "sweep"),
        ("top_axi", "top_axi", "sweep"),
        ("top_axi", "top_axi", "event"),
    ],
)
@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_constraints_name_every_input(name, module, machine):
    """And nothing else: an input without a delay has no timing, OpenSTA knows no port of another name."""
    text = (ROOT / "constraints" / f"{name}.sdc").read_text()
    lists = re.findall(r"^set \w+ \[get_ports \{(.*?)\}\]", text, re.DOTALL | re.MULTILINE)
    named = [port for ports in lists for port in ports.split()]
    component = modules(replace(PRESETS["paper"], machine=machine))[module]
    inputs = [
        "__".join(map(str, path)) + "[*]" * (len(Value.cast(value)) > 1)
        for path, member, value in component.signature.flatten(component)
        if member.flow == In and len(Value.cast(value))
    ]
    assert sorted(named) == sorted(inputs)
    del component
    gc.collect()  # nothing of it is elaborated


def test_macros_in_a_flow_that_knows_their_liberty_alone(tmp_path):
    """As OpenROAD-flow-scripts reads a design: Verilog, Liberty, then every module must be there."""
    source = export(Scratchpad(PRESETS["paper"]), "scratchpad", tmp_path, BlackBoxes())
    macros = memories.macros(Library(CELLS), 45, PRESETS["paper"], 2.5)
    (tmp_path / "macros.lib").write_text(memories.liberty(macros, Library(CELLS)))
    script = [
        f"read_verilog -defer -sv {source.name}",
        f"read_liberty -overwrite -setattr liberty_cell -lib {CELLS} macros.lib",
        "hierarchy -check -top scratchpad",
        "select -assert-count 1 t:uticket_scratchpad",
    ]
    yosys.run(script, tmp_path, "flow")


def test_orfs_configuration():
    """Make reads it, and its files are there, or are what other targets write."""
    done = subprocess.run(
        [
            "make",
            "-s",
            "-f",
            ROOT / "constraints" / "orfs" / "config.mk",
            "-f",
            "-",
            "show",
        ],
        input="show:\n\t@echo $(DESIGN_NAME) $(PLATFORM) $(VERILOG_FILES) $(SDC_FILE)\n",
        capture_output=True,
        text=True,
        check=True,
    )
    name, platform, rtl, sdc = done.stdout.split()
    assert (name, platform) == ("pe", "nangate45")
    assert Path(rtl) == ROOT / "build" / "rtl" / "blackbox" / "pe.v"
    assert sta.constraint_period(Path(sdc)) == 2.5


def test_constraints_without_a_clock(tmp_path):
    path = tmp_path / "x.sdc"
    with pytest.raises(BadInput, match="No such file"):
        sta.constraint_period(path)
    path.write_text("# create_clock -period 3\n")
    with pytest.raises(BadInput, match="create_clock"):
        sta.constraint_period(path)


def test_opensta_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="apt-get install opensta"):
        sta.analyze([], "pe", [], ROOT / "constraints" / "pe.sdc", tmp_path)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'Error: x.v line 3, syntax error'", "x.v line 3, syntax error"),
        ("kill -SEGV $$", "exit status"),
    ],
)
def test_opensta_that_fails(tmp_path, monkeypatch, script, reason):
    tool = tmp_path / "sta"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(BadInput, match=f"^OpenSTA: {reason}.*see .*x.txt"):
        sta.run(["report_tns"], tmp_path / "x.tcl")


def test_yosys_error_is_one_line(tmp_path):
    with pytest.raises(BadInput, match=r"Yosys: .*nowhere.v.*see .*x.log\)$"):
        yosys.run(["read_verilog nowhere.v"], tmp_path, "x")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["synth", "--liberty", "nowhere.lib"], "Liberty file nowhere.lib: No such file"),
        (["synth", "--liberty", "/"], "Liberty file /: no regular file"),
        (["synth", "--liberty", str(CELLS)], "library tests: its node is not known"),
        (["synth", "--liberty", str(CELLS), "--node", "65"], "NODE=65"),
        (["synth", "--liberty", str(CELLS), "--node", "x"], "'x' is not a valid integer"),
        (["fpga", "--board", "x"], f"unknown board 'x'; allowed: {', '.join(boards())}"),
        (["power", "--liberty", str(CELLS), "--node", "45", "--model", "x"], "unknown MODEL 'x'"),
    ],
)
def test_bad_input_is_one_line(arguments, reason):
    done = subprocess.run(
        [sys.executable, "-m", "sim.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("uticket: error: ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_known_libraries_have_macros():
    table = yaml.safe_load(memories.TABLE.read_text())
    for node in table["libraries"].values():
        figures = [one for macro in table["macros"].values() for one in memories.entries(macro)]
        assert node > memories.OLDEST or all(node in one["nodes"] for one in figures)


def test_a_macro_of_each_number_of_pipelines(library):
    two = replace(PRESETS["paper"], machine="event")
    kept = {}
    for lifs in (1, 2):
        macros = memories.macros(library, 45, replace(two, lifs=lifs), 2.5)
        (kept[lifs],) = (one for one in macros if one.name == "uticket_potentials")
    assert (kept[1].depth, kept[1].width, kept[1].area) == (64, 25, 1739)
    assert (kept[2].depth, kept[2].width, kept[2].area) == (32, 50, 2176)
    with pytest.raises(BadInput, match="64 rows of 21 bits; allowed: 32 of 50 or 64 of 25,"):
        memories.macros(library, 45, replace(two, lifs=1, accumulator_bits=20), 2.5)
