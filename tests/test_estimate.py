"""`uticket estimate` says of a network what a run of the RTL says; own images; own technology."""

import json

import numpy as np
import pytest
import yaml

from hw.config import MACHINES, PRESETS
from sim.deployment import Deployment
from sim.estimate import estimate
from sim.images import first_images, read_images
from sim.models.eq3 import energies
from sim.models.technology import FOLDER, known
from sim.reports import run_report
from support.errors import BadInput
from sw import ticket
from sw.layers import IMAGE, Encoding, Input, Network, Pool, Reduce, conv, identity, linear
from tests.random_networks import random_ticket, shortcut

BLOCKS = (
    conv("conv1", (3, 8), IMAGE, pool=Pool.MAX2),
    conv("conv2", (8, 6), "conv1", stride=2),
    conv("conv3", (6, 6), "conv2", more=(shortcut("conv3_shortcut", 8, "conv1", stride=2),)),
    conv("conv4", (6, 6), "conv3", more=(identity("conv4_identity", "conv3", 6),)),
    conv("conv5", (6, 7), "conv4", stride=2, pool=Pool.MAX2),
    conv("conv6", (7, 9), "conv5", kernel=1, reduce=Reduce.MEAN),
    linear("fc", (9, 10), "conv6"),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = random_ticket(5, layers=BLOCKS, policy="random", n_pe=4, ticks=2, density=0.3)
    path = tmp_path_factory.mktemp("estimate") / "blocks.npz"
    ticket.save(made, path)
    return path


def test_an_estimate_is_what_the_rtl_does(path):
    """Every figure that both have: cycles and accumulates as the RTL counted them, energies of those."""
    deployment = Deployment.load(str(path), config=PRESETS["tiny"])
    images, labels = first_images("cifar10", 2)
    proven = deployment.run(images, jobs=1)
    assert proven.mismatch is None
    report = run_report.build("blocks", proven, None, labels).content
    found = estimate(deployment, images, labels=labels)

    for row, measured in zip(found.layers, report["layers"], strict=True):
        assert row["name"] == measured["name"]
        assert row["cycles"] == measured["rtl_cycles"]
        assert row["bound_cycles"] == measured["rtl_bound_cycles"]
        for field in set(row) & set(measured):
            assert row[field] == measured[field], (row["name"], field)
    mine, theirs = found.totals, report["totals"]
    assert mine["cycles"] == theirs["rtl_cycles"] > 1000
    assert mine["accuracy"] == theirs["rtl_accuracy"]
    common = set(mine) & set(theirs)
    assert {"predictions", "energy", "input_sparsity", "input_cycles", "work"} < common
    assert {field: mine[field] for field in common} == {field: theirs[field] for field in common}
    by_component = report["components"]["methods"]["random"]["rtl"]["total_pj"]
    assert mine["energy_pj"] == pytest.approx(by_component, rel=1e-12)
    assert mine["ms"] == pytest.approx(theirs["rtl_cycles"] / 400e3)
    assert mine["images_per_s"] * mine["ms"] == pytest.approx(1000)


def test_the_command_builds_nothing(path, run, tmp_path, monkeypatch):
    def no_rtl(*_):
        pytest.fail("an estimate built the RTL")

    monkeypatch.setattr("sim.rtl.harness.Rtl.__init__", no_rtl)
    out = tmp_path / "estimate.json"
    status, said, err = run(
        "estimate", path, "--hardware", _tiny(tmp_path), "--clock", 100, "--json", out
    )
    assert (status, err) == (0, "")
    content = json.loads(out.read_text())
    assert content["schema"] == "uticket-estimate-1"
    assert content["hardware"]["n_pe"] == 4
    assert content["technology"] == {"eq3": "paper", "components": "32nm"}
    assert content["totals"]["ms"] == pytest.approx(content["totals"]["cycles"] / 100e3)
    assert f"{content['totals']['cycles']:,} cycles an image" in said.splitlines()[-1]
    assert [line.split()[0] for line in said.splitlines()[2:-2]] == [
        row["name"] for row in content["layers"]
    ]


def _tiny(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text("preset: tiny\n")
    return path


def test_own_images_with_and_without_labels(path, run, tmp_path):
    images, labels = first_images("cifar10", 2)
    own, out = tmp_path / "own.npz", tmp_path / "own.json"
    arguments = ("estimate", path, "--hardware", _tiny(tmp_path), "--images")
    np.savez(own, images=images, labels=labels)
    assert run(*arguments, own, "--json", out)[0] == 0
    mine = json.loads(out.read_text())
    assert run(*arguments, 2, "--json", out)[0] == 0
    assert json.loads(out.read_text()) == mine
    np.savez(own, images=images[1:])
    assert run(*arguments, own, "--json", out)[0] == 0
    other = json.loads(out.read_text())
    assert (other["images"], other["totals"]["accuracy"]) == (1, None)
    assert other["totals"]["predictions"] == mine["totals"]["predictions"][1:]
    assert other["totals"]["accumulates"] != mine["totals"]["accumulates"]


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"pixels": np.zeros(3)}, "images is missing"),
        ({"images": np.zeros((1, 3, 32, 32))}, "images = float64 (1, 3, 32, 32), allowed: uint8"),
        ({"images": np.zeros((1, 1, 28, 28), np.uint8)}, "allowed: uint8 (N, 3, 32, 32)"),
        ({"images": np.zeros((0, 3, 32, 32), np.uint8)}, "N at least 1"),
        (
            {"images": np.zeros((2, 3, 32, 32), np.uint8), "labels": np.zeros(3, int)},
            "labels = int64 (3,), allowed: integers (2,)",
        ),
        ({"images": np.array([{}])}, "not an .npz file, or a damaged one"),
    ],
)
def test_images_that_do_not_fit_are_refused(path, run, tmp_path, arrays, told):
    own = tmp_path / "own.npz"
    np.savez(own, **arrays)
    status, _, err = run("estimate", path, "--images", own, "--json", tmp_path / "out.json")
    assert status == 2
    assert err.count("\n") == 1
    assert err.startswith(f"uticket: error: {own}: ")
    assert told in err
    assert not (tmp_path / "out.json").exists()


def test_grey_images_and_spikes(tmp_path):
    layers = (conv("conv1", (1, 2), IMAGE), linear("fc", (2 * 16, 3), "conv1"))
    grey = Network(input=Input(shape=(1, 4, 4), mean=(0.0,), std=(1.0,)), layers=layers)
    events = Network(input=Input(shape=(1, 4, 4), encoding=Encoding.SPIKES), layers=layers)
    own = tmp_path / "own.npz"
    np.savez(own, images=np.ones((5, 4, 4), np.uint8))
    assert read_images(own, grey, 2)[0].shape == (5, 1, 4, 4)
    with pytest.raises(BadInput, match=r"allowed: uint8 \(N, 2, 1, 4, 4\)"):
        read_images(own, events, 2)
    np.savez(own, images=np.ones((5, 2, 1, 4, 4), bool))
    assert read_images(own, events, 2)[0].dtype == np.uint8
    np.savez(own, images=np.full((5, 2, 1, 4, 4), 2, np.uint8))
    with pytest.raises(BadInput, match="images hold 2; allowed: spikes, 0 or 1"):
        read_images(own, events, 2)


def test_a_technology_of_one_s_own(path, run, tmp_path):
    """Twice the energy and half the clock of 32nm; the folder's own name for the rest."""
    content = yaml.safe_load((FOLDER / "32nm.yaml").read_text())
    for row in content["components"].values():
        for part in ("dynamic", "write", "ungated", "leakage"):
            if part in row:
                row[part]["value"] *= 2
    content["clock_mhz"] = 200
    for row in content["components"].values():
        row["leakage"]["value"] /= 2  # a cycle is twice as long
    mine, out = tmp_path / "mine.yaml", tmp_path / "out.json"
    mine.write_text(yaml.safe_dump(content))
    arguments = ("estimate", path, "--hardware", _tiny(tmp_path), "--json", out, "--technology")
    assert run(*arguments, "32nm")[0] == 0
    known_one = json.loads(out.read_text())
    assert run(*arguments, mine)[0] == 0
    found = json.loads(out.read_text())
    assert found["technology"] == {"eq3": str(mine), "components": str(mine)}
    assert found["clock_mhz"] == 200
    totals, before = found["totals"], known_one["totals"]
    assert totals["energy_pj"] == pytest.approx(2 * before["energy_pj"])
    assert totals["energy"] == pytest.approx(before["energy"])  # in units of its own E_dyn
    assert totals["ms"] == pytest.approx(2 * before["ms"])
    assert str(mine) not in known()


def test_the_event_machine_has_cycles_and_energies_of_its_own(path, run, tmp_path):
    out = tmp_path / "out.json"
    status, said, _ = run("estimate", path, "--machine", "event", "--images", 2, "--json", out)
    assert status == 0
    totals = json.loads(out.read_text())["totals"]
    assert totals["cycles_min"] < totals["cycles_max"]  # they are an image's
    assert totals["energy_pj"] > 0
    assert f"PEs {1e-6 * totals['energy_pj']:.4g} uJ (32nm)" in said.splitlines()[-1]


def test_both_machines_are_one_table_and_one_json(path, run, tmp_path):
    alone = {}
    for machine in MACHINES:
        out = tmp_path / f"{machine}.json"
        run("estimate", path, "--machine", machine, "--json", out)
        alone[machine] = json.loads(out.read_text())
    out = tmp_path / "both.json"
    status, said, _ = run("estimate", path, "--machine", "both", "--json", out)
    assert status == 0
    content = json.loads(out.read_text())
    assert content == {
        "schema": "uticket-machines-1",
        "model": alone["sweep"]["model"],
        "machines": alone,
    }
    (row,) = (line.split() for line in said.splitlines() if line.startswith("total"))
    cycles = [alone[machine]["totals"]["cycles"] for machine in MACHINES]
    assert row[2:4] == [f"{count:,}" for count in cycles]
    assert float(row[4]) == pytest.approx(cycles[0] / cycles[1], abs=0.005)
    told = [line for line in said.splitlines() if "nothing was built" in line]
    assert [line.partition(":")[0] for line in told] == list(MACHINES)


def test_an_unknown_machine_is_one_line(path, run, tmp_path):
    out = tmp_path / "out.json"
    status, _, err = run("estimate", path, "--machine", "systolic", "--json", out)
    assert (status, err) == (
        2,
        "uticket: error: machine = 'systolic', allowed: sweep, event, both\n",
    )
    assert not out.exists()


def test_constants_of_one_s_own_are_eq_3_s_alone(tmp_path):
    action = {"per": "step", "source": "measured"}
    mine = tmp_path / "mine.yaml"
    constants = {"accumulate": {"energy": 1.0, **action}, "leak": {"energy": 0.5, **action}}
    mine.write_text(yaml.safe_dump({"kind": "constants", "actions": constants}))
    found = energies(str(mine))
    assert (found.eq3.leak, found.table.name) == (0.5, "32nm")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: constants\nactions: {}\n", "mine.yaml: actions.accumulate"),
        ("kind: atoms\n", "mine.yaml: "),
        ("a: [", "mine.yaml: not YAML"),
        ("kind: variant\nbase: paper\n", "base = 'paper'; allowed: 32nm"),
    ],
)
@pytest.mark.parametrize("command", ["estimate", "sim"])
def test_a_bad_technology_is_one_line(path, run, tmp_path, command, text, told):
    mine = tmp_path / "mine.yaml"
    mine.write_text(text)
    status, _, err = run(command, path, "--technology", mine)
    assert status == 2
    assert err.count("\n") == 1
    assert told in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--images", "0"], "'0'; allowed: a whole number, at least 1, or an .npz file"),
        (["--images", "no.npz"], "no.npz"),
        (["--technology", "7nm"], "unknown technology '7nm'; known: 32nm"),
        (["--clock", "0"], "clock = 0.0 MHz"),
        (["--clock", "nan"], "clock = nan MHz"),
        (["--n-pe", "65"], "n_pe = 65, allowed: 1 to 64"),
        (["--json", "no/where.json"], "there is no folder"),
    ],
)
def test_bad_options_are_one_line(path, run, arguments, told):
    status, _, err = run("estimate", path, *arguments)
    assert status == 2
    assert err.count("\n") == 1
    assert told in err
