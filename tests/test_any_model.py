"""MODEL means the same everywhere: a name, a YAML or a ticket; balance and analyze take tickets, too."""

import json

import numpy as np
import pytest

from hw.config import PRESETS
from sim import catalog
from sim.deployment import Deployment
from sim.images import first_images
from sw import golden, ticket
from sw.balance import filter_nnz
from tests.random_networks import random_ticket
from tests.test_estimate import BLOCKS

YAML = """
network: small
dataset: cifar10
methods: {uticket: uticket.npz, lth: lth.npz, sort: {ticket: lth.npz, policy: sort}}
hardware: {preset: tiny}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for method, policy in (("uticket", "random"), ("lth", "none")):
        made = random_ticket(
            3, layers=BLOCKS, policy=policy, method=method, n_pe=4, ticks=2, density=0.3
        )
        ticket.save(made, folder / f"{method}.npz")
    (folder / "small.yaml").write_text(YAML)
    return folder


@pytest.mark.parametrize(
    ("command", "after"),
    [
        ("show", []),
        ("analyze", []),
        ("estimate", []),
        ("evaluate", ["--images", "2"]),
        ("balance", ["{out}.npz"]),
        ("unpack", ["{out}.npz"]),
        ("program", ["--out", "{out}"]),
    ],
)
def test_a_name_a_yaml_and_a_ticket_are_the_same(
    folder, run, tmp_path, monkeypatch, command, after
):
    """A name is the YAML of that name in tickets/; --method picks the ticket of either."""
    monkeypatch.setattr(catalog, "TICKETS", folder)
    after = [one.format(out=tmp_path / "out") for one in after]
    by_name = run(command, "small", *after)
    by_yaml = run(command, folder / "small.yaml", *after)
    by_method = run(command, folder / "small.yaml", "--method", "lth", *after)
    hardware = ["--hardware", _tiny(tmp_path)] if command in ("estimate", "program") else []
    by_ticket = run(command, folder / "lth.npz", *hardware, *after)
    for status, _, err in (by_name, by_yaml, by_method, by_ticket):
        assert status in (0, 1 if command == "evaluate" else 0), err
    assert _figures(by_name) == _figures(by_yaml)
    assert _figures(by_method) == _figures(by_ticket)
    if command not in ("evaluate", "unpack"):  # which print too little to tell tickets apart
        assert _figures(by_method) != _figures(by_yaml)


def _tiny(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text("preset: tiny\n")
    return path


def _figures(result):
    """What was printed, without the names in titles; or files, where those are the result."""
    lines = result[1].splitlines()
    written = [
        line.split()[-2].rstrip(":") for line in lines if "wrote" in line and "beats" in line
    ]
    return (
        [line for line in lines[1:] if "wrote" not in line]
        + [line for line in lines if "wrote" in line]
        + written
    )


@pytest.mark.parametrize("method", ["uticket", "lth", "sort"])
def test_analyze_of_a_ticket_is_what_the_array_does(folder, run, tmp_path, method):
    """Not compiled, and equal to the workload of the program, shortcuts and averages included."""
    out = tmp_path / "out.json"
    assert run("analyze", folder / "small.yaml", "--method", method, "--json", out)[0] == 0
    deployed = Deployment.load(str(folder / "small.yaml"), method)
    assert json.loads(out.read_text())["layers"] == [vars(row) for row in deployed.workload]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["analyze", "{t}", "--maps", "8"], "--maps with a ticket"),
        (["analyze", "{t}", "--ticks", "8"], "--ticks with a ticket"),
        (["analyze", "{m}", "--method", "lth"], "--method lth with masks"),
        (["balance", "{m}", "{o}", "--method", "lth"], "--method lth with masks"),
        (["balance", "{t}", "{o}", "--policy", "sort"], "--policy sort of a ticket"),
        (["balance", "{t}", "{o}", "--sparsity", "0.1"], "sparsity = 0.1; allowed: 0."),
        (["balance", "{t}", "{o}", "--sparsity", "1"], "sparsity = 1.0; allowed: 0."),
        (["balance", "{t}", "{t}/no.npz"], "there is no folder"),
        (["balance", "{m}", "{o}", "--sparsity", "0.9"], "which do not say what is small"),
        (["show", "{t}", "--method", "lth"], "METHOD 'lth' of a ticket"),
        (["show", "alexnet"], "unknown MODEL 'alexnet'; allowed: "),
        (["evaluate", "{t}", "--images", "{i}"], "labels are missing"),
    ],
)
def test_bad_arguments_are_one_line(folder, run, tmp_path, arguments, told):
    names = {"t": folder / "uticket.npz", "o": tmp_path / "out.npz"}
    names |= {"m": tmp_path / "m.npz", "i": tmp_path / "i.npz"}
    np.savez(names["m"], a=np.eye(4))
    np.savez(names["i"], images=first_images("cifar10", 1)[0])
    status, _, err = run(*(one.format(**names) for one in arguments))
    assert status == 2
    assert err.count("\n") == 1
    assert told in err
    assert not names["o"].exists()


def test_evaluate_takes_images_of_one_s_own(folder, run, tmp_path):
    """Three images, labelled by the golden model's own answers for two of them."""
    deployed = Deployment.load(str(folder / "small.yaml"))
    images, _ = first_images("cifar10", 3)
    answers = []
    for spikes in deployed.spikes(images):
        last = deployed.network.array[-1].name
        answers.append(golden.predict(golden.run(deployed.network, spikes)[last].output))
    answers[1] += 1
    np.savez(tmp_path / "i.npz", images=images, labels=np.array(answers))
    status, out, _ = run("evaluate", folder / "small.yaml", "--images", tmp_path / "i.npz")
    assert status == 0
    found = dict(line.split()[:2] for line in out.splitlines() if line.split()[0] != "step")
    assert float(found["accuracy_quantized"]) == pytest.approx(2 / 3, abs=1e-5)
    assert found["test_images"] == "3"


def test_a_sparse_ticket_is_balanced_by_what_it_has(folder, run, tmp_path):
    """No weight appears; no filter has more than its group's mean; what stays keeps its value."""
    out = tmp_path / "out.npz"
    status, said, err = run("balance", folder / "small.yaml", out, "--method", "lth")
    assert status == 0
    assert "no training: 0 weights pruned, " in said
    assert "weights not added, the ticket has no values for them" in err
    before, after = ticket.load(folder / "lth.npz"), ticket.load(out)
    for old, new in zip(before.array, after.array, strict=True):
        assert not np.any(new.mask & ~old.mask)
        assert np.array_equal(new.weight, np.where(new.mask, old.weight, 0))
        for start in range(0, len(old.mask), 4):
            had, has = (filter_nnz(one.mask[start : start + 4]) for one in (old, new))
            assert has.max() <= np.ceil(had.mean()) + 1  # a carry of rounding
    assert after.metadata["nnz"] == sum(int(p.mask.sum()) for p in after.array)
    assert "accuracy" not in after.metadata
    assert (after.metadata["rounds"], after.metadata["policy"]) == (0, "magnitude")
    assert Deployment.load(str(out), config=PRESETS["tiny"]).totals.latency < (
        Deployment.load(str(folder / "lth.npz"), config=PRESETS["tiny"]).totals.latency
    )


def test_pruning_cuts_the_smallest_and_balancing_restores_the_largest_of_those(run, tmp_path):
    dense = random_ticket(7, layers=BLOCKS, n_pe=4, ticks=2, density=1.0, rounds=0)
    ticket.save(dense, tmp_path / "dense.npz")
    out = tmp_path / "out.npz"
    status, said, err = run(
        "balance", tmp_path / "dense.npz", out, "--sparsity", "0.7", "--n-pe", "4"
    )
    assert (status, err) == (0, "")  # every weight has a value: none is missing
    assert "0 restored" not in said
    after = ticket.load(out)
    assert after.metadata["weight_sparsity"] == pytest.approx(0.7, abs=0.01)
    assert after.metadata["n_pe"] == 4
    for old, new in zip(dense.array, after.array, strict=True):
        assert np.array_equal(new.weight, np.where(new.mask, old.weight, 0))
        for start in range(0, len(old.mask), 4):
            group = slice(start, start + 4)
            assert np.ptp(filter_nnz(new.mask[group])) == 0
            for weight, mask in zip(old.weight[group], new.mask[group], strict=True):
                if 0 < mask.sum() < mask.size:
                    assert np.abs(weight[mask]).min() >= np.abs(weight[~mask]).max()


def test_what_loses_all_its_weights_is_named(run, tmp_path):
    """Layer b is far smaller than a; the second group of a, too."""
    rng = np.random.default_rng(0)
    a = rng.normal(10, 1, (8, 5))
    a[4:] /= 1e3
    np.savez(tmp_path / "w.npz", a=a, b=rng.normal(0, 1e-3, (4, 5)))
    arguments = ("balance", tmp_path / "w.npz", tmp_path / "o.npz", "--n-pe", 4, "--sparsity", 0.7)
    status, _, err = run(*arguments)
    assert status == 0
    assert "warning: a, filters 4 to 7: no weights are left" in err
    assert "warning: b: no weights are left" in err
    with np.load(tmp_path / "o.npz") as masks:
        assert masks["a"].dtype == bool
        assert masks["a"][:4].sum() == 16  # 18 of them, in four filters alike


def test_masks_without_maps_say_that_they_count_one_position(run, tmp_path):
    np.savez(tmp_path / "m.npz", conv=np.ones((4, 2, 3, 3)))
    assert "without --maps every layer counts one position" in run("analyze", tmp_path / "m.npz")[2]
    assert run("analyze", tmp_path / "m.npz", "--maps", "8")[2] == ""
    np.savez(tmp_path / "m.npz", fc=np.ones((4, 2)))
    assert run("analyze", tmp_path / "m.npz")[2] == ""
