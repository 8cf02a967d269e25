"""The Verilator set-up: a counter is exported, built, loaded and run."""

import ctypes
import shutil
from pathlib import Path

import pytest
from amaranth.back import verilog
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from sim.rtl import one_file
from sim.rtl.verilator import FILTER, build_shared_library, environment
from support.errors import BadInput
from support.files import BUILD

DRIVER = """
#include "Vtop.h"
extern "C" unsigned count(unsigned cycles) {
    VerilatedContext context;
    Vtop top{&context};
    while (cycles--) {
        top.clk = 0, top.eval();
        top.clk = 1, top.eval();
    }
    top.final();
    return top.n;
}
"""


class Counter(wiring.Component):
    """Counts cycles."""

    n: Out(16)

    def elaborate(self, platform):
        m = Module()
        count = Signal(16)
        m.d.sync += count.eq(count + 1)
        m.d.comb += self.n.eq(count)
        return m


@pytest.fixture
def counter(tmp_path):
    """Verilog and C++ of the counter."""
    text = verilog.convert(Counter(), name="counter", emit_src=False, strip_internal_attrs=True)
    (tmp_path / "counter.v").write_text(text)
    (tmp_path / "driver.cpp").write_text(DRIVER)
    return tmp_path / "counter.v", tmp_path / "driver.cpp"


def build(counter, out: Path, **options) -> Path:
    return build_shared_library([counter[0]], "counter", [counter[1]], out, **options)


def filter_script(folder: Path, text: str) -> str:
    (folder / "filter.sh").write_text(text)
    return f"sh {folder / 'filter.sh'} 'an argument'"


def test_builds_runs_and_caches(counter, tmp_path, monkeypatch):
    monkeypatch.delenv(FILTER, raising=False)
    library = build(counter, tmp_path / "out")
    assert ctypes.CDLL(str(library)).count(1000) == 1000
    stamp = library.stat().st_mtime_ns
    assert build(counter, tmp_path / "out") == library
    assert library.stat().st_mtime_ns == stamp
    folders = [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert folders == [library.parent.name]


def test_the_quick_way_builds_the_same(counter, tmp_path, monkeypatch):
    """No model is taken from a cache; the headers are those that all models have, compiled, and not read again."""
    monkeypatch.delenv(FILTER, raising=False)
    once = tmp_path / "once"
    shutil.copytree(one_file.built_once(one_file.LIBRARY, BUILD / "verilator"), once)
    assert (once / "runtime.h.gch").is_file()
    (once / "runtime.h").write_text('#error "read, though it is compiled beforehand"\n')
    monkeypatch.setattr(one_file, "built_once", lambda kind, store: once)
    libraries = [
        one_file.build_shared_library(
            [counter[0]], "counter", [counter[1]], tmp_path / "out", flags
        )
        for flags in ([], ["--no-assert"])
    ]
    assert len(set(libraries)) == 2
    assert [ctypes.CDLL(str(path)).count(1000) for path in libraries] == [1000, 1000]


def test_filtered_copy_is_what_runs(counter, tmp_path, monkeypatch):
    monkeypatch.delenv(FILTER, raising=False)
    original, plain = counter[0].read_text(), build(counter, tmp_path / "out")
    script = filter_script(tmp_path, """sed -i "s/16'h0001/16'h0003/; s/ 1'h1/ 2'h3/" "$2"\n""")
    monkeypatch.setenv(FILTER, script)
    mutant = build(counter, tmp_path / "out")
    assert mutant != plain
    assert ctypes.CDLL(str(mutant)).count(1000) == 3000
    assert counter[0].read_text() == original


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 3\n", "failed on .*counter.v with status 3"),
        ('rm "$2"\n', "removed counter.v"),
        ('echo endmodule >> "$2"\n', "verilator failed: %Error.*syntax error"),
    ],
)
def test_bad_filter(counter, tmp_path, monkeypatch, script, message):
    monkeypatch.setenv(FILTER, filter_script(tmp_path, script))
    with pytest.raises(BadInput, match=message):
        build(counter, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").iterdir() if path.is_dir()]


@pytest.mark.parametrize("command", ["no-such-command", "'unbalanced"])
def test_filter_that_cannot_run(counter, tmp_path, monkeypatch, command):
    monkeypatch.setenv(FILTER, command)
    with pytest.raises(BadInput, match=f"{FILTER}: cannot run"):
        build(counter, tmp_path / "out")


def test_path_with_a_space(counter, tmp_path):
    with pytest.raises(BadInput, match="cannot build in a path with a space"):
        build(counter, tmp_path / "a folder")


def test_missing_tool_is_named(monkeypatch, tmp_path):
    for tool in ("make", "perl"):
        (tmp_path / tool).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match=r"g\+\+ is missing; on Debian: apt-get install g\+\+"):
        environment()
