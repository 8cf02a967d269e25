"""Every script of benchmarks/ runs, on the smallest input that it takes: networks of few channels, one image, one step."""

import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hw.config import Config
from sw import datasets, networks, norm_fire, schedules, ticket
from sw.datasets import Dataset
from sw.layers import IMAGE, Pool, conv, linear
from sw.machines import compile_network
from sw.quantize import quantize
from tb.test_event_machine import CONFIGS
from tests.command import status
from tests.random_networks import POOLED, random_ticket
from tests.test_event_command import saved

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
SCRIPTS = sorted(path.stem for path in Path("benchmarks").glob("*.py"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("tickets"))


@pytest.fixture
def ran(monkeypatch, capsys):
    """Runs the `main` of a script of this name with arguments, and gives what it prints."""

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, arguments)])
        script.main()
        return capsys.readouterr().out

    return run


def script(name):
    return importlib.import_module(f"benchmarks.{name}")


def random_images(count=64, side=32, channels=3):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, channels, side, side), np.uint8)
    labels = rng.integers(0, 10, count)
    return Dataset("random", images, labels, images, labels, (0.5,) * channels, (0.2,) * channels)


def test_all_of_them_are_here():
    here = Path(__file__).read_text()
    assert [name for name in SCRIPTS if f"def test_{name}(" not in here] == []


def test_balance(monkeypatch, ran):
    module = script("balance")
    monkeypatch.setattr(module, "SHAPES", [(16, 8, 3, 3), (10, 16)])
    monkeypatch.setattr(module, "SIDES", (4, 1))
    out = ran(module, "--repeats", 1)
    assert len(re.findall(r"^(?:un)?even .* balance ", out, re.MULTILINE)) == 8


def test_event_machine(model, tmp_path, ran):
    path = tmp_path / "found.json"
    out = ran(script("event_machine"), model, "--images", 1, "--json", path)
    assert "| uticket balanced by expected activity |" in out
    assert path.stat().st_size


def test_image_overlap(model, ran):
    out = ran(script("image_overlap"), model, "--images", 3)
    assert out.count(f"| {model}, ") == 4


def test_resident_weights(model, ran):
    arguments = ("--images", 2, "--depths", 128, "--bits", 64)
    out = ran(script("resident_weights"), model, *arguments, "--each")
    assert "| batches of 2 |" in out
    assert ran(script("resident_weights"), model, *arguments).count("| batches of 2 |") == 1


def test_rounding(model, ran):
    out = ran(script("rounding"), model, "--images", 2)
    assert len(re.findall(r"^\| .*, (?:uticket|lth) \|.* \d \| \d \|$", out, re.MULTILINE)) == 4


def test_import_network(monkeypatch, ran):
    """In this process; its commands' own start is not of interest here."""
    module = script("import_network")
    narrow = re.sub(r"WIDTHS = .*", "WIDTHS = (8, 0, 8, 0, 8, 0, 8, 0, 512)", module.MODEL)
    monkeypatch.setattr(module, "MODEL", narrow)

    def run(command, *, cwd, check, capture_output):
        assert command[:3] == [sys.executable, "-m", "sim.cli"]
        monkeypatch.chdir(cwd)
        assert status(*command[3:]) == 0

    here = Path.cwd()
    monkeypatch.setattr(module.subprocess, "run", run)
    out = ran(module)
    monkeypatch.chdir(here)
    assert len(re.findall(r"^(?:dense|sparse): (?:check|import) [\d.]+ s$", out, re.MULTILINE)) == 4


def test_models(monkeypatch, tmp_path, ran):
    module = script("models")
    (tmp_path / "sweep.yaml").write_text(
        "network: small\nsparsity: 0.98\npolicy: random\nn_pe: [2, 4, 6, 8, 10, 12, 14, 16]\n"
    )
    monkeypatch.setattr(module, "SPEC", tmp_path / "sweep.yaml")
    monkeypatch.setitem(networks.NETWORKS, "small", lambda classes=10, in_channels=3: POOLED)
    out = ran(module)
    assert "of 8 of 8 tasks" in out


def test_moving_images(monkeypatch, tmp_path, ran):
    monkeypatch.setattr(datasets, "load", lambda name: random_images(4))
    out = ran(script("moving_images"), tmp_path / "out.npz", "--train", 2, "--test", 1)
    assert "train: (2, 8, 2, 16, 16)" in out
    with np.load(tmp_path / "out.npz") as found:
        assert len(found["test_images"]) == len(found["test_labels"]) == 1


def test_policies(monkeypatch, tmp_path, ran):
    """All phases of one seed, each training one batch a round."""
    monkeypatch.setattr(networks, "NETWORKS", dict(networks.NETWORKS))
    monkeypatch.setattr(schedules, "SCHEDULES", dict(schedules.SCHEDULES))
    monkeypatch.delitem(sys.modules, "benchmarks.policies", raising=False)
    module = script("policies")  # which adds to both
    monkeypatch.delitem(sys.modules, "benchmarks.policies")
    full = replace(module.SCHEDULES[module.SCHEDULE], batch=16)
    short = {
        kind: tuple(replace(one, images=16) for one in getattr(full, kind))
        for kind in ("dense", "pruned")
    }
    monkeypatch.setitem(module.SCHEDULES, module.SCHEDULE, replace(full, **short))
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "ALTERNATIVES", ())
    monkeypatch.setattr(norm_fire, "can_fuse", lambda device: "compiled by other tests")
    monkeypatch.setattr(datasets, "load", lambda name: random_images(60, 32, 1))
    every = module.Variant(ranked=True, gradient=True, zero=True, grouped=True)
    for phase in ("explore", "confirm", "bits"):
        with monkeypatch.context() as patch:
            if phase == "explore":
                patch.setattr(module, "VARIANTS", {"every": every})
            out = ran(module, phase, "--seeds", 1)
        assert re.search(rf"^phase {phase}, seed 1, ", out, re.MULTILINE), phase
    assert re.search(r"^magnitude_more +4 bit  1 ", ran(module, "summary"), re.MULTILINE)


def test_readme_plot(monkeypatch, model):
    module = script("readme_plot")
    monkeypatch.setattr(module, "MODEL", str(model))
    drawn = module.bars()
    assert len(drawn) == 2 * len(module.METHODS)
    assert module.svg(drawn).count("<rect ") == 1 + len(drawn)


def test_resnet18(monkeypatch, ran):
    """On an array that other tests build."""
    module = script("resnet18")
    monkeypatch.setattr(module, "HARDWARE", CONFIGS["three PEs, tiles of 8x8, 8 banks, 256 bits"])
    entry = replace(module.ZOO["ResNet-18"], shape=(3, 16, 16))
    monkeypatch.setattr(module, "ZOO", {"ResNet-18": entry})
    full = module.resnet18
    monkeypatch.setattr(module, "resnet18", lambda: full((4, 4, 4, 4)))
    out = ran(module, "--images", 1)
    assert "cycles; first difference: None" in out


def test_simulation(monkeypatch, model, capsys):
    """The event machine, which other tests build; of the sweep what it says of its program."""
    module = script("simulation")
    monkeypatch.setattr(module, "MACHINES", ("event",))
    module.main(str(model))
    out = capsys.readouterr().out
    assert len(re.findall(r"^event, (?:uticket|lth): [\d,]+ cycles, RTL ", out, re.MULTILINE)) == 2
    config = Config(n_pe=4, ticks=2)
    program = compile_network(quantize(random_ticket(0, layers=POOLED, ticks=2), config), config)
    assert 0 < module.efficiency(program, 10**7, config) < 1


def test_training(monkeypatch, tmp_path):
    module = script("training")
    widths = (3, 4, 4, 4, 4, 4, 512)
    layers = [
        conv(
            f"conv{k + 1}",
            widths[k : k + 2],
            f"conv{k}" if k else IMAGE,
            pool=Pool.MAX2 if k else None,
        )
        for k in range(len(widths) - 1)
    ]
    layers.append(linear("fc", (512, 10), layers[-1].name))
    monkeypatch.setattr(networks, "vgg16", lambda: tuple(layers))
    ticket.save(random_ticket(0, layers=tuple(layers)), tmp_path / "uticket.npz")
    monkeypatch.setattr(module, "PRUNED", tmp_path / "uticket.npz")
    monkeypatch.setattr(norm_fire, "can_fuse", lambda device: "compiled by other tests")
    given = ["--device", "cpu", "--batch", "2", "--ticks", "1", "--steps", "1"]
    found = CliRunner().invoke(module.main, given, catch_exceptions=False)
    assert found.exit_code == 0
    assert "ours, pruned: " in found.output
    assert re.search(r"^ours: [\d.]+ times SpikingJelly$", found.output, re.MULTILINE)
