"""The command line itself: its sub-commands, their help, and what help costs."""

import pkgutil
import signal
import subprocess
import sys

import pytest

from sim import commands
from sim.cli import main
from synth.boards import boards

NAMES = [module.name.rstrip("_") for module in pkgutil.iter_modules(commands.__path__)]
HEAVY = ("amaranth", "matplotlib", "rich", "torch", "wasmtime", "synth", "hw.top")


def test_the_flows_are_commands_like_the_rest():
    assert {"verilog", "synth", "power", "fpga", "sim", "paper", "sweep", "train"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_and_help_writes_nothing(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: uticket {name} ")
    assert "--help" in said
    assert list(tmp_path.iterdir()) == []


def test_help_stays_quick():
    """It loads the options of every command, and nothing of what a command needs to run."""
    code = (
        "import sys\nfrom sim.cli import main\ntry:\n    main(['--help'])\n"
        "except SystemExit:\n    print(*sys.modules)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(said.stdout.splitlines()[-1].split())
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)
    assert all(f"  {name} " in said.stdout for name in NAMES)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["verilog", "out", "--preset", "huge"], "--preset huge; allowed: paper, compact, tiny"),
        (["verilog", "--preset"], "'--preset' requires an argument"),
        (["verilog", "file"], "'file' is a file"),
        (
            ["fpga", "--board", "de10"],
            f"unknown board 'de10'; allowed: {', '.join(boards())}",
        ),
        (["fpga", "--n-pe", "0", "--no-place"], "n_pe = 0, allowed: 1 to 64"),
        (["synth", "--liberty", "none.lib"], "none.lib"),
        (["power", "--cycles", "1"], "1 is not in the range x>=1024"),
    ],
)
def test_bad_input_is_one_line(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("uticket: error: ")
    assert error.count("\n") == 1
    assert told in error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_library_that_swallows_the_first_sigterm_does_not_swallow_the_second():
    program = (
        "import os, signal, sys\n"
        "from sim import cli\n"
        "signal.signal(signal.SIGTERM, cli._terminated)\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        print('went on', flush=True)\n"
        "    except SystemExit as ended:\n"
        "        print('swallowed', ended.code, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "swallowed 143\n")
