"""`uticket analyze` and `uticket balance`, as a user calls them."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

LAYER_KEYS = [
    "name", "filters", "nnz", "parameters", "positions", "work", "idle", "latency", "utilization",
    "occupancy",
]  # fmt: skip


@pytest.fixture
def masks(tmp_path):
    """A file of two layers: a 3x3 convolution of six filters and a classifier of two."""
    conv = np.zeros((6, 4, 3, 3), np.float32)
    for filter_, nnz in enumerate([4, 2, 2, 0, 3, 1]):
        conv[filter_].flat[:nnz] = -0.5
    path = tmp_path / "masks.npz"
    np.savez(path, conv2=conv, fc=np.array([[True, False], [True, True]]))
    return path


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def refused(result, *parts):
    """Status 2, and one line on stderr that holds every part."""
    status, out, err = result
    assert status == 2
    assert out == ""
    assert err.startswith("uticket: error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err
    return True


def test_analyze_writes_the_definitions(run, masks, tmp_path):
    path = tmp_path / "report.json"
    status, out, err = run(
        "analyze", masks, "--n-pe", 4, "--ticks", 2, "--maps", "3,1", "--json", path
    )
    assert (status, err) == (0, "")
    report = json.loads(path.read_text())
    assert list(report) == ["layers", "totals"]
    conv, fc = report["layers"]
    assert list(conv) == LAYER_KEYS
    assert conv == {
        "name": "conv2",
        "filters": 6,
        "nnz": 12,
        "parameters": 216,
        "positions": 9,
        "work": 216,
        "idle": 4 * 126 - 216,
        "latency": 126,
        "utilization": pytest.approx(2 / 9),
        "occupancy": pytest.approx(12 / 28),
    }
    assert (fc["nnz"], fc["work"], fc["latency"], fc["idle"]) == (3, 6, 4, 10)
    assert fc["utilization"] == pytest.approx(1 - (2 - 0.75) / 2 * 4 / 3)
    total = report["totals"]
    assert (total["work"], total["latency"], total["idle"]) == (222, 130, 298)
    assert total["weight_sparsity"] == pytest.approx(1 - 15 / 220)
    assert total["utilization"] == pytest.approx(
        (216 * conv["utilization"] + 4 * fc["utilization"]) / 220
    )
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["layer", "conv2", "fc", "total"]
    assert " ".join(out.splitlines()[2].split()) == "conv2 6 12 9 216 288 126 0.2222 0.4286"


def test_analyze_defaults_to_the_paper_s_array_and_maps_of_one(run, masks, tmp_path):
    path = tmp_path / "report.json"
    assert run("analyze", masks, "--json", path)[0] == 0
    conv = json.loads(path.read_text())["layers"][0]
    assert (conv["positions"], conv["work"], conv["idle"]) == (1, 4 * 12, 4 * (16 * 4 - 12))


def test_analyze_applies_an_order_and_ignores_a_score(run, tmp_path):
    path = tmp_path / "report.json"
    layer = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 1]])
    latency = {}
    for name, extra in {"plain": {}, "ordered": {"a.order": np.array([2, 0, 1, 3])}}.items():
        file = save(tmp_path / "m.npz", a=layer, **extra, **{"a.score": np.array(["no", "score"])})
        assert run("analyze", file, "--n-pe", 2, "--ticks", 1, "--json", path)[0] == 0
        report = json.loads(path.read_text())
        assert len(report["layers"]) == 1
        latency[name] = report["totals"]["latency"]
    assert latency == {"plain": 2 + 3, "ordered": 3 + 1}


def test_analyze_has_null_for_a_layer_without_weights(run, tmp_path):
    path = tmp_path / "report.json"
    file = save(tmp_path / "m.npz", empty=np.zeros((3, 5)), full=np.ones((4, 5)))
    status, out, _ = run("analyze", file, "--n-pe", 4, "--json", path)
    assert status == 0
    empty = json.loads(path.read_text())["layers"][0]
    assert (empty["work"], empty["utilization"], empty["occupancy"]) == (0, None, None)
    assert json.loads(path.read_text())["totals"]["utilization"] == 1
    assert "NaN" not in path.read_text()
    assert out.splitlines()[2].split()[-2:] == ["-", "-"]


def test_layers_may_have_any_name(run, tmp_path):
    names = ["file", "[red]x", "features.0.weight", "a/b"]
    source, out = tmp_path / "m.npz", tmp_path / "out.npz"
    with zipfile.ZipFile(source, "w") as archive:
        for name in names:
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.ones((2, 2)))
    status, text, _ = run("analyze", source)
    assert status == 0
    assert [line.split()[0] for line in text.splitlines()[2:-1]] == names
    assert run("balance", source, out, "--policy", "random")[0] == 0
    with np.load(out) as archive:
        assert archive.files == names


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4), "conv3 has shape (4,); allowed: (K, C) or (K, C, kh, kw)"),
        (np.zeros((2, 2, 3)), "conv3 has shape (2, 2, 3)"),
        (np.zeros((0, 2)), "conv3 has shape (0, 2)"),
        (np.array([[1, np.nan]]), "conv3 holds NaN or infinity"),
        (np.array([[1, np.inf]], np.float16), "conv3 holds NaN or infinity"),
        (np.array([["a", "b"]]), "conv3 holds <U1; allowed: booleans, integers, floats"),
        (np.array([[1j]]), "conv3 holds complex128"),
        (np.array([[{}]]), "conv3 cannot be read"),
    ],
)
@pytest.mark.parametrize("command", ["analyze", "balance"])
def test_bad_arrays_are_refused_by_name(run, tmp_path, command, array, message):
    file = save(tmp_path / "bad.npz", conv2=np.ones((2, 2)), conv3=array)
    out = [tmp_path / "out.npz"] if command == "balance" else []
    assert refused(run(command, file, *out), "bad.npz: ", message)
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    "order", [[0, 1], [0, 1, 1], [1, 2, 3], [[0, 1, 2]], 0, [0.0, 1.0, 2.0], [-1, 0, 1]]
)
def test_an_order_that_is_no_permutation_is_refused(run, tmp_path, order):
    file = save(tmp_path / "bad.npz", a=np.ones((3, 2)), **{"a.order": np.array(order)})
    assert refused(run("analyze", file), "a.order is no permutation", "0 to 2")


def test_an_order_without_its_layer_is_refused(run, tmp_path):
    file = save(tmp_path / "bad.npz", a=np.ones((3, 2)), **{"b.order": np.arange(3)})
    assert refused(run("analyze", file), "b.order: there is no layer 'b'")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and nothing more", b"\x80\x04N."])
def test_a_file_that_is_no_npz_is_refused(run, tmp_path, content):
    file = tmp_path / "masks.npz"
    file.write_bytes(content)
    assert refused(run("analyze", file), "masks.npz: not an .npz file")


def test_a_single_array_is_refused(run, tmp_path):
    np.save(tmp_path / "one.npy", np.ones((2, 2)))
    assert refused(run("analyze", tmp_path / "one.npy"), "one.npy: ", "an .npz file")


def test_a_file_without_arrays_is_refused(run, tmp_path):
    assert refused(run("analyze", save(tmp_path / "none.npz")), "none.npz: no arrays")


def test_a_damaged_file_is_refused(run, masks):
    whole = masks.read_bytes()
    for part in (b"'descr'", b"\0\0\0\xbf"):  # in the header of an array, and in its data
        masks.write_bytes(whole.replace(part, part[::-1], 1))
        assert refused(run("analyze", masks), "masks.npz: conv2 cannot be read")
    masks.write_bytes(whole[:300])
    assert refused(run("analyze", masks), "masks.npz: not an .npz file")


def test_missing_files_and_folders_are_named(run, masks, tmp_path):
    assert refused(run("analyze", tmp_path / "no.npz"), "no.npz: No such file or directory")
    assert refused(run("analyze", tmp_path), "Is a directory")
    target = tmp_path / "no" / "report.json"
    assert refused(run("analyze", masks, "--json", target), f"{target}: No such file")
    assert refused(run("balance", masks, tmp_path), f"{tmp_path}: Is a directory")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--n-pe", "0"], ["--n-pe", "x<="]),
        (["--n-pe", "many"], ["--n-pe", "many"]),
        (["--ticks", "-1"], ["--ticks", "x<="]),
        (["--maps", "8"], ["--maps: 1 sides for 2 layers", "conv2, fc"]),
        (["--maps", "8,4,2"], ["--maps: 3 sides for 2 layers"]),
        (["--maps", "8,"], ["--maps: ''", "whole numbers, 1 to 4096"]),
        (["--maps", "8,0"], ["--maps: '0'"]),
        (["--maps", "8,1.5"], ["--maps: '1.5'"]),
        (["--what"], ["--what"]),
    ],
)
def test_bad_options_are_refused(run, masks, arguments, parts):
    assert refused(run("analyze", masks, *arguments), *parts)


def test_bad_policies_and_commands_are_refused(run, masks, tmp_path):
    out = tmp_path / "out.npz"
    assert refused(run("balance", masks, out, "--policy", "best"), "best", "magnitude")
    assert refused(run("balance", masks, out, "--target", "floor"), "floor", "exact", "ceil")
    assert refused(run("balance", masks, out, "--seed", "-1"), "--seed", "x>=0")
    assert refused(run("balance", masks), "OUT")
    assert refused(run("unbalance"), "unbalance")


def test_help_is_there_for_every_command(run):
    status, out, _ = run("--help")
    assert status == 0
    assert "analyze" in out
    assert "balance" in out
    for name in ("analyze", "balance"):
        status, out, _ = run(name, "--help")
        assert status == 0
        assert f"Usage: uticket {name}" in out


def layers_of(path):
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.mark.parametrize("policy", ["none", "sort", "random", "magnitude"])
def test_balance_writes_boolean_masks_in_their_own_order(run, masks, tmp_path, policy):
    out = tmp_path / "out.npz"
    assert run("balance", masks, out, "--n-pe", 3, "--policy", policy)[0] == 0
    before, after = layers_of(masks), layers_of(out)
    for name, values in before.items():
        assert after[name].dtype == bool
        assert after[name].shape == values.shape
    if policy in ("none", "sort"):
        assert np.array_equal(after["conv2"], before["conv2"] != 0)
    else:
        assert np.count_nonzero(after["conv2"], (1, 2, 3)).tolist() == [3, 3, 3, 1, 1, 1]
    assert ("conv2.order" in after) == (policy == "sort")


def test_sort_writes_new_position_to_channel(run, masks, tmp_path):
    out = tmp_path / "out.npz"
    assert run("balance", masks, out, "--policy", "sort")[0] == 0
    assert layers_of(out)["conv2.order"].tolist() == [0, 4, 1, 2, 5, 3]
    assert layers_of(out)["fc.order"].tolist() == [1, 0]


def test_ceil_adds_weights(run, masks, tmp_path):
    out = tmp_path / "out.npz"
    run("balance", masks, out, "--n-pe", 4, "--policy", "random", "--target", "ceil")
    assert np.count_nonzero(layers_of(out)["conv2"], (1, 2, 3)).tolist() == [2] * 6
    assert np.count_nonzero(layers_of(out)["fc"], 1).tolist() == [2, 2]


def test_balance_groups_filters_in_the_given_order_and_keeps_it(run, tmp_path):
    order = np.array([3, 0, 2, 1])
    mask = np.arange(8) < np.array([[4], [1], [3], [2]])  # grouped: 2 4 | 3 1
    file = save(tmp_path / "m.npz", a=mask, **{"a.order": order})
    assert run("balance", file, tmp_path / "out.npz", "--n-pe", 2, "--policy", "random")[0] == 0
    out = layers_of(tmp_path / "out.npz")
    assert out["a"].sum(1).tolist() == [3, 2, 2, 3]
    assert np.array_equal(out["a.order"], order)


def test_magnitude_uses_weights_and_score_and_says_nothing(run, tmp_path):
    weights = np.array([[3.0, -1, 2, 0], [0, 0, 0, 9]])
    score = np.array([[0.0, 0, 0, 0], [1, -5, 2, 0]])
    file = save(tmp_path / "m.npz", a=weights, **{"a.score": score})
    status, _, err = run("balance", file, tmp_path / "out.npz", "--n-pe", 2)
    assert (status, err) == (0, "")
    assert layers_of(tmp_path / "out.npz")["a"].tolist() == [
        [True, False, True, False],
        [False, True, False, True],
    ]


def test_magnitude_says_what_it_draws_from_the_seed(run, tmp_path):
    mask = np.random.default_rng(0).random((8, 50)) < np.linspace(0.1, 0.9, 8)[:, None]
    file = save(tmp_path / "m.npz", a=mask, b=mask.astype(np.float32))
    results = []
    for seed in (1, 1, 2):
        out = tmp_path / f"out{len(results)}.npz"
        status, _, err = run("balance", file, out, "--n-pe", 8, "--seed", seed)
        assert status == 0
        assert (
            f"picked at random (seed {seed}), weights to set, since no scores are given: a, b"
            in err
        )
        assert f"(seed {seed}), weights to clear, since all magnitudes are equal: a, b" in err
        results.append(out.read_bytes())
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_a_score_must_fit_its_layer(run, tmp_path):
    out = tmp_path / "out.npz"
    for score, message in (
        (np.ones((2, 3)), "a.score has shape (2, 3)"),
        (np.full((2, 2), np.nan), "a.score holds NaN"),
    ):
        file = save(tmp_path / "m.npz", a=np.ones((2, 2)), **{"a.score": score})
        assert refused(run("balance", file, out, "--policy", "magnitude"), message)


def test_an_error_is_one_line_whatever_the_name(run, tmp_path):
    assert refused(run("analyze", save(tmp_path / "m.npz", **{"a\nb": np.ones(2)})), "a b has")


def test_output_is_replaced_at_once(run, masks, tmp_path):
    out = tmp_path / "out.npz"
    out.write_bytes(b"old")
    with out.open("rb") as reader:
        assert run("balance", masks, out, "--policy", "none")[0] == 0
        assert reader.read() == b"old"


def test_output_may_replace_the_input(run, masks):
    assert run("balance", masks, masks, "--policy", "sort")[0] == 0
    assert layers_of(masks)["conv2"].dtype == bool


def test_a_failed_write_leaves_the_old_file_and_nothing_else(run, masks, tmp_path, monkeypatch):
    out = tmp_path / "out.npz"
    out.write_bytes(b"old")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    assert refused(run("balance", masks, out, "--policy", "none"), "No space left")
    assert out.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["masks.npz", "out.npz"]


def test_the_whole_command_is_plain_text_and_never_loads_torch(masks):
    code = (
        "import sys; from sim.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "analyze", masks, "--maps", "3,1"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert result.stderr == "False\n"
    assert result.stdout.isascii()
    assert "\x1b" not in result.stdout
