"""The list of faults, and that a fault only counts as caught when its test sees a wrong value."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tb import faults
from tb.mutate import Fault, check_edits, load, main

FAULT = Fault(
    component="sweep",
    description="test",
    file="sweep.v",
    find="assign row_end = x == {w} ;",
    replace="assign row_end = y == {1};",
    test="tb/test_sweep.py::test_sweep",
)
VERILOG = "  wire a;\n  assign row_end = x == \\$2 ;\n"
COMPONENTS = {"output word": "pool.py", "place": "geometry.py"}
INSIDE = {  # what is in the Verilog of another component
    "window.py": {"resolve.py", "tile_address.py", "assemble.py"},
    "drain.py": {"word_out.py"},
    "lif.py": {"told.py"},
    "array.py": {"pe_array.py"},
    "top.py": {"chip.py"},
}
NO_COMPONENT = {"config.py", "datasheet.py", "export.py", "program.py", "registers.py", "sram.py"}
NO_COMPONENT |= {
    "home.py",
    "machines.py",
    "neuron.py",
    "files.py",
    "tiling.py",
    "widths.py",
    "__init__.py",
    "unreset.py",
}


def test_every_component_has_three_faults():
    count = Counter(fault.component for fault in load())
    assert min(count.values()) >= 3
    files = {COMPONENTS.get(name, name.replace(" ", "_") + ".py") for name in count}
    for outer, inner in INSIDE.items():
        files |= inner if outer in files else set()
    hw = {path.name for path in Path("hw").glob("*.py")} - NO_COMPONENT
    assert hw <= files


def test_every_test_is_there():
    for fault in load():
        path, _, name = fault.test.partition("::")
        assert f"def {name.partition('[')[0]}(" in Path(path).read_text(), fault.test


def test_a_test_says_which_of_its_faults_fits_no_more(tmp_path):
    fault = next(one for one in load() if one.file == "scratchpad.v")
    path = tmp_path / fault.file
    path.write_text("module scratchpad; endmodule\n")
    check_edits("tb/test_pool.py::test_pool", [path])
    with pytest.raises(ValueError, match=r"scratchpad: .*: the edit matches 0 times, not 1"):
        check_edits(fault.test, [path])


def test_an_edit():
    assert FAULT.apply(VERILOG) == "  wire a;\n  assign row_end = y == \\$2 ;\n"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (replace(FAULT, find="assign row_begin"), "matches 0 times, not 1"),
        (replace(FAULT, count=2), "matches 1 times, not 2"),
        (replace(FAULT, find="wire a;", replace="wire a;"), "changes nothing"),
    ],
)
def test_an_edit_that_does_not_fit(fault, message):
    with pytest.raises(ValueError, match=message):
        fault.apply(VERILOG)


def test_the_filter_edits_its_file_alone(tmp_path, capsys):
    fault = load()[0]
    other, own, marker = tmp_path / "other.v", tmp_path / fault.file, tmp_path / "marker"
    for path in (other, own):
        path.write_text("nothing to find\n")
    assert main([fault.name, str(marker), str(other)]) == 0
    assert main([fault.name, str(marker), str(own)]) == 1
    assert "matches 0 times" in capsys.readouterr().err
    assert not marker.exists()


FAR = "E" + " " * 60
REPORTS = {  # what follows pytest's `E`, and what it means
    "E   assert 1 == 2": "mismatch",
    "E       AssertionError: tiny, layer0: spikes": "mismatch",
    "E       sim.rtl.harness.RtlError: the RTL neither finished nor raised an error": "mismatch",
    f"E  SimulationError: 1 of 1 failed\n{FAR}AssertionError: cycle 3": "mismatch",
    f"E  SimulationError: 1 of 1 failed\n{FAR}cocotb.triggers.SimTimeoutError: 1 ms": "mismatch",
    f"E  SimulationError: 1 of 1 failed\n{FAR}assert d['x']\n{FAR}KeyError: 'x'": "broken",
    "E  SimulationError: lif.v does not build:\nE  AssertionError": "broken",
    "    raise SimulationError('does not build')\nE   assert 1 == 2": "mismatch",
    "E       Failed: DID NOT RAISE RtlError": "mismatch",
    "E       Failed: DID NOT RAISE <class 'sim.rtl.harness.RtlError'>": "mismatch",
    "E       Failed: DID NOT RAISE BadInput": "broken",
    "E   support.errors.BadInput: verilator failed": "broken",
    "E   KeyError: 'key'": "broken",
    "": "broken",
}


@pytest.mark.parametrize("report", REPORTS)
def test_what_a_report_says(report):
    assert faults.classify(report)[0] == REPORTS[report]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("def test(): assert 1 == 2", "mismatch"),
        ("def test(): pass", "passed"),
        ("import no_such_module", "broken"),
        ("", "broken"),
    ],
)
def test_outcome_of_a_test(text, outcome, tmp_path):
    path = tmp_path / "test_case.py"
    path.write_text(text + "\n")
    assert faults.run_test(str(path), {})[0] == outcome


@pytest.mark.parametrize(
    ("outcome", "touched", "good"),
    [
        ("mismatch", True, True),
        ("mismatch", False, False),
        ("passed", True, False),
        ("broken", True, False),
    ],
)
def test_what_counts_as_caught(monkeypatch, outcome, touched, good):
    def run_test(test, variables):
        if touched:
            Path(variables[faults.FILTER].split()[-1]).touch()
        return outcome, "reason"

    monkeypatch.setattr(faults, "run_test", run_test)
    assert faults.check(FAULT)[0] is good
