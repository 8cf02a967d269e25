"""The Liberty reader: units, tables, what is not for logic, and files that are none."""

import gzip
import time
from pathlib import Path

import pytest

from support.errors import BadInput
from synth import asic
from synth.liberty import Library
from tests.tolerance import near

CELLS = Path(__file__).with_name("cells.lib")


def cell(function):
    """A library of one cell that computes a function."""
    pin = f'pin (Y) {{ direction : output; function : "{function}"; }}'
    return f"library (x) {{ cell (INV) {{ area : 1; {pin} }} }}"


@pytest.fixture(scope="module")
def library():
    return Library(CELLS)


def test_liberty_in_si_units(library):
    inverter, flop = library.cells["INV"], library.cells["DFF"]
    assert inverter.area == 1
    assert inverter.leakage == near(2e-9)
    assert inverter.pins["A"].capacitance == near(2e-15)
    assert library.cells["BUF"].leakage == near(2e-9)  # the mean of its states
    assert flop.sequential
    assert not inverter.sequential
    assert flop.pins["C"].clock
    assert flop.pins["C"].energy() == near(15e-15)
    assert library.buffer == "BUF"
    assert library.tie(1) == ("ONE", "Y")
    assert library.tie(0) == ("ZERO", "Y")
    assert library.unused == ["DFFE"]


@pytest.mark.parametrize(
    ("load", "slew", "energy"),
    [(0, 0, 2e-15), (1e-13, 0, 3e-15), (0, 1, 4e-15), (5e-14, 0.5, 3.5e-15), (2e-13, 0, 4e-15)],
)
def test_energy_by_load_and_slew(library, load, slew, energy):
    assert library.cells["INV"].pins["Y"].energy(load, slew) == near(energy)


def test_liberty_gzipped(tmp_path):
    path = tmp_path / "cells.lib.gz"
    path.write_bytes(gzip.compress(CELLS.read_bytes()))
    assert set(Library(path).cells) == set(Library(CELLS).cells)
    assert Library(path).plain(tmp_path).read_bytes() == CELLS.read_bytes()
    assert Library(CELLS).plain(tmp_path) == CELLS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not one complete library"),
        ("library (x) { cell (A) { area : 1; }", "not one complete library"),
        ("library (x) { }", "has no cells"),
        ("library (x) { cell () { area : 1; } }", "a group lacks its name"),
        ("library (x) { cell (A) { area : one; } }", "'one'"),
        ('library (x) { time_unit : "1 inch"; cell (A) { } }', "unit '1 inch'"),
        ("library (x) { capacitive_load_unit (1, pg); cell (A) { } }", "unit '1pg'"),
        (
            "library (x) { cell (A) { pin (Y) { internal_power () { rise_power (e) { } } } } }",
            "a group lacks values",
        ),
    ],
)
def test_liberty_that_is_none(tmp_path, text, reason):
    path = tmp_path / "bad.lib"
    path.write_text(text)
    with pytest.raises(BadInput, match=f"^Liberty file {path}: .*{reason}"):
        Library(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/* " * 200_000, "not one complete library"),
        ("library (x) { " + "/*" * 200_000, "not one complete library"),
        ("library (x) { " + "a (b) { " * 100_000, "not one complete library"),
        (cell("(" * 5000 + "A" + ")" * 5000), "nested deeper than 60"),
        (cell("!" * 5000 + "A"), "nested deeper than 60"),
        (cell("!!!(" * 5000 + "A" + ")" * 5000), "nested deeper than 60"),
        (cell(" & ".join(f"A{k}" for k in range(40))), "40 pins, allowed: 16"),
    ],
)
def test_liberty_that_explodes_is_one_line_soon(tmp_path, text, reason):
    path = tmp_path / "bad.lib"
    path.write_text(text)
    started = time.monotonic()
    with pytest.raises(BadInput, match=reason) as error:
        Library(path)
    assert str(error.value).startswith(f"Liberty file {path}: ")
    assert len(str(error.value).removeprefix(f"Liberty file {path}: ")) < 200
    assert time.monotonic() - started < 10


def test_long_functions_that_nest_little_are_read(tmp_path):
    path = tmp_path / "long.lib"
    path.write_text(cell(" | ".join(["(!A & !(B | !C))"] * 200)))
    assert "!A" in Library(path).cells["INV"].pins["Y"].function


def test_gzip_that_is_none(tmp_path):
    path = tmp_path / "bad.lib.gz"
    path.write_bytes(gzip.compress(CELLS.read_bytes())[:20] + b"x" * 200)
    with pytest.raises(BadInput, match=f"^Liberty file {path}: "):
        Library(path)


def test_strings_comments_and_lines_that_go_on(tmp_path):
    path = tmp_path / "cells.lib"
    text = CELLS.read_text().replace(
        "library (tests) {", 'library (tests) { comment : "http://x.org /* not one */";'
    )
    text = text.replace('index_1 ("0.0, 0.1");', 'index_1 ( \\ \n "0.0, \\\n 0.1"); // one\n')
    path.write_bytes(text.replace("\n", "\r\n").encode())
    assert Library(path).cells == Library(CELLS).cells


@pytest.mark.parametrize("name", ["dont_use", "is_isolation_cell", "is_level_shifter", "always_on"])
def test_cells_that_are_not_for_logic(tmp_path, name):
    path = tmp_path / "cells.lib"
    path.write_text(CELLS.read_text().replace("cell (NOR) {", f'cell (NOR) {{ {name} : "true";'))
    assert Library(path).unused == ["DFFE", "NOR"]
    source = tmp_path / "x.v"
    source.write_text("module x(input a, b, output y); assign y = ~(a | b); endmodule\n")
    for library in (Library(CELLS), Library(path)):
        mapped = asic.synthesize(source, "x", library, [], tmp_path, flat=True, period=2.5)
        assert ("  NOR " in mapped.read_text()) == (library.path == CELLS)
