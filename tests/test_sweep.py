"""`uticket sweep`: its points, rows that are the models', a sweep that is killed, a Dask cluster, and RTL."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.explore import drawn_networks as synthetic
from sim.explore import evaluate as evaluation
from sim.explore import journal as journals
from sim.explore import run as sweep
from sim.explore import spot_check, workers
from sim.explore.evaluate import COLUMNS, Draws, batches, evaluate, pareto
from sim.explore.spec import BASE, Point, Spec, load_spec
from sim.models.cycles import predict
from sim.options import replaced
from support import files
from support.errors import BadInput
from sw.balance import filter_nnz
from sw.layers import IMAGE, conv, linear
from sw.machines import compile_network
from sw.networks import build
from tests.command import status

DRAWS = Draws(1, 0.25, 0.85)
POINT = Point(
    network="vgg16",
    sparsity=0.99,
    policy="random",
    n_pe=16,
    lanes=4,
    accumulators=256,
    scratchpad_depth=1024,
)
SMALL = """
network: vgg16
sparsity: [0.99, 0.995]
policy: [none]
n_pe: [8, 16, 32]
scratchpad_depth: [256, 1024]
"""
ROOT = Path(__file__).resolve().parent.parent


def spec(tmp_path, text, name="small"):
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    return path


def command(*arguments):
    return status("sweep", *arguments)


def test_points_are_the_product_of_the_axes(tmp_path):
    points = load_spec(spec(tmp_path, SMALL)).points
    assert len(points) == len(set(points)) == 2 * 3 * 2
    assert points[0] == replace(POINT, policy="none", n_pe=8, scratchpad_depth=256)
    assert points[-1].n_pe == 32
    assert all(point.on().accumulators == 256 for point in points)


def test_accumulators_go_with_their_lanes(tmp_path):
    text = "{lanes: [1, 2, 4], accumulators: [16, 32, 64, 128, 256], policy: none}"
    points = load_spec(spec(tmp_path, text)).points
    assert [(p.lanes, p.accumulators) for p in points] == [
        (1, 16), (1, 64), (2, 32), (2, 128), (4, 64), (4, 256),
    ]  # fmt: skip
    for point in points:
        config = point.on()
        assert (config.ticks, config.accumulators) == (point.lanes, point.accumulators)
        assert config.buffer_depth * config.positions == 512 * 64


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "allowed: names with lists"),
        ("{pes: 3}", "unknown key 'pes'; allowed: network, sparsity"),
        ("{n_pe: 0}", "n_pe = 0; allowed: 1 to 64"),
        ("{n_pe: [4, 4]}", "each once"),
        ("{n_pe: []}", "one or more values"),
        ("{sparsity: 1.0}", "sparsity = 1.0; allowed: 0 to below 1"),
        ("{policy: best}", "policy = 'best'; allowed: none, sort"),
        ("{network: alexnet}", "network = 'alexnet'; allowed: "),
        ("{scratchpad_depth: 100}", "scratchpad_depth = 100"),
        ("{lanes: 2, accumulators: 256}", "fit none of lanes"),
        ("{seed: -1}", "seed = -1"),
    ],
)
def test_what_a_spec_may_not_say(tmp_path, text, told):
    with pytest.raises(BadInput, match=re.escape(told)):
        load_spec(spec(tmp_path, text))


def test_a_row_is_what_the_models_say():
    row = evaluate(POINT, DRAWS)
    assert list(row) == list(COLUMNS)
    network = synthetic.synthetic_network("vgg16", sparsity=0.99, policy="random", n_pe=16)
    program = compile_network(network, POINT.on())
    assert row["cycles"] == sum(layer.cycles for layer in predict(program))
    assert row["nnz"] == sum(int(layer.filter_nnz.sum()) for layer in network.array)
    assert row["weight_sparsity"] == pytest.approx(0.99, abs=2e-4)
    assert row["bound_cycles"] <= row["cycles"]
    assert row["energy"] == pytest.approx(row["work"] * 0.15 + 0.21 * (row["work"] + row["idle"]))
    assert row["note"] is None
    sparser = evaluate(replace(POINT, sparsity=0.995), DRAWS)
    assert sparser["cycles"] < row["cycles"]
    assert sparser["energy_pj"] < row["energy_pj"]


def test_what_the_array_cannot_hold_has_a_note(monkeypatch):
    wide = (
        conv("conv1", (3, 600), IMAGE),
        conv("conv2", (600, 8), "conv1"),
        linear("fc", (8 * 32 * 32, 2), "conv2"),
    )
    monkeypatch.setitem(synthetic.build.__globals__["NETWORKS"], "wide", lambda **_: wide)
    row = evaluate(replace(POINT, network="wide"), DRAWS)
    assert "needs" in row["note"]
    assert row["cycles"] is None


def test_masks_of_one_sparsity_differ_only_by_balancing():
    made = {
        policy: synthetic.synthetic_network("vgg16", sparsity=0.98, policy=policy, n_pe=16)
        for policy in ("none", "sort", "random")
    }
    for none, sort, random in zip(*(network.array for network in made.values()), strict=True):
        assert np.array_equal(none.own.mask, sort.own.mask)
        assert abs(int(none.own.mask.sum()) - int(random.own.mask.sum())) <= 8
    counts = filter_nnz(made["none"].array[8].own.mask)
    assert np.std(np.log(counts)) == pytest.approx(0.25, abs=0.1)
    assert len(set(filter_nnz(made["random"].array[8].own.mask)[:16].tolist())) == 1


def test_resnet_is_swept_too():
    row = evaluate(replace(POINT, network="resnet19"), DRAWS)
    assert row["note"] is None
    parameters = sum(
        int(np.prod(source.weight_shape(layer.filters)))
        for layer in build("resnet19")[1:]
        for source in layer.learned
    )
    assert row["nnz"] / parameters == pytest.approx(1 - row["weight_sparsity"])


def test_tasks_share_masks_and_hold_every_point(tmp_path):
    points = load_spec(spec(tmp_path, SMALL)).points
    tasks = batches(points)
    assert sorted(map(repr, points)) == sorted(repr(p) for task in tasks for p in task)
    assert all(len({p.masks for p in task}) == 1 for task in tasks)
    assert max(map(len, batches([POINT] * 30))) == evaluation.BATCH


def test_pareto():
    rows = [{"x": x, "y": y} for x, y in [(1, 9), (2, 5), (2, 6), (3, 5), (4, 1), (None, 0)]]
    assert pareto(rows, "x", "y") == [rows[0], rows[1], rows[4]]


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_killed_sweep_goes_on_where_it_stopped(undrawn, tmp_path):
    path = spec(tmp_path, SMALL)
    whole = tmp_path / "whole.csv"
    assert command(path, "--jobs", 1, "--spot-checks", 0, "--out", whole) == 0
    killed, journal = tmp_path / "killed.csv", tmp_path / "killed.journal"
    arguments = [str(path), "--jobs", "1", "--spot-checks", "0", "--out", str(killed)]
    process = subprocess.Popen([sys.executable, "-m", "sim.cli", "sweep", *arguments], cwd=ROOT)
    while not (journal.is_file() and journal.read_text().count("\n") > 3):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    found = journal.read_text().splitlines()
    first = json.loads(found[1])
    first["note"] = "from before"  # a row that only the journal can know
    journal.write_text("\n".join([found[0], json.dumps(first), *found[2:], '{"netw']))
    before = len(found) - 1
    evaluated = []
    real = evaluation.evaluate

    def counted(point, draws):
        evaluated.append(point)
        return real(point, draws)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "evaluate", counted)
        assert command(*arguments) == 0
    wanted, got = rows_of(whole), rows_of(killed)
    assert len(evaluated) == len(wanted) - before
    assert [row["note"] for row in got].count("from before") == 1
    for row in got:
        row["note"] = ""
    assert got == wanted


def test_another_sweep_starts_afresh(tmp_path):
    one = load_spec(spec(tmp_path, "{sparsity: 0.99, policy: none}"))
    journal = tmp_path / "x.journal"
    rows = sweep.run(one, journal, jobs=1)
    assert journals.read_journal(journal, one) == {one.points[0]: rows[0]}
    assert journals.read_journal(journal, replace(one, seed=2)) == {}
    assert journals.read_journal(tmp_path / "none.journal", one) == {}


def test_processes_give_the_rows_of_one(tmp_path):
    small = spec(tmp_path, "{sparsity: 0.99, policy: [none, sort], n_pe: [8, 16]}")
    for jobs, out in ((1, "one.csv"), (2, "two.csv")):
        assert command(small, "--jobs", jobs, "--spot-checks", 0, "--out", tmp_path / out) == 0
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()
    page = (tmp_path / "one.html").read_text()
    assert page.count("<svg") == 2 * 2  # for a screen and for a phone
    assert "None were asked for" in page


def test_parquet_holds_the_same(undrawn, tmp_path):
    import pyarrow.parquet

    small = spec(tmp_path, "{sparsity: 0.99, policy: none, n_pe: [8, 16]}")
    for name in ("a.csv", "a2.parquet"):
        assert command(small, "--jobs", 1, "--spot-checks", 0, "--out", tmp_path / name) == 0
    table = pyarrow.parquet.read_table(tmp_path / "a2.parquet").to_pylist()
    assert [str(row["cycles"]) for row in table] == [
        r["cycles"] for r in rows_of(tmp_path / "a.csv")
    ]
    assert list(table[0]) == list(COLUMNS)


@pytest.fixture
def cluster(tmp_path):
    """Address of a Dask scheduler with two workers, in processes of their own on loopback."""
    scripts = Path(sys.executable).parent
    file = tmp_path / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = []

    def start(*arguments):
        started.append(
            subprocess.Popen(
                [str(scripts / "dask"), *arguments],
                env=environment,
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    start(
        "scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    )
    for _ in range(2):
        start(
            "worker", "--scheduler-file", str(file), "--host", "127.0.0.1", "--nthreads", "1",
            "--no-dashboard", "--memory-limit", "0",
        )  # fmt: skip
    try:
        while not file.is_file() or not file.read_text().strip():
            assert started[0].poll() is None
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"]
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=60)


@pytest.mark.filterwarnings("ignore")  # Dask's own
def test_a_dask_cluster_gives_the_rows_of_one_process(undrawn, tmp_path, cluster):
    import distributed

    with distributed.Client(cluster, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
    small = spec(tmp_path, "{sparsity: 0.99, policy: [none, sort], n_pe: [8, 16]}")
    out = tmp_path / "dask.csv"
    assert command(small, "--scheduler", cluster, "--spot-checks", 0, "--out", out) == 0
    assert command(small, "--jobs", 1, "--spot-checks", 0, "--out", tmp_path / "one.csv") == 0
    assert out.read_text() == (tmp_path / "one.csv").read_text()


TINY = """
network: vgg16
sparsity: 0.98
policy: [random, sort]
n_pe: [2, 3]
lanes: 2
accumulators: 32
scratchpad_depth: [64]
"""


def test_the_rtl_of_drawn_configurations_says_the_same(undrawn, tmp_path, capsys):
    assert command(spec(tmp_path, TINY), "--jobs", 1, "--out", tmp_path / "t.csv") == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("RTL: ")]
    assert len(told) == 2  # there are no more configurations
    assert all("cycles equal the cycle model's" in line for line in told)
    assert "equal" in (tmp_path / "t.html").read_text()


def test_a_spot_check_that_differs_fails_the_sweep(undrawn, tmp_path, monkeypatch, capsys):
    right = spot_check.predict

    def wrong(program):
        first, *rest = right(program)
        return [replace(first, cycles=first.cycles + 1), *rest]

    path = spec(tmp_path, TINY.replace("[2, 3]", "2"))
    monkeypatch.setattr(spot_check, "predict", wrong)
    assert command(path, "--jobs", 1, "--out", tmp_path / "t.csv") == 1
    assert "conv2, cycles: RTL" in capsys.readouterr().out


def test_spot_checks_draw_different_configurations(tmp_path):
    points = spot_check.drawn_points(load_spec(spec(tmp_path, SMALL)), 5)
    assert len({point.on() for point in points}) == 5
    assert points == spot_check.drawn_points(load_spec(spec(tmp_path, SMALL)), 5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "x.txt"], "x.txt: allowed: a .csv or a .parquet file"),
        (["--out", "nowhere/x.csv"], "there is no folder"),
        (["--scheduler", "tcp://127.0.0.1:1"], "--scheduler tcp://127.0.0.1:1: "),
    ],
)
def test_bad_arguments_are_told(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "BUILD", tmp_path)
    monkeypatch.setattr(workers, "CONNECT_S", 0.5)
    small = spec(tmp_path, "{sparsity: 0.99, policy: none}")
    assert command(small, *arguments, "--spot-checks", 0) == 2
    error = capsys.readouterr().err
    assert error.startswith("uticket: error: ")
    assert told in error
    assert error.count("\n") == 1


def test_specs_that_ship_can_be_read():
    found = load_spec(ROOT / "benchmarks" / "sweep.yaml")
    assert isinstance(found, Spec)
    assert len(found.points) >= 1000


def test_other_hardware_is_another_sweep(tmp_path):
    """Axes that the spec leaves out are the hardware's, and the row is of all of it."""
    text = "{sparsity: 0.99, policy: none, n_pe: 8}"
    (tmp_path / "h.yaml").write_text("scratchpad_depth: 256\nbuffer_depth: 64\nleak_mode: none\n")
    base = replaced(BASE, tmp_path / "h.yaml")
    usual, other = load_spec(spec(tmp_path, text)), load_spec(spec(tmp_path, text), base)
    (point,) = other.points
    assert (point.n_pe, point.scratchpad_depth) == (8, 256)
    assert point.on(base) == replace(base, n_pe=8)
    assert usual.fingerprint != other.fingerprint != replace(other, base=BASE).fingerprint
    rows = [evaluate(point, replace(DRAWS, base=one)) for one in (BASE, base)]
    assert (rows[0]["note"], rows[1]["cycles"]) == (None, None)
    assert "spike buffer" in rows[1]["note"]  # an eighth of the base's
    network = synthetic.synthetic_network(*point.masks, 4, base.neuron, 1, 0.25)
    assert network.array[0].neuron == base.neuron != BASE.neuron


def test_a_sweep_of_the_event_machine_is_refused(tmp_path, capsys):
    (tmp_path / "h.yaml").write_text("machine: event\n")
    assert command(spec(tmp_path, SMALL), "--hardware", tmp_path / "h.yaml") == 2
    told = "uticket: error: machine = 'event'; allowed for a sweep: sweep\n"
    assert capsys.readouterr().err == told


def test_another_technology_is_another_sweep(tmp_path):
    """Its rows, and so its fingerprint: the text of a user's file is part of it."""
    point = Point(
        network="vgg16", sparsity=0.999, policy="none", n_pe=16, lanes=4, accumulators=256,
        scratchpad_depth=1024,
    )  # fmt: skip
    mine = tmp_path / "mine.yaml"
    mine.write_text("kind: variant\nbase: 32nm\nungated: [adder]\n")
    spec = Spec(points=(point,), seed=1, spread=0.25, spike_sparsity=0.85)
    named = replace(spec, technology=str(mine))
    before = named.fingerprint
    assert before != spec.fingerprint
    usual, other = (evaluate(point, replace(DRAWS, technology=one)) for one in (None, str(mine)))
    assert other["energy_pj"] > usual["energy_pj"]
    assert other["cycles"] == usual["cycles"]
    mine.write_text("kind: variant\nbase: 32nm\nungated: [adder, reg-acc]\n")
    assert named.fingerprint != before
