"""The worked examples of CONTRIBUTING.md do what it says, as they stand there."""

import re
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np

from sim import rivals
from sim.models import technology
from sim.rivals.base import Task
from synth import boards
from tests.random_networks import conv

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()


def example(heading: str) -> str:
    """The indented block of a section."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return textwrap.dedent(re.search(r"\n((?:    .*\n|\n(?=\s*    ))+)", section)[1])


def test_a_technology(tmp_path, monkeypatch):
    for path in technology.FOLDER.glob("*.yaml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "mine.yaml").write_text(example("A technology"))
    monkeypatch.setattr(technology, "FOLDER", tmp_path)
    for cached in (technology.known, technology.load_table):
        monkeypatch.setattr(technology, cached.__name__, cached.__wrapped__)
    table = technology.load_table("mine")
    assert table.components["spad"].dynamic.value == 0.488
    assert table.components["adder"].dynamic.value == 0
    assert table.components["adder"].ungated.value == 0.140625
    assert "mine" in technology.tables()


def test_a_rival():
    module = ModuleType("halves")
    module.__file__ = "halves.py"
    exec(example("A rival"), vars(module))  # noqa: S102 - our own page
    rival = rivals._rival(module)
    layer = conv("l", (8, 2), "image", kernel=1, padding=0)
    mask = np.arange(8) < np.array([5, 2])[:, None]
    one = rival.load(Task(layer=layer, mask=mask, positions=10), 4)
    assert (one.busy, one.latency) == (70, 30)  # 2 and 3, 1 and 1
    assert rival.added_area(None, 4) is None


def test_a_board(tmp_path, monkeypatch):
    (tmp_path / "ulx3s_45f.yaml").write_text(example("A board"))
    (tmp_path / "ulx3s.lpf").touch()
    monkeypatch.setattr(boards, "FOLDER", tmp_path)
    assert boards.board("ulx3s_45f").device == "LFE5U-45F-6BG381C"
