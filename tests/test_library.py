"""docs/library.md runs as it stands there; the wheel holds what the door needs."""

import doctest
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

import uticket
from sw import ticket
from sw.trained_neuron import TrainedNeuron
from tests.random_networks import random_ticket
from tests.test_event_command import HARDWARE
from tests.test_sim_command import NETWORK

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "library.md"
PACKAGES = ("support", "hw", "sw", "sim", "synth", "uticket", "constraints")


def test_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(
        str(PAGE), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS
    )
    assert result.attempted > 30
    assert result.failed == 0


def test_the_five_lines_name_what_is_there(tmp_path, monkeypatch):
    """They are run, too, with the small ticket for the large one."""
    text = PAGE.read_text().partition("Five lines load")[2]
    block = re.search(r"\n((?:    .*\n)+)", text)[1]
    lines = [line.strip() for line in block.splitlines()]
    assert len(lines) == 5
    monkeypatch.chdir(tmp_path)
    ticket.save(random_ticket(3, layers=NETWORK, n_pe=4, ticks=2), tmp_path / "ticket.npz")
    code = "\n".join(lines).replace(
        '"vgg16_cifar10"', '"ticket.npz", config=uticket.PRESETS["tiny"]'
    )
    exec(code, {"uticket": uticket, "Path": Path})  # noqa: S102 - our own page
    assert (tmp_path / "report" / "report.html").is_file()


@pytest.fixture
def small(tmp_path):
    made = random_ticket(3, layers=NETWORK, policy="random", method="uticket", n_pe=4, ticks=2)
    ticket.save(made, tmp_path / "ticket.npz")
    return uticket.load(tmp_path / "ticket.npz", hardware=uticket.PRESETS["tiny"])


def test_every_name_is_there_and_loads_late():
    assert set(uticket.__all__) == set(uticket._HOMES)
    for name in uticket.__all__:
        assert getattr(uticket, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = uticket.nonsense
    code = "import sys, uticket; print({'numpy', 'torch', 'pandas'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_notebooks_show_tables(small):
    shown = small.estimate()._repr_html_()
    assert shown.startswith("<p>ticket: ")
    assert "<table" in shown
    assert "conv5" in shown
    assert "3x3 convolution of conv1" in small._repr_html_()


def test_check_says_why_a_layer_does_not_run(small):
    one = replace(small.deployment.ticket.network.layers[2], neuron=TrainedNeuron(reset="subtract"))
    network = small.deployment.ticket.network
    layers = (*network.layers[:2], one, *network.layers[3:])
    changed = replace(small.deployment.ticket, network=replace(network, layers=layers))
    found = uticket.Net(replace(small.deployment, ticket=changed), "changed").check()
    assert "subtract" in found.loc["conv3", "sweep"]
    assert found.loc["conv2", "sweep"] is None


def test_compare_is_what_the_estimates_say(small):
    sorted_ = uticket.Net(replace(small.deployment, sort=True), "sorted")
    table = small.compare(sorted_, images=2)
    mine, other = small.estimate(2).totals, sorted_.estimate(2).totals
    for field in ("cycles", "idle", "energy_pj", "accuracy"):
        assert table.loc[field, "ticket"] == mine[field]
        assert table.loc[field, "sorted"] == other[field]
    change = 100 * (other["cycles"] / mine["cycles"] - 1)
    assert table.loc["cycles", "sorted: change, %"] == pytest.approx(change)


def test_images_in_a_row_and_in_batches(small):
    event = small.on(machine="event", tile_side=4, scratchpad_depth=128)
    row = event.estimate(3, overlap=True)
    numbers = row.content["overlap"]
    assert numbers["images"] == 1
    assert f"{numbers['period_cycles']:,} cycles" in row.verdict.splitlines()[1]
    batches = event.estimate(4, batch=2)
    assert (batches.content["batch"]["images"], "overlap" in batches.content) == (4, False)
    with pytest.raises(uticket.BadInput, match=r"--overlap: images = 2, allowed: 3 to 100"):
        event.estimate(2, overlap=True)
    with pytest.raises(uticket.BadInput, match="--batch and --overlap; allowed: one of them"):
        event.estimate(4, overlap=True, batch=2)
    for options in ({"overlap": True}, {"batch": 2}):
        (name,) = options
        with pytest.raises(uticket.BadInput, match=f"--{name}: machine sweep cannot"):
            small.estimate(4, **options)
        with pytest.raises(uticket.BadInput, match=f"compare: {name}; allowed: with `estimate`"):
            event.compare(event, images=4, **options)


def test_rows_and_batches_through_the_rtl_take_what_the_models_said(small):
    event = small.on(**HARDWARE)
    said, proven = event.estimate(3, overlap=True), event.simulate(3, overlap=True)
    checks = ("spikes_match", "counters_match", "cycles_match")
    row = proven.content["overlap"]
    assert [row[name] for name in checks] == [True] * 3
    assert {name: row[name] for name in said.content["overlap"]} == said.content["overlap"]
    assert proven.verdict.startswith("proven: ")
    found = event.simulate(4, batch=2).content["batch"]
    assert [found[name] for name in checks] == [True] * 3
    assert found["images"] == 4
    for options, why in (
        ({"overlap": True}, "images = 1, allowed: 3 to 100"),
        ({"batch": 2}, "images = 1, allowed: a multiple of 2"),
        ({"batch": 2, "overlap": True}, "allowed: one of them"),
    ):
        with pytest.raises(uticket.BadInput, match=why):
            event.simulate(1, **options)
    with pytest.raises(uticket.BadInput, match="--batch: machine sweep cannot"):
        small.simulate(2, batch=2)


def test_images_of_one_s_own_and_bad_ones(small, tmp_path):
    images, labels = small.deployment.test_images(2)
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    by_file = small.estimate(tmp_path / "own.npz").content
    assert by_file == small.estimate(images, labels=labels).content == small.estimate(2).content
    with pytest.raises(uticket.BadInput, match="policy = 'sort'; allowed: random, magnitude"):
        small.balance(policy="sort")
    with pytest.raises(uticket.BadInput, match=r"^labels = int64 \(1,\), allowed: integers \(2,\)"):
        small.estimate(images, labels=labels[:1])
    with pytest.raises(uticket.BadInput, match=r"^images = uint8 \(0, 3, 32, 32\), allowed"):
        small.estimate(images[:0])
    for given in (lambda: small.on(n_pe=65), lambda: small.balance(sparsity=1)):
        with pytest.raises(ValueError, match="allowed"):
            given()


def test_a_module_goes_in_and_its_balanced_masks_come_back():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, stride=2), snntorch.Leaky(0.5, reset_mechanism="zero"),
        nn.Conv2d(8, 8, 3, padding=1, stride=2), snntorch.Leaky(0.5, reset_mechanism="zero"),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    net = uticket.from_torch(module, shape=(2, 8, 8), ticks=4, spikes=True)
    assert net.check()["sweep"].tolist() == [None] * len(net.check())
    spikes = (np.random.default_rng(0).random((2, 4, 2, 8, 8)) < 0.3).astype(np.uint8)
    assert net.estimate(spikes).totals["cycles"] > 0
    sparse = net.balance(n_pe=4, sparsity=0.6)
    uticket.apply_masks(module, sparse.masks)
    for name, mask in sparse.masks.items():
        weight = module.get_submodule(name).weight.detach().numpy()
        assert 0 < mask.sum() < mask.size
        assert np.array_equal(weight != 0, mask)


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
        "import support.files, uticket, synth.boards\n"
        "assert support.files.__file__.startswith(sys.argv[1])\n"
        "uticket.load_table('32nm-hp'); synth.boards.board('arty_a7')\n"
        "print(support.files.BUILD)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path / "site")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "build")


def test_a_sim_py_of_the_user_s_is_hidden_and_named(wheel, tmp_path):
    """Or refused in one line, where it is loaded already."""
    wheel.extractall(tmp_path / "site")
    (tmp_path / "sim.py").write_text("MINE = True\n")
    (tmp_path / "after.py").write_text("import uticket\nprint(uticket.load_table().name)\n")
    (tmp_path / "before.py").write_text("import sim\nimport uticket\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}

    def run(script):
        return subprocess.run(
            [sys.executable, tmp_path / script],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    after = run("after.py")
    assert (after.returncode, after.stdout) == (0, "32nm\n"), after.stderr
    assert f"{tmp_path / 'sim.py'} is hidden by uticket's package 'sim'" in after.stderr
    before = run("before.py")
    assert before.returncode == 1
    assert before.stderr.splitlines()[-1] == (
        f"ImportError: 'sim' is loaded from {tmp_path / 'sim.py'}; uticket has a package of that name: "
        "import uticket first, or rename that file"
    )
