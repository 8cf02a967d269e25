"""`uticket estimate MASKS`: cycles of masks alone are those of the network that they are of."""

import json
from functools import partial

import numpy as np
import pytest

from hw.config import PRESETS
from sim.deployment import Deployment
from sim.models.eq3 import load_technology
from sw import ticket
from sw.layers import IMAGE, Pool, conv, linear
from tests.random_networks import random_ticket

PLAIN = (
    conv("conv1", (3, 8), IMAGE, pool=Pool.MAX2),
    conv("conv2", (8, 6), "conv1", pool=Pool.MAX2),
    conv("conv3", (6, 5), "conv2"),
    conv("conv4", (5, 9), "conv3", kernel=1, pool=Pool.MAX2),
    conv("conv5", (9, 9), "conv4", pool=Pool.MAX2),
    conv("conv6", (9, 7), "conv5", pool=Pool.MAX2),
    linear("fc1", (7, 12), "conv6", neuron=conv("", (1, 1), IMAGE).neuron),
    linear("fc2", (12, 10), "fc1"),
)
MAPS = "16,8,8,4,2,1,1"


@pytest.fixture
def run(run):
    return partial(run, "estimate")


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text("preset: tiny\n")
    return path


def test_cycles_are_those_of_the_whole_network(run, tiny, tmp_path):
    made = random_ticket(3, layers=PLAIN, n_pe=4, ticks=2)
    ticket.save(made, tmp_path / "whole.npz")
    np.savez(tmp_path / "masks.npz", **made.masks)
    whole = Deployment.load(str(tmp_path / "whole.npz"), config=PRESETS["tiny"])
    out = tmp_path / "out.json"
    arguments = ("--hardware", tiny, "--maps", MAPS, "--input-sparsity", "0.8", "--json", out)
    status, said, err = run(tmp_path / "masks.npz", *arguments)
    assert (status, err) == (0, "")
    found = json.loads(out.read_text())
    assert [row["cycles"] for row in found["layers"]] == [row.cycles for row in whole.cycles]
    for row, load in zip(found["layers"], whole.workload, strict=True):
        assert {name: row[name] for name in vars(load)} == vars(load)
        active = row["work"] * (1 - 0.8)
        leak = load_technology().leak
        assert row["energy"] == pytest.approx(active + (row["work"] + row["idle"]) * leak)
    totals = found["totals"]
    assert totals["cycles"] == sum(row.cycles for row in whole.cycles)
    assert totals["spike_sparsity"] == pytest.approx(0.8)
    assert totals["ms"] == pytest.approx(totals["cycles"] / 400e3)
    assert found["images"] is None
    assert "spikes as given, not seen" in said.splitlines()[-1]


def test_a_sparsity_a_layer_and_an_order(run, tiny, tmp_path):
    """Energy follows the spikes, cycles do not; an order changes cycles as sorting does."""
    rng = np.random.default_rng(0)
    mask = (
        rng.random((8, 6, 3, 3))
        < np.linspace(0.1, 0.9, 8)[[0, 7, 1, 6, 2, 5, 3, 4], None, None, None]
    )
    order = np.argsort(-mask.sum(axis=(1, 2, 3)), kind="stable")
    found = {}
    for name, extra, share in (
        ("plain", {}, "0.9,0.5"),
        ("spiking", {}, "0.1,0.5"),
        ("sorted", {"a.order": order}, "0.9,0.5"),
    ):
        np.savez(tmp_path / "m.npz", a=mask, b=np.ones((8, 8, 1, 1)), **extra)
        out = tmp_path / "out.json"
        arguments = ("--hardware", tiny, "--maps", "8,8", "--input-sparsity", share, "--json", out)
        assert run(tmp_path / "m.npz", *arguments)[0] == 0
        found[name] = json.loads(out.read_text())["layers"]
    (a, b), (c, d), (e, _) = found["plain"], found["spiking"], found["sorted"]
    assert a["cycles"] == c["cycles"] > e["cycles"]
    assert c["energy_pj"] > a["energy_pj"]
    assert b == d


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--maps", "8"], "holds masks: --input-sparsity is missing"),
        (["--input-sparsity", "0.5"], "holds masks: --maps is missing"),
        (["--maps", "8", "--input-sparsity", "2"], "input sparsity of a = 2.0; allowed: 0 to 1"),
        (["--maps", "8", "--input-sparsity", "nan"], "input sparsity of a = nan"),
        (["--maps", "8", "--input-sparsity", "x"], "--input-sparsity x; allowed: numbers"),
        (
            ["--maps", "8", "--input-sparsity", "0,0"],
            "2 for 1 layers; allowed: one, or one a layer",
        ),
        (["--maps", "8,8", "--input-sparsity", "0"], "2 sides for 1 layers"),
        (["--maps", "65", "--input-sparsity", "0"], "a map of side 65; the array has 1 to 64"),
        (["--maps", "8", "--input-sparsity", "0", "--method", "lth"], "--method lth with masks"),
        (["--maps", "8", "--input-sparsity", "0", "--batch", "2"], "--batch 2 with masks"),
        (["--maps", "8", "--input-sparsity", "0", "--overlap"], "--overlap with masks"),
        (["--maps", "8", "--input-sparsity", "0", "--machine", "event"], "allowed: sweep"),
    ],
)
def test_bad_options_are_one_line(run, tmp_path, options, told):
    np.savez(tmp_path / "m.npz", a=np.ones((2, 2, 3, 3)))
    status, out, err = run(tmp_path / "m.npz", *options)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert told in err
