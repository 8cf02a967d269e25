"""`uticket sim`, as a user calls it, on a small network and the tiny array."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sim.rtl.harness
from hw.config import PRESETS
from hw.counters import COUNTERS, CYCLES
from sim import deployment
from sim.deployment import LOWERING, Deployment
from sim.images import first_images
from sim.models import cycles
from sim.models.eq3 import load_technology
from sim.rtl import checks, runner
from sim.rtl.harness import RtlError
from support import files
from support.errors import BadInput
from sw import golden, ticket
from sw.floats import FLOAT_PASSES
from sw.layers import IMAGE, Pool, Reduce, conv, identity, linear
from sw.quantize import quantize
from tests.random_networks import POOLED, random_ticket, shortcut

NETWORK = POOLED
ARRAY = [layer.name for layer in NETWORK[1:]]
YAML = """
network: small
dataset: cifar10
methods: {uticket: uticket.npz, lth: lth.npz, sort: {ticket: lth.npz, policy: sort}}
baseline: lth
hardware: {preset: tiny}
"""


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    """A folder with small.yaml and its tickets."""
    folder = tmp_path_factory.mktemp("tickets")
    for method, policy in (("uticket", "random"), ("lth", "none")):
        made = random_ticket(
            3, layers=NETWORK, policy=policy, method=method, n_pe=4, ticks=2, density=0.3
        )
        ticket.save(made, folder / f"{method}.npz")
    (folder / "small.yaml").write_text(YAML)
    return folder


@pytest.fixture
def uticket_drawing(tickets, tmp_path, monkeypatch, run):
    """Run `uticket sim` in this process, reports below tmp_path: (status, stdout, stderr)."""
    monkeypatch.setattr(files, "BUILD", tmp_path)

    def called(*arguments, model=tickets / "small.yaml"):
        return run("sim", model, *arguments)

    return called


@pytest.fixture
def uticket(uticket_drawing, undrawn):
    return uticket_drawing


def report(tmp_path):
    return json.loads((tmp_path / "sim" / "small" / "report.json").read_text())


def reports_there(tmp_path):
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def refused(result, *parts, status=2):
    """The status, and one line on stderr that holds every part."""
    code, _, err = result
    assert code == status
    assert err.startswith("uticket: error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err
    return True


def test_a_run_proves_reports_and_dumps(uticket_drawing, tmp_path, tickets):
    status, out, err = uticket_drawing(
        "--json", tmp_path / "copy.json", "--dump", tmp_path / "maps"
    )
    assert (status, err) == (0, "")
    lines = out.splitlines()
    steps = 5 + LOWERING  # load, every pass from ticket to program, build, cycles, run, report
    assert [line.split()[1] for line in lines[:steps]] == [
        f"{k}/{steps}" for k in range(1, steps + 1)
    ]
    passes = [one.__name__.replace("_", " ") for one in FLOAT_PASSES]
    assert [line.split(" ", 2)[2] for line in lines[1 : 1 + len(passes)]] == passes
    assert len(lines) == steps + 2 + 2 * len(ARRAY) + 2 + 1  # title and header, layers, totals
    content = report(tmp_path)
    assert json.loads((tmp_path / "copy.json").read_text()) == content
    assert (content["model"], content["method"], content["images"]) == ("small", "uticket", 1)
    assert [layer["name"] for layer in content["layers"]] == ARRAY
    checked = content["checks"]
    outputs = 2 * (6 * 8 * 8 + 5 * 4 * 4 + 9 * 2 * 2 + 7 + 10)
    assert checked == {
        "spikes_match": True,
        "cycles_match": True,
        "counters_match": True,
        "outputs_compared": 2 * outputs,  # of both methods
    }
    counters = 2 * len(ARRAY) * 4 * len(COUNTERS)
    assert lines[-1].startswith(
        f"proven: {2 * outputs:,} output values (lth, uticket; 1 image) equal the golden model's, "
        f"{counters} counters of 4 PEs"
    )
    assert content["baseline"]["method"] == "lth"
    total, other = content["totals"], content["baseline"]["totals"]
    assert content["reduction"]["latency"] == pytest.approx(1 - total["latency"] / other["latency"])
    assert content["reduction"]["energy"] == pytest.approx(1 - total["energy"] / other["energy"])
    assert total["predictions"] != []
    assert total["labels"] == [1]

    # The maps are what the golden model computes from the ticket, in the network's own order.
    network = quantize(ticket.load(tickets / "uticket.npz"), PRESETS["tiny"])
    spikes = golden.first_layer_spikes(network, first_images("cifar10", 1)[0])[0]
    with np.load(tmp_path / "maps" / "image_000.npz") as maps:
        assert maps.files == [f"{name}.{what}" for name in ARRAY for what in ("input", "output")]
        for name, expected in golden.run(network, spikes).items():
            assert maps[f"{name}.input"].dtype == np.uint8
            assert maps[f"{name}.output"].dtype == (np.int32 if name == "fc" else np.uint8)
            assert np.array_equal(maps[f"{name}.input"], expected.inputs[name])
            assert np.array_equal(maps[f"{name}.output"], expected.output)
        assert golden.predict(maps["fc.output"]) == total["predictions"][0]


def test_images_of_one_s_own_without_labels(uticket, tmp_path, tickets):
    """The second test image: proven, reported without accuracy, and counted in a technology of one's own."""
    images, _ = first_images("cifar10", 2)
    np.savez(tmp_path / "own.npz", images=images[1:])
    mine = tmp_path / "mine.yaml"
    mine.write_text("kind: variant\nbase: 32nm\nungated: [adder]\n")
    status, out, err = uticket("--images", tmp_path / "own.npz", "--technology", mine)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].startswith("proven: ")
    own = report(tmp_path)
    assert uticket("--images", "2")[0] == 0
    both = report(tmp_path)
    totals = own["totals"]
    assert (own["images"], totals["labels"], totals["rtl_accuracy"]) == (1, None, None)
    assert totals["predictions"] == both["totals"]["predictions"][1:]
    assert own["components"]["technology"] == own["components"]["eq3"] == str(mine)
    assert totals["energy"] > both["totals"]["energy"]


BLOCKS = (
    conv("conv1", (3, 8), IMAGE, pool=Pool.MAX2),
    conv("conv2", (8, 6), "conv1", stride=2),
    conv("conv3", (6, 6), "conv2", more=(shortcut("conv3_shortcut", 8, "conv1", stride=2),)),
    conv("conv4", (6, 9), "conv3"),
    conv("conv5", (9, 6), "conv4", pool=Pool.MAX2, more=(identity("i", "conv3", 6),)),
    conv("fc1", (6, 7), "conv5", kernel=1, reduce=Reduce.MEAN),
    linear("fc2", (7, 10), "fc1"),
)


@pytest.mark.parametrize("method", ["lth", "sort"])
def test_shortcuts_have_rows_and_their_hosts_the_cycles(uticket, tmp_path, method):
    """Sorted too: an identity adds its channel wherever that one was loaded."""
    path = tmp_path / "ticket.npz"
    ticket.save(random_ticket(5, layers=BLOCKS, method="lth", n_pe=4, ticks=2), path)
    tiny = tmp_path / "tiny.yaml"
    tiny.write_text("preset: tiny")
    status, _, err = uticket(
        "--hardware", tiny, "--method", method, "--dump", tmp_path / "maps", model=path
    )
    assert (status, err) == (0, "")
    content = json.loads((tmp_path / "sim" / "ticket" / "report.json").read_text())
    rows = {row["name"]: row for row in content["layers"]}
    assert list(rows) == [source.name for layer in BLOCKS[1:] for source in layer.learned]
    network = quantize(ticket.load(path), PRESETS["tiny"])
    spikes = golden.first_layer_spikes(network, first_images("cifar10", 1)[0])[0]
    expected = golden.run(network, spikes)
    for host, name in ((i.name, source.name) for i in network.array for source in i.learned):
        row, positions = rows[name], {"conv2": 64, "fc1": 16, "fc2": 1}.get(name, 64)
        assert row["positions"] == positions
        assert row["work"] == 2 * positions * row["nnz"]
        assert row["accumulates"] == expected[host].filter_accumulates[name].sum()
        assert (row["rtl_cycles"] == 0) == (row["model_cycles"] == 0) == (name == "conv3_shortcut")
    with (tmp_path / "sim" / "ticket" / "counters.csv").open() as file:
        counters = list(csv.DictReader(file))
    added = sum(float(c["stall_shortcut"]) for c in counters if c["layer"] == "conv5")
    assert added == 6 * 64  # one weight a filter, at every position
    spikes_added = sum(float(c["shortcut_accumulates"]) for c in counters)
    assert spikes_added == expected["conv3"].output.sum() > 0
    with np.load(tmp_path / "maps" / "image_000.npz") as maps:
        assert "conv3_shortcut.input" in maps.files
        assert "conv3_shortcut.output" not in maps.files
        assert np.array_equal(maps["fc1.output"], expected["fc1"].output)


def test_several_images_run_in_processes(uticket, tmp_path):
    assert uticket("--images", 4, "--method", "sort", "--dump", tmp_path / "maps")[0] == 0
    content = report(tmp_path)
    assert content["ticket"]["policy"] == "sort"
    assert len(set(content["totals"]["predictions"])) > 1
    assert content["totals"]["labels"] == [1, 5, 2, 3]
    assert sorted(p.name for p in (tmp_path / "maps").iterdir()) == [
        f"image_00{i}.npz" for i in range(4)
    ]
    predicted = []
    for path in sorted((tmp_path / "maps").iterdir()):
        with np.load(path) as maps:
            predicted.append(golden.predict(maps["fc.output"]))
    assert content["totals"]["predictions"] == predicted
    right = np.equal(content["totals"]["predictions"], content["totals"]["labels"]).mean()
    assert content["totals"]["rtl_accuracy"] == pytest.approx(right)
    # sort reorders the baseline: the same weights, the same outputs, never slower
    other = content["baseline"]["totals"]
    for name in ("work", "nnz", "accumulates", "predictions"):
        assert content["totals"][name] == other[name]
    assert content["totals"]["latency"] <= other["latency"]


def test_the_baseline_itself_has_no_baseline(uticket, tmp_path):
    assert uticket("--method", "lth")[0] == 0
    content = report(tmp_path)
    assert content["baseline"] is None
    assert content["reduction"] == {"latency": None, "energy": None}


def test_a_ticket_runs_by_itself(uticket, tmp_path, tickets):
    hardware = tmp_path / "tiny.yaml"
    hardware.write_text("preset: tiny\n")
    status, _, err = uticket("--hardware", hardware, model=tickets / "lth.npz")
    assert (status, err) == (0, "")
    content = json.loads((tmp_path / "sim" / "lth" / "report.json").read_text())
    assert (content["model"], content["method"], content["baseline"]) == ("lth", "lth", None)


def wrong_spike(layer, place, monkeypatch):
    """The golden model, one output value of a layer flipped."""
    right = golden.run

    def wrong(network, spikes):
        results = right(network, spikes)
        output = results[layer].output.copy()
        output[place] ^= 1
        return {**results, layer: replace(results[layer], output=output)}

    monkeypatch.setattr(golden, "run", wrong)


def test_a_wrong_spike_fails_the_run_and_is_named(uticket, tmp_path, monkeypatch):
    wrong_spike("conv3", (1, 2, 3, 0), monkeypatch)
    status, out, _ = uticket()
    assert status == 1
    last = out.splitlines()[-1]
    assert last.startswith("mismatch: uticket, image 0: conv3, tick 1, channel 2, y 3, x 0: RTL ")
    assert last.endswith("(1 of 160 values differ)")
    checked = report(tmp_path)["checks"]
    assert checked["spikes_match"] is False
    assert checked["cycles_match"] is True
    assert "mismatch" in (tmp_path / "sim" / "small" / "report.html").read_text()


def test_a_wrong_result_of_the_classifier_fails_the_run(uticket, monkeypatch):
    wrong_spike("fc", (1, 9), monkeypatch)
    status, out, _ = uticket("--method", "lth")
    assert status == 1
    assert "mismatch: lth, image 0: fc, tick 1, channel 9: RTL " in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_spikes": -1}, "input, spikes: RTL -1, model "),
        ({"input": np.zeros((2, 8, 16, 16), np.uint8)}, "input of conv2 as stored, tick "),
        ({"input": np.zeros((2, 8, 8, 8), np.uint8)}, "RTL has the shape (2, 8, 8, 8), golden "),
    ],
)
def test_a_wrong_input_fails_the_run(uticket, tmp_path, monkeypatch, change, message):
    right = sim.rtl.harness.Rtl.run
    monkeypatch.setattr(
        sim.rtl.harness.Rtl, "run", lambda *a, **options: replace(right(*a, **options), **change)
    )
    status, out, _ = uticket("--method", "lth")
    assert status == 1
    assert message in out.splitlines()[-1]
    assert report(tmp_path)["checks"]["spikes_match"] is False


def test_categories_that_do_not_add_up_fail_the_run(uticket, monkeypatch):
    right = sim.rtl.harness.Rtl.run

    def wrong(*arguments, **options):
        run = right(*arguments, **options)
        layers = [replace(layer, cycles=layer.cycles + 1) for layer in run.layers]
        return replace(run, layers=tuple(layers))

    monkeypatch.setattr(sim.rtl.harness.Rtl, "run", wrong)
    status, out, _ = uticket("--method", "lth")
    assert status == 1
    assert "conv2, PE 0, cycles: RTL " in out.splitlines()[-1]


@pytest.mark.parametrize("counter", CYCLES)
def test_a_wrong_category_fails_the_run(uticket, tmp_path, monkeypatch, counter):
    right = cycles.predict

    def wrong(program):
        layers = right(program)
        layers[1].counters[counter][2] += 1
        return layers

    monkeypatch.setattr(cycles, "predict", wrong)
    status, out, _ = uticket("--method", "lth")
    assert status == 1
    assert f"mismatch: lth, image 0: conv3, PE 2, {counter}: RTL " in out
    checked = report(tmp_path)["checks"]
    assert (checked["spikes_match"], checked["counters_match"]) == (True, False)


@pytest.mark.parametrize("name", ["steps", "accumulates"])
def test_a_wrong_count_of_steps_fails_the_run(uticket, tmp_path, monkeypatch, name):
    right = checks.expected_steps

    def wrong(*arguments):
        counts = right(*arguments)
        counts[name][3] -= 1
        return counts

    monkeypatch.setattr(checks, "expected_steps", wrong)
    status, out, _ = uticket("--method", "lth")
    assert status == 1
    assert f"conv2, PE 3, {name}: RTL " in out
    assert report(tmp_path)["checks"]["counters_match"] is False


def test_wrong_cycles_of_a_layer_fail_the_run(uticket, tmp_path, monkeypatch):
    right = cycles.predict

    def wrong(program):
        layers = right(program)
        return [*layers[:-1], replace(layers[-1], cycles=layers[-1].cycles + 1)]

    monkeypatch.setattr(cycles, "predict", wrong)
    status, out, _ = uticket("--method", "lth")
    assert status == 1
    assert "mismatch: lth, image 0: fc, cycles: RTL " in out
    assert report(tmp_path)["checks"]["cycles_match"] is False


def test_wrong_input_cycles_fail_the_run(uticket, tmp_path, monkeypatch):
    right = cycles.input_cycles
    monkeypatch.setattr(cycles, "input_cycles", lambda *arguments: right(*arguments) + 1)
    status, out, _ = uticket("--method", "lth")
    assert status == 1
    assert "mismatch: lth, image 0: input, cycles: RTL " in out
    assert report(tmp_path)["checks"]["cycles_match"] is False


def test_images_whose_cycles_differ_fail_the_run(uticket, tmp_path, monkeypatch):
    right = runner.run_images

    def wrong(*arguments, **options):
        ((first, last),) = right(*arguments, **options)
        slower = replace(last, cycles=(last.cycles[0], last.cycles[1] + 1, *last.cycles[2:]))
        return [(first, slower)]

    monkeypatch.setattr(runner, "run_images", wrong)
    status, out, _ = uticket("--method", "lth", "--images", 2)
    assert status == 1
    assert "mismatch: lth: conv3, cycles: image 0 takes " in out
    assert report(tmp_path)["checks"]["cycles_match"] is False


def test_an_rtl_that_hangs_is_one_line_and_no_report(uticket, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "max_cycles", lambda _, predicted: predicted[0].cycles // 2)
    result = uticket()
    assert refused(result, "neither finished nor raised an error", status=1)
    assert reports_there(tmp_path) == []


def die(*_):
    os._exit(1)


def test_a_process_that_dies_is_one_line(uticket, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_work", die)
    assert refused(uticket("--images", 2), "a process that ran the RTL died of status 1", status=1)
    assert reports_there(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--method", "dense"], ["unknown METHOD 'dense'", "uticket, lth, sort"]),
        (["--images", "0"], ["--images", "'0'; allowed: a whole number, at least 1"]),
        (["--images", "20000"], ["IMAGES = 20000"]),
        (["--n-pe", "0"], ["n_pe = 0, allowed: 1 to 64"]),
        (["--n-pe", "many"], ["--n-pe"]),
        (["--trace", "conv9"], ["--trace conv9", "allowed: conv2, conv3, conv4, conv5, fc"]),
        (["--json", "/no/such/r.json"], ["there is no folder /no/such"]),
        (["--dump", "/no/such/folder"], ["there is no folder /no/such"]),
        (["--hardware", "/no/such.yaml"], ["/no/such.yaml: no such file"]),
    ],
)
def test_bad_options_are_one_line_and_no_report(uticket, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.setenv("UTICKET_DATA", str(tmp_path))
    assert refused(uticket(*arguments), *parts)
    assert reports_there(tmp_path) == []


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ("buffer_depth: 16", ["layer conv1", "needs", "bits", "there are"]),
        ("ticks: 4", ["the ticket has 2 ticks, the hardware 4"]),
        ("leak_shift: 3", ["layer conv1 was trained with leak = 0.25"]),
        ("depth: 16", ["unknown field 'depth'"]),
    ],
)
def test_hardware_that_does_not_fit_is_one_line(uticket, tmp_path, fields, parts):
    (tmp_path / "hardware").mkdir()
    path = tmp_path / "hardware" / "h.yaml"
    path.write_text(fields)
    assert refused(uticket("--hardware", path), *parts)
    assert reports_there(tmp_path) == [path]


def test_a_damaged_ticket_is_one_line(uticket, tickets, tmp_path):
    whole = (tickets / "lth.npz").read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(whole[: len(whole) // 2])
    assert refused(uticket(model=path), "cut.npz: not a ticket file, or a damaged one")
    assert refused(uticket(model="alexnet"), "unknown MODEL 'alexnet'", "vgg16_cifar10")


def test_a_missing_header_of_waveforms_names_its_package(uticket, monkeypatch):
    right = sim.rtl.harness.Rtl

    def missing(config, *, trace=False):
        if trace:
            raise BadInput("verilator failed: fatal error: lz4.h: No such file or directory")
        return right(config)

    monkeypatch.setattr(runner, "Rtl", missing)
    assert refused(uticket("--trace", "conv3"), "apt-get install liblz4-dev")


def test_the_traced_layer_is_that_of_the_first_image(tickets, tmp_path):
    """What is asked of the RTL: the program, the image's spikes, the layer's number."""
    asked = {}

    class Recorder:
        def run(self, program, spikes, *, max_cycles, trace):
            asked.update(program=program, spikes=spikes, trace=trace)

    deployed = Deployment.load(str(tickets / "small.yaml"), "lth")
    image = deployed.test_images(1)[0][0]
    path = tmp_path / "new" / "conv4.fst"
    runner.trace_layer(Recorder(), deployed.loaded, image, "conv4", path)
    assert asked["trace"] == (tmp_path / "new" / "conv4.fst", 2)
    assert np.array_equal(asked["spikes"], deployed.spikes(image[None])[0])
    assert (tmp_path / "new").is_dir()


def test_a_fault_in_the_verilog_is_caught(tickets, tmp_path):
    """Through the filter, in a process of its own: accumulates are counted backwards."""
    code = (
        "import sys, pathlib\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "path.write_text(path.read_text().replace(' = accumulates + ', ' = accumulates - '))\n"
    )
    (tmp_path / "filter.py").write_text(code)
    done = run_command(tickets, tmp_path, f"{sys.executable} {tmp_path / 'filter.py'}")
    assert done.returncode == 1, done.stderr
    assert "accumulates: RTL" in done.stdout.splitlines()[-1]


def run_command(tickets: Path, tmp_path: Path, filter_: str) -> subprocess.CompletedProcess:
    code = (
        "import pathlib, sys, support.files\n"
        "support.files.BUILD = pathlib.Path(sys.argv.pop(1))\n"
        "from sim.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, tmp_path, "sim", tickets / "small.yaml", "--method", "lth"],
        env={
            **os.environ,
            "UTICKET_VERILOG_FILTER": filter_,
            "PYTHONPATH": str(Path(__file__).parent.parent),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_counters_are_in_the_table(uticket, tmp_path):
    assert uticket()[0] == 0
    content = report(tmp_path)
    with (tmp_path / "sim" / "small" / "counters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["model", "method", "layer", "pe", *COUNTERS]
    assert len(rows) == 2 * len(ARRAY) * 4
    for layer in content["layers"]:
        mine = [r for r in rows if (r["method"], r["layer"]) == ("uticket", layer["name"])]
        assert sum(int(r["steps"]) for r in mine) == layer["work"]
        assert sum(int(r["accumulates"]) for r in mine) == layer["accumulates"]
        for row in mine:
            assert sum(int(row[c]) for c in CYCLES) == layer["rtl_cycles"]


def test_the_technology_is_the_papers(uticket, tmp_path):
    assert uticket("--method", "lth")[0] == 0
    leak = load_technology().leak
    for layer in report(tmp_path)["layers"]:
        energy = layer["accumulates"] + (layer["work"] + layer["idle"]) * leak
        assert layer["energy"] == pytest.approx(energy)


def test_a_path_of_the_wrong_kind_is_refused_before_any_run(uticket, tmp_path, monkeypatch):
    monkeypatch.setattr(deployment, "deployments", None)
    file = tmp_path / "file"
    file.touch()
    assert refused(uticket("--json", tmp_path), f"{tmp_path}: a folder; allowed: a file")
    assert refused(uticket("--dump", file), f"{file}: a file; allowed: a folder")
    assert reports_there(tmp_path) == [file]


def test_processes_end_with_a_killed_parent():
    code = """
import multiprocessing, os, signal
from concurrent.futures import ProcessPoolExecutor
from support.processes import end_with_parent
spawn = multiprocessing.get_context("spawn")
pool = ProcessPoolExecutor(2, mp_context=spawn, initializer=end_with_parent)
print(pool.submit(os.getpid).result(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    # The processes hold the same stdout: it ends when the last of them does.
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout) > 0


def test_rtl_errors_travel_between_processes():
    import pickle

    error = pickle.loads(pickle.dumps(RtlError("one line")))  # noqa: S301 - our own bytes
    assert str(error) == "one line"
