"""The worked examples of CONTRIBUTING.md do what it says, as they stand there."""

import re
import textwrap
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
from amaranth.hdl import Fragment

from hw import neuron
from hw.config import Config
from hw.lif import Lif
from sim import rivals
from sim.models import technology
from sim.rivals.base import Operand, Task
from sw import evaluate, golden
from sw.layers import conv
from sw.quantize import quantize
from synth import boards
from tests.random_networks import random_ticket

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
    monkeypatch.setattr(technology, "known", technology.known.__wrapped__)
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
    layer = conv("l", (8, 2), "image", kernel=1)
    mask = np.arange(8) < np.array([5, 2])[:, None]
    one = rival.load(Task(operands=(Operand(source=layer.own, mask=mask),), positions=10), 4)
    assert (one.busy, one.latency) == (70, 30)  # 2 and 3, 1 and 1
    assert rival.added_area(None, 4) is None


def test_a_board(tmp_path, monkeypatch):
    (tmp_path / "ulx3s_45f.yaml").write_text(example("A board"))
    monkeypatch.setattr(boards, "FOLDER", tmp_path)
    assert boards.board("ulx3s_45f").device == "LFE5U-45F-6BG381C"


def test_a_neuron(monkeypatch):
    names = dict(vars(neuron))
    exec(example("A neuron"), names)  # noqa: S102 - our own page
    kind = names["Round"]
    monkeypatch.setitem(neuron.NEURONS, kind.name, kind)
    config = Config(leak_mode="round", leak_shift=2)
    assert config.neuron.step(7, 9, 10) == (True, 0)  # 2 + 9, where `Shift` has 1 + 9
    assert config.neuron.step(7, 7, 10) == (False, 9)
    code = config.neuron.code
    assert [code["share"] * u + code["carry"] >> 8 for u in (7, -2, -3)] == [2, 0, -1]
    event = quantize(random_ticket(3), replace(config, machine="event"))
    assert event.array[0].neuron == kind(2)
    assert quantize(random_ticket(3), Config(machine="event")).array[0].neuron == neuron.Shift(2)
    network = quantize(random_ticket(3), config)
    assert network.array[0].neuron == kind(2)
    spikes = golden.first_layer_spikes(network, np.full((1, 3, 32, 32), 90, np.uint8))
    found = golden.run(network, spikes[0])
    batch = evaluate.first_layer(network, np.full((1, 3, 32, 32), 90, np.uint8))
    compiled = evaluate.outputs(evaluate.integers(network), batch)[0]
    assert np.array_equal(found["fc"].output, compiled)
    Fragment.get(Lif(config), None)  # it elaborates
