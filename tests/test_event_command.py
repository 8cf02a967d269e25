"""`uticket sim`, `estimate` and `program` on the event machine, as a user calls them, on a small network."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from hw.config import MACHINES, Config
from hw.counters import EVENT_COUNTERS, EVENT_CYCLES
from sim.deployment import Deployment
from sim.models.event_cycles import EventModel
from sim.rtl import batches
from sim.rtl.harness import Rtl
from support import files
from sw import ticket
from sw.layers import linear
from tb.test_event_machine import SMALL
from tests.command import status
from tests.random_networks import random_ticket
from tests.test_sim_command import ARRAY, NETWORK

HARDWARE = {
    name: getattr(SMALL, name)
    for name in (
        *("machine", "n_pe", "ticks", "tile_side", "scratchpad_depth", "buffer_depth"),
        *("segment_depth", "banks", "fifo_depth", "stream_bits"),
    )
}


def saved(folder):
    """A YAML with its tickets, on the small event machine."""
    for method, policy in (("uticket", "random"), ("lth", "none")):
        made = random_ticket(
            3, layers=NETWORK, policy=policy, method=method, n_pe=4, ticks=2, density=0.3
        )
        ticket.save(made, folder / f"{method}.npz")
    methods = (
        "methods: {uticket: uticket.npz, lth: lth.npz, sort: {ticket: lth.npz, policy: sort}}\n"
        "baseline: lth\n"
    )
    hardware = ", ".join(f"{name}: {value}" for name, value in HARDWARE.items())
    (folder / "small.yaml").write_text(
        f"network: small\ndataset: cifar10\n{methods}hardware: {{{hardware}}}\n"
    )
    return folder / "small.yaml"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("tickets"))


MATCHES = ("spikes_match", "counters_match", "cycles_match")


def called(capsys, *arguments):
    return status(*arguments), *capsys.readouterr()


def test_two_images_are_proven_and_reported(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "BUILD", tmp_path)
    status, out, err = called(capsys, "sim", model, "--images", 2)
    assert (status, err) == (0, "")
    assert "proven: " in out
    folder = tmp_path / "sim" / "small"
    content = json.loads((folder / "report.json").read_text())
    assert all(
        content["checks"][name] for name in ("spikes_match", "cycles_match", "counters_match")
    )
    hardware = content["hardware"]
    assert {name: hardware[name] for name in HARDWARE} == HARDWARE
    for row in (*content["layers"], content["totals"]):
        assert row["rtl_cycles_min"] <= row["rtl_cycles"] <= row["rtl_cycles_max"]
        assert row["rtl_cycles"] == row["model_cycles"]
        caster = [value for name, value in row.items() if name.startswith("caster_")]
        assert sum(caster) == row["rtl_cycles"] - row.get("input_cycles", 0)
        slots = row["event_work"] + row["event_idle"]
        if slots:
            assert row["dynamic_occupancy"] == pytest.approx(row["event_work"] / slots)
        else:  # a silent layer
            assert row["dynamic_occupancy"] is None
        assert 0 <= row["rtl_bound_cycles"] <= row["rtl_cycles"]
    total = content["totals"]
    assert total["rtl_cycles_min"] < total["rtl_cycles_max"]  # cycles are the image's
    assert total["event_work"] == sum(row["event_work"] for row in content["layers"])
    assert 0 < total["event_work"] < total["work"] / SMALL.ticks  # silence is skipped
    with (folder / "counters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["model", "method", "layer", "pe", *EVENT_COUNTERS]
    for layer in content["layers"]:
        mine = [r for r in rows if (r["method"], r["layer"]) == ("uticket", layer["name"])]
        assert len(mine) == SMALL.n_pe
        for row in mine:
            assert sum(float(row[c]) for c in EVENT_CYCLES) == layer["rtl_cycles"]
        positions = sum(float(row["positions"]) for row in mine)
        assert positions == layer["event_work"]
    assert [layer["name"] for layer in content["layers"]] == ARRAY


def test_images_in_a_row_are_proven_and_reported(undrawn, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "BUILD", tmp_path)
    status, out, err = called(capsys, "sim", model, "--images", 3, "--overlap")
    assert (status, err) == (0, "")
    content = json.loads((tmp_path / "sim" / "small" / "report.json").read_text())
    row, total = content["overlap"], content["totals"]
    assert row["images"] == 1  # the one that follows an image and takes another's input in
    assert all(row[name] for name in ("spikes_match", "cycles_match", "counters_match"))
    for name in ("period_cycles", "latency_cycles"):
        assert row[f"{name}_min"] <= row[name] <= row[f"{name}_max"]
        assert f"{row[name]:,.0f}" in out
    assert row["period_cycles"] < row["latency_cycles"]
    alone = Deployment.load(str(model))
    one = alone.predict(alone.test_images(3)[0]).images[1]
    assert row["alone_cycles"] == one.input_cycles + sum(one.cycles)
    assert f"one by one {row['alone_cycles']:,}" in out
    assert row["period_cycles"] < row["alone_cycles"] != total["rtl_cycles"]
    # its input takes a cycle; what it takes of the image before, these layers have room for
    assert row["period_cycles_max"] < total["rtl_cycles_max"]
    assert [layer["name"] for layer in row["layers"]] == ARRAY
    assert row["period_cycles"] == 1 + sum(layer["cycles"] for layer in row["layers"])
    check_estimate(
        (capsys, tmp_path, model, "--images", 3, "--overlap"), content, "overlap", "period_cycles"
    )


def check_estimate(call, content, field, total):
    """`estimate` says the same as a report's `field`, but for its checks, and has a column of it.

    total: the field's cycles of all layers.
    """
    capsys, folder, *arguments = call
    found, path = content[field], folder / "estimate.json"
    status, said, err = called(capsys, "estimate", *arguments, "--json", path)
    assert (status, err) == (0, "")
    estimated = json.loads(path.read_text())
    assert estimated[field] == {k: v for k, v in found.items() if k not in MATCHES}
    assert estimated["totals"]["cycles"] == content["totals"]["rtl_cycles"]
    assert f"an image each {found[total]:,.0f} cycles" in said
    lines = [line.split() for line in said.splitlines() if line.split()]
    last = {line[0]: line[-1] for line in lines if line[0] in ("total", *ARRAY)}
    assert last["total"] == f"{found[total]:,.0f}"
    assert all(last[layer["name"]] == f"{layer['cycles']:,.0f}" for layer in found["layers"])


def test_a_row_that_goes_wrong_is_a_mismatch(undrawn, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "BUILD", tmp_path)
    right = EventModel.predict_row

    def wrong(self, images):
        return [replace(one, latency=one.latency + 1) for one in right(self, images)]

    monkeypatch.setattr(EventModel, "predict_row", wrong)
    status, out, _ = called(capsys, "sim", model, "--images", 3, "--overlap")
    assert status == 1
    assert "mismatch: in a row, image 0: input to end, cycles: RTL " in out
    content = json.loads((tmp_path / "sim" / "small" / "report.json").read_text())
    assert not content["overlap"]["cycles_match"]
    assert content["overlap"]["spikes_match"]
    assert content["checks"]["cycles_match"]  # of the images one by one


def test_a_row_longer_than_memory_has_room_for_is_refused(undrawn, model, capsys, monkeypatch):
    monkeypatch.setattr("sim.rtl.rows.MOST", 3)
    status, _, err = called(capsys, "sim", model, "--overlap", "--images", 4)
    said = "--overlap: images = 4, allowed: 3 to 3, with --images"
    assert (status, err) == (2, f"uticket: error: {said}\n")


SWEEP = "--overlap: machine sweep cannot; allowed: machine event"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--overlap"], "--overlap: images = 1, allowed: 3 to 100, with --images"),
        (
            ["--overlap", "--images", 2],
            "--overlap: images = 2, allowed: 3 to 100, with --images",
        ),
        (
            ["--overlap", "--images", 101],
            "--overlap: images = 101, allowed: 3 to 100, with --images",
        ),
        (
            ["--batch", 2, "--images", 102],
            "--batch 2: images = 102, allowed: a multiple of 2 up to 100, with --images",
        ),
        (["--overlap", "--images", 2, "--machine", "sweep"], SWEEP),
        (["--overlap", "--images", 2, "--machine", "both"], SWEEP),
        (
            ["--batch", 2, "--images", 4, "--overlap"],
            "--batch and --overlap; allowed: one of them",
        ),
    ],
)
def test_a_row_that_cannot_be_is_one_line(model, capsys, monkeypatch, arguments, said):
    """And nothing was read: 101 images would need the whole data set."""
    monkeypatch.setenv("UTICKET_DATA", "/nonexistent")
    for command in ("sim", "estimate"):
        status, _, err = called(capsys, command, model, *arguments)
        assert (status, err) == (2, f"uticket: error: {said}\n"), command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--overlap", 1], "--overlap 1: allowed: 2 to 100"),
        (["--overlap", 101], "--overlap 101: allowed: 2 to 100"),
        (["--overlap", 2, "--machine", "sweep"], SWEEP),
        (["--overlap", 2, "--batch", 2], "--batch and --overlap; allowed: one of them"),
    ],
)
def test_programs_of_a_row_that_cannot_be_are_one_line(model, capsys, tmp_path, arguments, said):
    status, _, err = called(capsys, "program", model, *arguments, "--out", tmp_path)
    assert (status, err) == (2, f"uticket: error: {said}\n")
    assert not list(tmp_path.iterdir())


def test_a_row_without_room_is_one_line(undrawn, model, tmp_path, capsys):
    """Of every command that makes rows: the last layer's weights may all have come while the first still reads the input."""
    layers = *NETWORK[:2], linear("fc", (6 * 8 * 8, 10), "conv2")
    made = random_ticket(3, layers=layers, n_pe=4, ticks=2, density=0.1)
    path = tmp_path / "short.npz"
    ticket.save(made, path)
    (tmp_path / "short.yaml").write_text(
        model.read_text().replace("uticket.npz", "short.npz").replace("lth.npz", "short.npz")
    )
    for command, *arguments in (
        ("sim", "--images", 3, "--overlap"),
        ("estimate", "--images", 3, "--overlap"),
        ("program", "--overlap", 2, "--out", tmp_path / "beats"),
    ):
        status, _, err = called(capsys, command, tmp_path / "short.yaml", *arguments)
        assert status == 2, command
        said = (
            "uticket: error: the next image's input: 0 of its 8 channels can come before the last"
        )
        assert said in err, command
        assert err.count("\n") == 1, command
    assert not (tmp_path / "beats").exists()


def test_batches_are_proven_and_reported(undrawn, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "BUILD", tmp_path)
    status, out, err = called(capsys, "sim", model, "--images", 4, "--batch", 2)
    assert (status, err) == (0, "")
    content = json.loads((tmp_path / "sim" / "small" / "report.json").read_text())
    found = content["batch"]
    assert (found["size"], found["images"]) == (2, 4)
    assert found["resident"] == ARRAY[-len(found["resident"]) :]
    assert all(found[name] for name in ("spikes_match", "cycles_match", "counters_match"))
    assert found["cycles_min"] <= found["cycles"] <= found["cycles_max"]
    assert found["image_cycles"] == found["cycles"] / 2
    assert found["image_cycles"] < content["totals"]["rtl_cycles"]
    assert f"in batches of 2: an image each {found['image_cycles']:,.0f} cycles" in out
    assert f"weights loaded once from {found['resident'][0]} on" in out
    alone = {row["name"]: row["rtl_cycles"] for row in content["layers"]}
    waited = found["image_cycles"] - sum(row["cycles"] for row in found["layers"])
    assert 0 < waited <= content["totals"]["input_cycles"]
    assert [row["name"] for row in found["layers"]] == ARRAY
    assert any(row["cycles"] < alone[row["name"]] for row in found["layers"])
    # ring writes and waiting are saved
    assert 0.5 < found["energy_pj"] / content["totals"]["energy_pj"] < 1
    call = (capsys, tmp_path, model, "--images", 4, "--batch", 2)
    check_estimate(call, content, "batch", "image_cycles")


def test_an_estimate_without_rows_and_batches_has_none(model, tmp_path, capsys):
    path = tmp_path / "estimate.json"
    status, said, _ = called(capsys, "estimate", model, "--json", path)
    assert status == 0
    assert not {"batch", "overlap"} & set(json.loads(path.read_text()))
    assert "batch" not in said
    assert "in a row" not in said


@pytest.mark.parametrize(("option", "count"), [("--batch", 2), ("--overlap", 3)])
def test_programs_one_behind_the_other_give_their_results(model, tmp_path, capsys, option, count):
    """The files through the RTL: what comes back is what they say, beat by beat."""
    arguments = ("program", model, "--image", 3, option, count, "--out", tmp_path)
    status, said, err = called(capsys, *arguments)
    assert (status, err) == (0, "")

    def read(name):
        paths = sorted(tmp_path.glob(f"{name}_*.hex"))
        beats = [[int(line, 16) for line in path.read_text().split()] for path in paths]
        told = [f"wrote {path}: {len(one):,} beats" for path, one in zip(paths, beats, strict=True)]
        assert set(told) < set(said.splitlines())
        return [np.array(one, np.uint64) for one in beats]

    programs, results = read("program"), read("results")
    assert len(programs) == len(results) == count
    lasts = np.cumsum([len(one) for one in programs]) - 1
    with Rtl(SMALL) as rtl:
        found, _, _ = rtl.run_beats(
            np.concatenate(programs).reshape(-1, 1),
            lasts,
            max_cycles=100_000,
            max_results=1 + sum(map(len, results)),
            max_buffers=0,
        )
    assert np.array_equal(found, np.concatenate(results))
    (one,) = Deployment.load(str(model)).test_images(4)[0][3:]
    spikes = Deployment.load(str(model)).spikes(one[None])[0]
    assert int(results[0][0]) & 0xFFFFFFFF == spikes.sum()  # of image 3, the first


@pytest.mark.parametrize(("option", "count"), [("--batch", 2), ("--overlap", 2)])
def test_programs_are_not_written_among_those_of_a_longer_row(
    model, tmp_path, capsys, option, count
):
    arguments = ("program", model, option, count, "--out", tmp_path)
    for _ in range(2):  # its own files it writes anew
        assert called(capsys, *arguments)[0] == 0
    other = tmp_path / "results_02.hex"
    other.write_text("of a row of three")
    before = (tmp_path / "program_00.hex").stat().st_mtime_ns
    status, _, err = called(capsys, *arguments)
    said = f"{other}: of a longer row or batch; allowed: a folder without it"
    assert (status, err) == (2, f"uticket: error: {said}\n")
    assert (tmp_path / "program_00.hex").stat().st_mtime_ns == before


def test_a_batch_that_goes_wrong_is_a_mismatch(undrawn, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "BUILD", tmp_path)
    right = batches.predict_batches

    def wrong(*given):
        return [replace(one, latency=one.latency + 1) for one in right(*given)]

    monkeypatch.setattr(batches, "predict_batches", wrong)
    status, out, _ = called(capsys, "sim", model, "--images", 2, "--batch", 2)
    assert status == 1
    assert "mismatch: in batches, batch 0: input to end, cycles: RTL " in out
    content = json.loads((tmp_path / "sim" / "small" / "report.json").read_text())
    assert not content["batch"]["cycles_match"]
    assert content["batch"]["spikes_match"]
    assert content["checks"]["cycles_match"]  # of the images one by one


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--batch", 1], "--batch 1: allowed: 2 to 64"),
        (["--batch", 65, "--images", 65], "--batch 65: allowed: 2 to 64"),
        (
            ["--batch", 2],
            "--batch 2: images = 1, allowed: a multiple of 2 up to 100, with --images",
        ),
        (
            ["--batch", 2, "--images", 3],
            "--batch 2: images = 3, allowed: a multiple of 2 up to 100, with --images",
        ),
        (
            ["--batch", 2, "--images", 2, "--machine", "sweep"],
            "--batch: machine sweep cannot; allowed: machine event",
        ),
        (
            ["--batch", 64, "--images", 64],
            "a batch of 64 images: layer conv5: its map of 7 channels of 1x1 in 64 images needs 16384 bits of the "
            "spike buffer beside 4096 in use; there are 16384. A smaller batch or a larger buffer_depth may have room",
        ),
    ],
)
def test_a_batch_that_cannot_be_is_one_line(model, capsys, arguments, said):
    """Of every command that makes batches."""
    for command in ("sim", "estimate", "program"):
        if command == "program" and "--images" in said:
            continue  # it takes as many as the batch has
        given = list(arguments)
        if command == "program" and "--images" in given:
            del given[(at := given.index("--images")) : at + 2]
        status, _, err = called(capsys, command, model, *given)
        assert (status, err) == (2, f"uticket: error: {said}\n"), command


@pytest.mark.parametrize("option", ["--batch", "--overlap"])
def test_more_images_than_there_are_is_one_line(model, tmp_path, capsys, option):
    own = tmp_path / "own.npz"
    np.savez(own, images=np.zeros((2, 3, 32, 32), np.uint8))
    arguments = ("program", model, "--images", own, "--image", 1, option, 2, "--out", tmp_path)
    status, _, err = called(capsys, *arguments)
    said = f"{option} 2: image 2; allowed: 0 to 1, as {own} has"
    assert (status, err) == (2, f"uticket: error: {said}\n")
    assert list(tmp_path.iterdir()) == [own]


def test_sorted_filters_are_proven(undrawn, model, tmp_path, monkeypatch, capsys):
    """The same ticket in another order: the same spikes, other cycles."""
    monkeypatch.setattr(files, "BUILD", tmp_path)
    status, out, err = called(capsys, "sim", model, "--method", "sort")
    assert (status, err) == (0, "")
    assert "proven: " in out
    content = json.loads((tmp_path / "sim" / "small" / "report.json").read_text())
    assert (content["method"], content["ticket"]["policy"]) == ("sort", "sort")
    other = content["baseline"]["totals"]
    for field in ("nnz", "accumulates", "event_work", "predictions"):
        assert content["totals"][field] == other[field], field
    assert content["totals"]["rtl_cycles"] != other["rtl_cycles"]


def test_both_machines_run_one_after_the_other(undrawn, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "BUILD", tmp_path)
    out_file = tmp_path / "both.json"
    status, out, err = called(capsys, "sim", model, "--machine", "both", "--json", out_file)
    assert (status, err) == (0, "")
    folder = tmp_path / "sim" / "small"
    content = json.loads(out_file.read_text())
    assert content == json.loads((folder / "machines.json").read_text())
    reports = {name: json.loads((folder / name / "report.json").read_text()) for name in MACHINES}
    assert content["machines"] == reports
    for name, report in reports.items():
        assert report["hardware"]["machine"] == name
        assert report["checks"]["spikes_match"]
        assert f"\n{name}: proven: " in out
    sweep, event = (report["totals"] for report in reports.values())
    assert sweep["accumulates"] == event["accumulates"]
    assert sweep["predictions"] == event["predictions"]
    assert sweep["event_work"] is None
    rows = [line.split() for line in out.splitlines()]
    (row,) = (row for row in rows if row[:2] == ["total", "uticket"])
    assert row[2:4] == [f"{total['rtl_cycles']:,}" for total in (sweep, event)]


def test_its_program_has_wide_beats(model, tmp_path, capsys):
    wide = tmp_path / "wide.yaml"
    wide.write_text("stream_bits: 256\n")
    status, _, err = called(
        capsys, "program", model, "--method", "lth", "--hardware", wide, "--out", tmp_path
    )
    assert (status, err) == (0, "")
    beats = (tmp_path / "program.hex").read_text().split()
    assert {len(beat) for beat in beats} == {64}
    assert all(beat[:48] == "0" * 48 for beat in beats[:2])  # headers are in the lowest lane
    assert {len(beat) for beat in (tmp_path / "results.hex").read_text().split()} == {16}


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("machine", "systolic", "sweep, event"),
        ("banks", 2, "1, 4 or 8"),
        ("fifo_depth", 1, "2 to 8"),
        ("segment_depth", 6, "a power of two from 4 to 64"),
        ("stream_bits", 32, "64, 128 or 256"),
        ("lifs", 3, "1 to 2 with 8 banks"),
    ],
)
def test_hardware_that_cannot_be_is_one_line(model, tmp_path, capsys, field, value, allowed):
    path = tmp_path / "hardware.yaml"
    path.write_text(
        f"banks: 8\n{field}: {value}\n".removeprefix("banks: 8\n" if field == "banks" else "")
    )
    status, _, err = called(capsys, "sim", model, "--hardware", path)
    assert status == 2
    assert err.startswith("uticket: error: ")
    assert err.count("\n") == 1
    assert f"{field} = {value!r}, allowed: {allowed}" in err
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_machine_is_one_line(model, capsys):
    status, _, err = called(capsys, "sim", model, "--machine", "systolic")
    assert (status, err.count("\n")) == (2, 1)
    assert "machine = 'systolic', allowed: sweep, event" in err


def test_one_bank_has_one_lif_and_rings_have_a_least_size():
    with pytest.raises(ValueError, match="lifs = 2, allowed: 1 to 1 with 1 banks"):
        Config(machine="event", banks=1)
    with pytest.raises(
        ValueError, match="scratchpad_depth = 64, allowed: 128 to 1024, machine event"
    ):
        Config(machine="event", scratchpad_depth=64)
    assert Config().machine == "sweep"
