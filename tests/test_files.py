"""Files and folders made whole, and by one process for all that ask."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.files import atomic_write, made_once

# Makes a folder, slowly: a line in the log for each time it is begun, then the content.
MAKER = """
import sys, time
from pathlib import Path
from support.files import made_once

def make(partial):
    with open(sys.argv[2], "a") as log:
        log.write("begun\\n")
    partial.mkdir()
    (partial / "first").touch()
    time.sleep(float(sys.argv[3]))
    (partial / "second").touch()

folder = made_once(Path(sys.argv[1]), make)
print(sorted(path.name for path in folder.iterdir()))
"""


def maker(tmp_path, seconds):
    """A process that makes `made`, and logs so."""
    arguments = [tmp_path / "made", tmp_path / "log", str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, *arguments], stdout=subprocess.PIPE, text=True
    )


def test_of_processes_that_ask_at_once_one_makes(tmp_path):
    makers = [maker(tmp_path, 0.5) for _ in range(4)]
    assert {process.communicate()[0] for process in makers} == {"['first', 'second']\n"}
    assert (tmp_path / "log").read_text() == "begun\n"


def test_after_a_killed_maker_the_next_makes(tmp_path):
    first = maker(tmp_path, 600)
    while not list(tmp_path.glob("making-*/made/first")):
        assert first.poll() is None
        time.sleep(0.01)
    second = maker(tmp_path, 0)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert second.communicate()[0] == "['first', 'second']\n"
    assert (tmp_path / "log").read_text() == "begun\nbegun\n"


def test_what_fails_is_not_there(tmp_path):
    def fail(partial):
        partial.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        made_once(tmp_path / "made", fail)
    assert {path.name for path in tmp_path.iterdir()} == {".made.lock", ".work.lock"}


def test_the_folder_of_a_killed_maker_is_cleared(tmp_path):
    first = maker(tmp_path, 600)
    while not list(tmp_path.glob("making-*/made/first")):
        assert first.poll() is None
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    maker(tmp_path, 0).communicate()
    assert list(tmp_path.glob("making-*")) == []


@pytest.mark.parametrize("damage", ["cut", "emptied", "another name", "no checksum"])
def test_what_was_damaged_is_made_again(tmp_path, damage):
    made = []

    def make(partial):
        partial.mkdir()
        (partial / "library.so").write_text("content")
        made.append(partial)

    final = made_once(tmp_path / "made", make)
    assert made_once(tmp_path / "made", make) == final
    assert len(made) == 1
    if damage == "cut":
        (final / "library.so").write_text("cont")
    elif damage == "emptied":
        (final / "library.so").unlink()
    elif damage == "another name":
        (final / "library.so").rename(final / "other")
    else:
        (tmp_path / ".made.sha256").unlink()
    made_once(tmp_path / "made", make)
    assert [path.name for path in final.iterdir()] == ["library.so"]
    assert (final / "library.so").read_text() == "content"
    assert len(made) == 2
    assert list(tmp_path.glob("making-*")) == []


def test_a_full_disk_names_the_file():
    with (
        pytest.raises(OSError, match="No space left") as error,
        atomic_write(Path("/dev/full")) as f,
    ):
        f.write(b"text")
    assert error.value.filename == "/dev/full"


TOOL = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
from sim.cli import main
import sim.cli
from support.files import work_folder
from support.processes import run_tool
from pathlib import Path
from synth import fpga, sta

folder = Path(sys.argv[1])
WAYS = {
    "a tool": lambda: run_tool(["slow"]),
    "a tool with a log": lambda: run_tool(["slow"], log=folder / "log"),
    "OpenSTA": lambda: sta.run([], folder / "x.tcl"),
    "nextpnr": lambda: fpga.run_tool("slow", [], folder),
}

def run(*_, **__):
    with work_folder(folder, "building-"):
        WAYS[sys.argv[2]]()

sim.cli.uticket.main = run
main([])
"""


EARLY = """
import os, subprocess

class Popen(subprocess.Popen):  # we hear of the tool when it has run for a while
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        os.read(0, 1)

subprocess.Popen = Popen
"""


SLOW = """#!/bin/sh
sleep 600 &
echo $! > {noted}
wait
"""


@pytest.mark.parametrize(
    ("before", "way", "how"),
    [
        ("", "a tool", signal.SIGTERM),
        ("", "a tool", signal.SIGINT),
        (EARLY, "a tool", signal.SIGTERM),
        (EARLY, "a tool", signal.SIGINT),
        ("", "a tool with a log", signal.SIGTERM),
        ("", "OpenSTA", signal.SIGTERM),
        ("", "nextpnr", signal.SIGTERM),
    ],
)
def test_what_is_ended_takes_its_tools_along(tmp_path, monkeypatch, before, way, how):
    noted = tmp_path / "pid"
    for name in ("slow", "sta", "yowasp-slow"):
        (tmp_path / name).write_text(SLOW.format(noted=noted))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    process = subprocess.Popen(
        [sys.executable, "-c", before + TOOL, tmp_path, way],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    while not (noted.exists() and noted.read_text().strip()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(how)
    process.stdin.close()
    assert process.wait(60) != 0
    tool = Path("/proc", noted.read_text().strip(), "stat")
    deadline = time.monotonic() + 30
    while tool.exists() and tool.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not tool.exists() or tool.read_text().split()[2] == "Z"
    assert list(tmp_path.glob("building-*")) == []
