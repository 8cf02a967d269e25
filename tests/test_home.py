"""Without a home that can be written, caches go where they can."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hw import home

CODE = """
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pathlib import Path
import sys
from hw.export import export

class Wire(wiring.Component):
    a: In(1)
    b: Out(1)
    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.b.eq(~self.a)
        return m

export(Wire(), "wire", Path(sys.argv[1]))
"""


@pytest.fixture
def closed(tmp_path):
    """A folder in which root cannot write either: a file stands where caches go."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / ".cache").write_text("")
    return tmp_path / "closed"


@pytest.mark.parametrize("where", ["missing", "/", "closed", "relative"])
def test_rtl_is_exported_without_a_home(where, closed, tmp_path):
    variables = {name: os.environ[name] for name in ("PATH",)}
    if where != "missing":
        variables["HOME"] = str(closed) if where == "closed" else where
    command = [sys.executable, "-c", CODE, str(tmp_path / "out")]
    root = Path(home.__file__).parent.parent
    done = subprocess.run(
        command, cwd=root, env=variables, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "wire.v").is_file()


def chosen(monkeypatch, tmp_path, **variables):
    """HOME after `ensure_home` in a checkout in tmp_path."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(home, "ROOT", tmp_path)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    home.ensure_home.__wrapped__()
    return os.environ.get("HOME")


def test_a_good_home_stays(monkeypatch, tmp_path):
    good = tmp_path / "good"
    good.mkdir()
    assert chosen(monkeypatch, tmp_path, HOME=good) == str(good)
    assert list(good.iterdir()) == []


def test_a_bad_one_is_replaced_by_build(monkeypatch, tmp_path, closed):
    assert chosen(monkeypatch, tmp_path) == str(tmp_path / "build" / "home")
    assert chosen(monkeypatch, tmp_path, HOME="/") == str(tmp_path / "build" / "home")
    assert chosen(monkeypatch, tmp_path, HOME=closed) == str(tmp_path / "build" / "home")
    good = tmp_path / "good"
    good.mkdir()
    found = chosen(monkeypatch, tmp_path, HOME=good, XDG_CACHE_HOME=closed / ".cache")
    assert found == str(tmp_path / "build" / "home")
    assert "XDG_CACHE_HOME" not in os.environ


def test_where_build_cannot_be_written_the_temporary_folder_is(monkeypatch, tmp_path):
    (tmp_path / "build").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert chosen(monkeypatch, tmp_path) == str(tmp_path / f"uticket-{os.getuid()}")
