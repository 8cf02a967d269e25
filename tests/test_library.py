"""docs/library.md runs as it stands there; the wheel holds what the door needs."""

import doctest
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import uticket
from sw import ticket
from tests.random_networks import random_ticket
from tests.test_sim_command import NETWORK

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "library.md"
PACKAGES = ("hw", "sw", "sim", "synth", "uticket", "constraints")


def test_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = random_ticket(3, layers=NETWORK, policy="random", method="uticket", n_pe=4, ticks=2)
    ticket.save(made, tmp_path / "ticket.npz")
    result = doctest.testfile(
        str(PAGE), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS
    )
    assert result.attempted > 18
    assert result.failed == 0


def test_the_five_lines_name_what_is_there(tmp_path, monkeypatch):
    """They are run, too, with the small ticket for the large one."""
    block = re.search(r"\n((?:    .*\n)+)", PAGE.read_text())[1]
    lines = [line.strip() for line in block.splitlines()]
    assert len(lines) == 5
    monkeypatch.chdir(tmp_path)
    ticket.save(random_ticket(3, layers=NETWORK, n_pe=4, ticks=2), tmp_path / "ticket.npz")
    code = "\n".join(lines).replace(
        '"vgg16_cifar10"', '"ticket.npz", config=uticket.PRESETS["tiny"]'
    )
    exec(code, {"uticket": uticket, "Path": Path})  # noqa: S102 - our own page
    assert (tmp_path / "report" / "report.html").is_file()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in files.stdout.splitlines():  # a copy: setuptools builds beside the source
        if name.split("/")[0] in PACKAGES or "/" not in name:
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", folder, folder / "source"], check=True, timeout=600)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    held = set(wheel.namelist())
    files = subprocess.run(
        ["git", "ls-files", *PACKAGES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert len(files) > 120
    assert set(files) - held == set()


def test_the_wheel_runs_without_the_checkout(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import sim.files, uticket, synth.boards\n"
        "assert sim.files.__file__.startswith(sys.argv[1])\n"
        "uticket.load_table('32nm-hp'); synth.boards.board('arty_a7')\n"
        "print(sim.files.BUILD)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path / "site")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "build")
