"""--hardware of synth, power and verilog; docs/change-the-pe.md runs as it stands there."""

import re
from pathlib import Path

import pytest
import yaml

from hw.config import PRESETS
from sim.catalog import load_hardware
from sim.cli import main
from synth import flow
from tests import pages

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "change-the-pe.md"


def test_the_page():
    assert pages.run(PAGE) > 8


def test_the_page_s_hardware_and_files_are_there(tmp_path):
    block = re.search(r"# small.yaml\n((?:    .*\n)+)", PAGE.read_text())[1]
    (tmp_path / "small.yaml").write_text(re.sub("^    ", "", block, flags=re.MULTILINE))
    config = load_hardware(tmp_path / "small.yaml", PRESETS["tiny"])
    assert (config.n_pe, config.scratchpad_depth, config.tile_side) == (16, 256, 4)
    for name in re.findall(r"`((?:hw|tb|sim)/\w[\w/.]*\.\w+)`", PAGE.read_text()):
        assert (ROOT / name).is_file(), name


def test_synthesis_takes_other_hardware_to_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(flow, "BUILD", tmp_path)
    cells = ROOT / "tests" / "cells.lib"
    (tmp_path / "eight.yaml").write_text("n_pe: 8\n")
    paper, eight = flow.flow_on(cells, 45), flow.flow_on(cells, 45, tmp_path / "eight.yaml")
    assert (paper.config, eight.config.n_pe) == (PRESETS["paper"], 8)
    assert eight.folder.name == f"{paper.folder.name}-eight"


def test_verilog_of_other_hardware(tmp_path, monkeypatch):
    """The export itself is tested elsewhere; here, that it gets the configuration."""
    asked = []
    monkeypatch.setattr(
        "hw.export.export_all", lambda name, _, config: asked.append((name, config)) or []
    )
    (tmp_path / "h.yaml").write_text("n_pe: 2\n")
    with pytest.raises(SystemExit):
        main(["verilog", str(tmp_path), "--preset", "tiny", "--hardware", str(tmp_path / "h.yaml")])
    ((name, config),) = asked
    assert name == "tiny, h.yaml"
    assert (config.n_pe, config.ticks) == (2, 2)


@pytest.mark.parametrize("command", ["synth", "power", "verilog", "estimate", "sim", "program"])
@pytest.mark.parametrize(
    ("content", "told"),
    [({"lanes": 8}, "unknown field 'lanes'"), ({"n_pe": 99}, "n_pe = 99, allowed: 1 to 64")],
)
def test_bad_hardware_is_one_line_everywhere(command, content, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(flow, "BUILD", tmp_path)
    (tmp_path / "h.yaml").write_text(yaml.safe_dump(content))
    library = ["--liberty", str(ROOT / "tests" / "cells.lib"), "--node", "45"]
    first = {"verilog": ["out"], "synth": library, "power": library}
    with pytest.raises(SystemExit) as ended:
        main([command, *first.get(command, ["vgg16_cifar10"]), "--hardware", "h.yaml"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "h.yaml" in error
    assert told in error
