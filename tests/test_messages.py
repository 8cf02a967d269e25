"""What a user reads when something is wrong: one line, short, whatever it quotes."""

import errno
import sys
import warnings
from types import SimpleNamespace

import click
import pytest

import sim.cli
from sim.cli import main


def ended(monkeypatch, capsys, action):
    """Status and stderr of a command that does `action`."""
    monkeypatch.setattr(sim.cli.uticket, "main", lambda *_, **__: action())
    with pytest.raises(SystemExit) as error:
        main([])
    return error.value.code, capsys.readouterr().err


def failing(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x" * 5000 + "; allowed: 1 to 64"),
        click.UsageError("a\nb" * 5000 + "; allowed: 1 to 64"),
        OSError(errno.ENOSPC, "allowed: 1 to 64", "d" * 5000),
        ValueError("\x1b[31m\0" * 3000 + "allowed: 1 to 64"),
    ],
)
def test_an_error_is_one_short_line_with_both_its_ends(monkeypatch, capsys, error):
    status, said = ended(monkeypatch, capsys, failing(error))
    assert status == 2
    assert said.startswith("uticket: error: ")
    assert said.endswith("allowed: 1 to 64\n")
    assert len(said) <= 300
    assert said[:-1].isprintable()


def test_no_memory_is_one_line(monkeypatch, capsys):
    status, said = ended(monkeypatch, capsys, failing(MemoryError("Unable to allocate 64 GiB")))
    assert (status, said) == (2, "uticket: error: out of memory: Unable to allocate 64 GiB\n")


@pytest.mark.filterwarnings("default")
def test_a_warning_of_a_library_is_one_line(monkeypatch, capsys):
    def action():
        warnings.warn("overflow\n encountered", RuntimeWarning, stacklevel=1)

    _, said = ended(monkeypatch, capsys, action)
    assert said == "uticket: warning: overflow encountered\n"


def test_parquet_without_pyarrow_is_refused_before_the_work(monkeypatch, tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("n_pe: [1, 2]\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setattr("sim.explore.run.run", None)
    with pytest.raises(SystemExit) as error:
        main(["sweep", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "a.parquet")])
    assert error.value.code == 2
    assert "Parquet needs pyarrow" in capsys.readouterr().err


def test_what_was_proven_is_said_where_the_report_cannot_be_written(monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "report.json")

    report = SimpleNamespace(verdict="PROVEN: all agreed", mismatch=None)
    monkeypatch.setattr("sim.simulation.simulate", lambda *_, **__: report)
    monkeypatch.setattr("sim.reports.run_report.write", full)
    with pytest.raises(SystemExit) as error:
        main(["sim", "vgg16_cifar10"])
    said = capsys.readouterr()
    assert error.value.code == 2
    assert said.out == "PROVEN: all agreed\n"
    assert said.err == (
        "uticket: error: report not written: report.json: No space left on device\n"
    )
