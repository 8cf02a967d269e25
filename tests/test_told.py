"""What commands and the library tell of a wrong, damaged or unusual input: what is meant, once, and what is allowed."""

from dataclasses import replace

import nir
import numpy as np
import pytest

import uticket
from hw.config import PRESETS
from sim.catalog import load_hardware
from support.errors import BadInput
from sw import ticket
from tests.random_networks import POOLED, random_ticket

GIVEN = ("--input", "2,4,4", "--ticks", "10", "--dt", "1", "--reset", "subtract")


@pytest.fixture
def small(tmp_path):
    """A ticket of two ticks, in a file."""
    path = tmp_path / "small.npz"
    ticket.save(random_ticket(3, layers=POOLED, n_pe=4, ticks=2), path)
    return path


def network(path, leaks):
    """A NIR file of convolutions, then a linear layer on 2x2."""
    rng, nodes, side, channels = np.random.default_rng(0), [], 4, 2
    for number, leak in enumerate(leaks):
        last, one = number == len(leaks) - 1, np.ones(())
        weight = rng.normal(0.2, 0.4, (3, channels, 3, 3)).astype(np.float32)
        if last:
            nodes.append(nir.Flatten({"input": np.array([channels, side, side])}, 0))
            weight = rng.normal(0.2, 0.4, (3, channels * side * side)).astype(np.float32)
            nodes.append(nir.Affine(weight, np.zeros(3)))
        else:
            stride = 2 if side == 4 else 1
            nodes.append(nir.Conv2d((side, side), weight, stride, 1, 1, 1, np.zeros(3)))
            side, channels = side // stride, 3
        tau = np.full((3,) if last else (3, side, side), 1 / (1 - np.float32(leak)))
        one = np.ones_like(tau)
        nodes.append(nir.LIF(tau=tau, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one))
    nir.write(path, nir.NIRGraph.from_list(*nodes))
    return path


def test_a_cut_ticket_is_damaged_not_masks(run, small, tmp_path):
    cut = tmp_path / "cut.npz"
    cut.write_bytes(small.read_bytes()[:2000])
    for command in (("estimate", cut), ("balance", cut, tmp_path / "out.npz"), ("analyze", cut)):
        status, _, said = run(*command)
        assert status == 2
        assert "cut.npz: not an .npz file, or a damaged one" in said
        assert "--maps" not in said


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ((), "--maps is missing, the sides of the layers' maps; allowed: one a layer, in order: a"),
        (("--maps", "4"), "--input-sparsity is missing, the share of steps without a spike"),
        (("--method", "lth"), "--method lth with masks; allowed: with a MODEL"),
    ],
)
def test_masks_without_what_they_do_not_say(run, tmp_path, options, wanted):
    np.savez(tmp_path / "m.npz", a=np.ones((4, 2, 3, 3), bool))
    status, _, said = run("estimate", tmp_path / "m.npz", *options)
    assert status == 2
    assert wanted in said


def test_a_layer_that_balancing_leaves_alone_is_named_and_nothing_was_cleared(run, tmp_path):
    few, plenty = np.zeros((16, 20), bool), np.zeros((16, 20), bool)
    few[:2, :3] = plenty[:, :4] = True
    plenty[0] = True
    np.savez(tmp_path / "m.npz", few=few, plenty=plenty)
    status, _, said = run("balance", tmp_path / "m.npz", tmp_path / "out.npz", "--n-pe", 16)
    assert status == 0
    assert "few: not balanced, since rounding would take its last weight" in said
    assert "plenty: not" not in said
    assert "weights to clear, since all magnitudes are equal: plenty\n" in said
    assert np.load(tmp_path / "out.npz")["few"].sum() == 6


def test_balancing_a_ticket_names_a_layer_left_alone(run, tmp_path):
    made = random_ticket(3, layers=POOLED, density=0.01, n_pe=16, ticks=2)
    ticket.save(made, tmp_path / "thin.npz")
    _, _, said = run("balance", tmp_path / "thin.npz", tmp_path / "out.npz", "--n-pe", 16)
    after = ticket.load(tmp_path / "out.npz").masks
    left = [
        name
        for name, mask in made.masks.items()
        if 0 < mask.sum() <= len(mask) / 2 and np.array_equal(mask, after[name])
    ]
    assert left
    for name in made.masks:
        assert (f"{name}: not balanced" in said) == (name in left)


def test_ticks_are_the_ticket_s_unless_the_file_says_them(run, small, tmp_path):
    file = tmp_path / "paper.yaml"
    file.write_text("preset: paper\n")
    assert uticket.load(small, hardware=file).config.ticks == 2
    status, _, _ = run("estimate", small, "--hardware", file)
    assert status == 0
    assert load_hardware(file, PRESETS["tiny"]) == PRESETS["paper"]  # without anything to run
    file.write_text("preset: paper\nticks: 4\n")
    _, _, said = run("estimate", small, "--hardware", file)
    assert "the ticket has 2 ticks, the hardware 4" in said


def test_an_unknown_field_of_hardware_lists_them(small):
    net = uticket.load(small)
    for wrong in (lambda: net.on(npe=8), lambda: uticket.load(small, npe=8)):
        with pytest.raises(BadInput, match=r"unknown field 'npe'; allowed: n_pe, ticks, "):
            wrong()


def test_a_net_is_one_line(small):
    text = repr(uticket.load(small))
    nnz = ticket.load(small).metadata["nnz"]
    assert text == f"<Net small: 5 layers with {nnz:,} weights on the array, 4 PEs, machine sweep>"


def test_show_rounds_and_says_what_targets_there_were(run, tmp_path):
    _, printed, _ = run("show", "resnet19_cifar10")
    lines = dict(line.split(None, 1) for line in printed.splitlines() if "  " in line)
    assert lines["policy"] == "magnitude, targets exact"
    assert len(lines["epochs"]) <= 7
    assert len(lines["weight_sparsity"]) <= 8
    old = ticket.load("tickets/resnet19_cifar10/uticket.npz")
    history = [dict(row) for row in old.metadata["history"]]
    history[-1]["target"] = "ranked"  # a rule of an earlier recipe
    metadata = {**old.metadata, "history": history}
    ticket.save(replace(old, metadata=metadata), tmp_path / "old.npz")
    _, printed, _ = run("show", tmp_path / "old.npz")
    assert "magnitude, targets exact, then ranked" in printed


def test_an_import_s_notes_are_a_line_of_verdict_and_agreement(run, tmp_path):
    file, out = network(tmp_path / "net.nir", [0.5, 0.5]), tmp_path / "net.npz"
    np.savez(tmp_path / "x.npz", images=np.full((2, 2, 4, 4), 99, np.uint8))
    status, _, _ = run("import", file, out, *GIVEN, "--images", tmp_path / "x.npz")
    assert status == 0
    _, printed, _ = run("show", out)
    (line,) = [line for line in printed.splitlines() if line.startswith("notes")]
    assert line.startswith("notes               imported, verdict exact; ")
    assert line.endswith(" of predictions equal floats's")
    assert len(line) < 120
    _, _, said = run("estimate", out)
    assert "this ticket names no data set; give --images FILE.npz (in Python images=)" in said


def test_the_sweep_says_all_that_it_lacks(run, tmp_path):
    file, out = network(tmp_path / "net.nir", [0.5, 0.5, 0.5]), tmp_path / "net.npz"
    assert run("import", file, out, *GIVEN)[0] == 0
    np.savez(tmp_path / "x.npz", images=np.zeros((1, 2, 4, 4), np.uint8))
    status, _, said = run("estimate", out, "--machine", "sweep", "--images", tmp_path / "x.npz")
    assert status == 2
    assert said.endswith(
        "the sweep machine cannot run this ticket: 10 ticks wanted; the array has up to 4; conv2d, conv2d_1, "
        "affine: reset = subtract wanted; the array has zero; allowed: machine event\n"
    )


def test_a_rounded_leak_is_shown_as_it_became_and_its_reason_once(run, tmp_path):
    file, out = network(tmp_path / "net.nir", [0.9] * 12), tmp_path / "net.npz"
    status, _, said = run("check", file, *GIVEN)
    assert status == 2
    assert "leak 0.9 wanted" in said
    assert "(--round-leak; import also needs --accept)" in said
    status, printed, said = run("import", file, out, *GIVEN, "--round-leak")
    assert status == 2
    assert "    leak                0.898438  (rounded from 0.9)" in printed
    assert said.count("rounded to 0.898438") == 1
    assert "conv2d, conv2d_1, " in said
    assert ", conv2d_10, affine: leak 0.9 rounded to 0.898438" in said
    assert " ... " not in said


def test_a_linear_layer_that_became_a_kernel_is_called_linear(run, tmp_path):
    file = network(tmp_path / "net.nir", [0.5, 0.5])
    _, printed, _ = run("check", file, *GIVEN)
    assert "affine: linear of conv2d (as a 3x3 convolution), 3 filters" in printed


def test_a_python_file_without_a_function(run, tmp_path):
    _, _, said = run("check", tmp_path / "my_model.py", "--input", "3", "--ticks", 2)
    assert f"my_model.py names no function; allowed: {tmp_path / 'my_model.py'}:FUNCTION" in said
