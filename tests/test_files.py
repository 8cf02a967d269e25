"""Files and folders made whole, and by one process for all that ask."""

import os
import signal
import subprocess
import sys

import pytest

from sim.files import made_once

# Makes a folder, slowly: a line in the log for each time it is begun, then the content.
MAKER = """
import sys, time
from pathlib import Path
from sim.files import made_once

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
    assert [path.name for path in tmp_path.iterdir()] == [".made.lock"]
