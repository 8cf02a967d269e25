"""Without a home that can be written, caches go where they can."""

import errno
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


NOBODY = """
import pwd
def unknown(_):
    raise KeyError("getpwuid(): uid not found")
pwd.getpwuid = unknown
"""


@pytest.mark.parametrize("where", ["missing", "/", "closed", "relative", "no passwd entry"])
def test_rtl_is_exported_without_a_home(where, closed, tmp_path):
    variables = {name: os.environ[name] for name in ("PATH",)}
    nobody = where == "no passwd entry"
    if where != "missing" and not nobody:
        variables["HOME"] = str(closed) if where == "closed" else where
    command = [sys.executable, "-c", NOBODY * nobody + CODE, str(tmp_path / "out")]
    root = Path(home.__file__).parent.parent
    done = subprocess.run(
        command, cwd=root, env=variables, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "wire.v").is_file()


def test_an_export_that_ends_early_leaves_what_was_there(tmp_path, monkeypatch):
    names = {}
    exec(CODE.replace("export(Wire()", "0 and export(Wire()"), names)  # noqa: S102 - the class alone
    names["export"](names["Wire"](), "wire", tmp_path)
    before = (tmp_path / "wire.v").read_text()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left") as error:
        names["export"](names["Wire"](), "wire", tmp_path)
    assert error.value.filename == str(tmp_path / "wire.v")
    assert (tmp_path / "wire.v").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wire.json", "wire.v"]


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
