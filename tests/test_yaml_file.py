"""YAML that is damaged, explodes, or holds what is wanted nowhere: one line, soon."""

import time
from pathlib import Path

import pytest

from sim.cli import main
from sim.explore.spec import load_spec
from support.errors import BadInput
from support.yaml_file import MAX_BYTES, read

ROOT = Path(__file__).resolve().parent.parent
LTH = ROOT / "tickets" / "vgg16_cifar10" / "lth.npz"
MODEL = f"network: vgg16\ndataset: cifar10\nmethods:\n  lth: {LTH}\n"
DOUBLING = "a0: &a0 [x, x]\n" + "".join(
    f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n" for k in range(1, 60)
)


def refusal(tmp_path, text, function=read):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    started = time.monotonic()
    with pytest.raises(BadInput, match=r"a\.yaml") as error:
        function(path)
    assert time.monotonic() - started < 20
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 5000, "nested deeper than 20"),
        ("{a: " * 5000, "nested deeper than 20"),
        (DOUBLING, "more than 20,000 values"),
        ("a: &a [*a]", "*a stands in what it names"),
        ("x" * (MAX_BYTES + 1), "too long"),
        ("a: 1\nb: 2\na: 3\n", "key 'a' is given twice"),
        ("b: {a: 1, 'a': 3}", "key 'a' is given twice"),
        ("a: !!bool perhaps", "not YAML"),
        ("a: !!int ''", "not YAML"),
        (f"a: {'9' * 5000}", "not YAML"),
        ("? [a, b]\n: 1", "not YAML"),
        ("a: *nothing", "not YAML"),
        ("a: !!python/object/apply:os.system [true]", "not YAML"),
    ],
)
def test_what_is_no_plain_yaml_is_one_line(text, told, tmp_path):
    assert told in refusal(tmp_path, text)


def test_a_file_that_never_ends_is_not_read_whole():
    with pytest.raises(BadInput, match="too long"):
        read(Path("/dev/zero"))


def test_words_stay_words_and_aliases_work(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("yes: no\non: &x [off, true, 2001-99-99]\nb: *x\n")
    there = ["off", True, "2001-99-99"]
    assert read(path) == {"yes": "no", "on": there, "b": there}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (MODEL + "baseline: [lth]\n", "baseline = ['lth']; allowed: lth"),
        (MODEL + "baseline: true\n", "baseline = True; allowed: lth"),
        (MODEL + "schedule: [cpu]\n", "schedule = ['cpu']; allowed: a name"),
        (MODEL + "schedule: yes\n", "yes"),
        (MODEL.replace("lth:", "1:"), "key 1; allowed: a name"),
        (MODEL + "hardware: []\n", "hardware holds []"),
        (MODEL + "hardware: {leak_mode: [shift]}\n", "leak_mode = ['shift']"),
        (MODEL + "hardware: {machine: {a: 1}}\n", "machine = {'a': 1}"),
        (MODEL + "hardware: {n_pe: [1]}\n", "n_pe = [1], allowed: a whole number"),
        (MODEL + "hardware: {1: 2}\n", "key 1; allowed: a name"),
    ],
)
def test_structures_of_the_wrong_type_in_a_model(text, told, tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["program", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert told in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("network: [[vgg16]]", "network = ['vgg16']"),
        ("network: yes", "network = 'yes'"),
        ("policy: [{a: 1}]", "policy = {'a': 1}"),
        ("n_pe: [2147483648]", "n_pe = 2147483648; allowed: 1 to 64"),
        (
            f"sparsity: {[k / 9000 for k in range(9000)]}\nn_pe: {list(range(1, 65))}",
            "1,728,000 points; allowed: at most 1,000,000",
        ),
    ],
)
def test_structures_of_the_wrong_type_in_a_sweep(text, told, tmp_path):
    assert told in refusal(tmp_path, text, load_spec)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["balance", LTH, "out.npz", "--policy", "none", "--seed", "1"],
            "--seed with --policy none",
        ),
        (["balance", "m.npz", "out.npz", "--policy", "sort", "--target", "ceil"], "--target with"),
        (["sweep", "a.yaml", "--jobs", "2", "--scheduler", "tcp://a:1"], "--jobs with --scheduler"),
        (["synth", "--rivals", "--pe-only"], "--pe-only with --rivals"),
    ],
)
def test_options_that_the_mode_ignores_are_refused(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    assert (ended.value.code, told in capsys.readouterr().err) == (2, True)
    assert list(tmp_path.iterdir()) == []
