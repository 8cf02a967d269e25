"""`uticket paper` and what it is made of, on a small network with every kind of layer."""

import csv
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from hw.config import PRESETS
from sim.catalog import load_model
from sim.cli import main
from sim.deployment import Deployment
from sim.images import first_images
from sim.models import memory
from sim.models.components import total_pj
from sim.models.technology import load_table
from sim.paper import FIGURES, figure_1, figure_7a, figure_7b, figure_8, table_3
from sim.paper.claims import OF_A_PAIR, OF_THE_PAPER, Rule, printed_facts
from sim.paper.document import csv_files
from sim.paper.pairs import load_pairs
from sim.paper.published import published
from sim.paper.rounds import pruned_rounds, rounds
from sim.study import study
from sw import golden, ticket, wsp
from sw.balance import filter_nnz
from sw.quantize import quantize
from tests.random_networks import RESIDUAL, random_ticket

YAML = """
network: small
dataset: cifar10
methods: {uticket: uticket.npz, lth: lth.npz}
baseline: lth
hardware: {preset: paper, n_pe: 4}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tickets")
    for method, policy in (("uticket", "random"), ("lth", "none")):
        made = random_ticket(3, layers=RESIDUAL, policy=policy, method=method, n_pe=4)
        ticket.save(made, path / f"{method}.npz")
    (path / "small.yaml").write_text(YAML)
    return path


@pytest.fixture(scope="module")
def pair(folder):
    pairs, missing = load_pairs([load_model(str(folder / "small.yaml"))], images=2)
    assert missing == []
    return pairs[0]


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("paper")
    with pytest.raises(SystemExit) as ended:
        main(["paper", str(folder / "small.yaml"), "--images", "1", "--out", str(out)])
    assert not ended.value.code
    return out


def test_a_study_is_what_the_golden_model_counts(folder, pair):
    network = quantize(ticket.load(folder / "lth.npz"), pair.lth.config)
    images, _ = first_images("cifar10", 2)
    runs = [golden.run(network, spikes) for spikes in golden.first_layer_spikes(network, images)]
    names = [source.name for layer in network.array for source in layer.learned]
    assert [layer.load.name for layer in pair.lth.layers] == names
    for layer in pair.lth.layers:
        host, name = layer.compiled.name, layer.load.name
        counted = np.mean([run[host].filter_accumulates[name].sum() for run in runs])
        assert layer.accumulates == pytest.approx(counted)
        assert layer.spike_sparsity == pytest.approx(1 - counted / layer.load.work)
    total = pair.lth.totals
    assert total["work"] == 4 * sum(
        layer.load.positions * int(filter_nnz(layer.source.mask).sum()) for layer in pair.lth.layers
    )
    assert pair.lth.energy(0.21) == pytest.approx(
        total["accumulates"] + 0.21 * (total["work"] + total["idle"])
    )
    assert pair.uticket.totals["occupancy"] > total["occupancy"]


def test_energy_by_component_is_of_the_counters(pair):
    table = load_table()
    paper, rtl = (pair.lth.counts(accounting) for accounting in ("paper", "rtl"))
    total = pair.lth.totals
    assert paper.pe_cycles == total["work"] + total["idle"]
    assert paper.spad_reads == paper.accumulates == total["accumulates"]
    cycles = sum(layer.cycles.cycles for layer in pair.lth.layers if layer.cycles)
    assert rtl.pe_cycles == 4 * cycles
    added = sum(layer.shortcut_accumulates for layer in pair.lth.layers)
    assert rtl.accumulates == pytest.approx(total["accumulates"] + added)
    assert added > 0
    assert paper.lif_updates == rtl.lif_updates
    assert total_pj(pair.lth.lines(table, "rtl")) < total_pj(pair.lth.lines(table, "paper"))


def test_accesses_of_the_paper_are_of_masks_and_maps(pair):
    accesses = pair.lth.accesses("paper")
    words = [wsp.lengths(layer.source.mask).sum() for layer in pair.lth.layers]
    assert accesses.dram["weights"] == sum(-(-16 * n // 64) for n in words)
    assert accesses.spad_writes == sum(words)
    assert accesses.dram_total < pair.lth.dense_accesses().dram_total
    parts = pair.lth.system(load_table(), "paper")
    assert parts["dram"] == pytest.approx(accesses.dram_total * 468.762)
    rtl = pair.lth.accesses("rtl")
    spikes = pair.lth.layers[0].spikes
    assert rtl.dram_total == len(pair.lth.deployment.program.beats(spikes))


def test_rounds_are_what_the_ticket_recorded(pair):
    recorded = rounds(pair.uticket)
    assert len(recorded) == 3
    last = recorded[-1]
    assert [load.work for load in last.loads] == [x.load.work for x in pair.uticket.layers]
    assert [load.idle for load in last.loads] == [x.load.idle for x in pair.uticket.layers]
    assert recorded[0].input_sparsity[0] is None
    assert recorded[0].energy(0.21) is None
    assert last.energy(0.21) == pytest.approx(
        sum(
            load.work * (1 - silent) + 0.21 * (load.work + load.idle)
            for load, silent in zip(last.loads, last.input_sparsity, strict=True)
        )
    )


def test_the_printed_gains_at_equal_sparsity():
    rows = figure_7a.printed_splits(0.21)
    latency = [(round(row.latency, 1), round(row.latency_by_balance, 1)) for row in rows]
    assert latency == [
        (46.3, 23.4), (46.7, 27.6), (53.3, 37.5), (67.6, 51.0), (76.8, 60.0), (67.8, 51.3),
    ]  # fmt: skip
    energy = [round(row.energy_by_balance, 1) for row in rows]
    assert energy == [15.1, 17.8, 25.9, 27.8, 34.1, 27.9]
    assert all(abs(row.energy - row.printed_energy) < 0.5 for row in rows)
    assert [row.network for row in rows[:2]] == ["vgg16 cifar10", "vgg16 fashion_mnist"]
    assert "arXiv:2302.06746" in published()["source"]


def test_our_gains_at_equal_sparsity(pair):
    row = figure_7a.split(pair, 0.21)
    before, after = pair.lth.totals, pair.uticket.totals
    assert row.latency == pytest.approx(100 * (1 - after["latency"] / before["latency"]))
    idle = before["idle"] / (before["work"] + before["idle"])
    assert row.latency_by_balance == pytest.approx(100 * idle)


def test_verdicts_follow_from_facts():
    facts = printed_facts(0.21)
    assert [rule.applied(facts).verdict for rule in OF_THE_PAPER] == ["holds", "does not hold"]
    drop = next(rule for rule in OF_A_PAIR if rule.fact == "drop")
    known = {"lth_accuracy": 90, "uticket_accuracy": 89, "test_images": 100, "error": 0.1}
    for lost, chance, verdict in (
        (0.9, 0.2, "holds"), (1.2, 0.2, "does not hold"), (-1.2, 0.2, "holds"), (0.1, 0.2, "open"),
    ):  # fmt: skip
        claim = drop.applied({**known, "drop": lost, "chance": chance}, "m")
        assert (claim.verdict, claim.printed) == (verdict, "-")
        assert claim.ours == "90.0 % (LTH), 89.0 % (u-Ticket), 100 test images"
    rule = Rule(claim="c", printed="", ours="", why="", fact="x", above=1, met="yes", unmet="no")
    assert [rule.applied({"x": x}).verdict for x in (1, 2)] == ["no", "yes"]


def test_balancing_again_for_other_arrays(pair):
    work = pair.uticket.totals["work"]
    one, energy = table_3.rebalanced(pair.uticket, 1, 0.21)
    assert one == work
    two, _ = table_3.rebalanced(pair.uticket, 2, 0.21)
    assert one / 2 <= two < 0.52 * one
    sixteen, wasted = table_3.rebalanced(pair.uticket, 16, 0.21)
    assert sixteen < two
    assert wasted > energy  # groups of 7 and 12 filters leave PEs idle


def test_the_report_holds_every_section(written):
    content = json.loads((written / "paper.json").read_text())
    assert content["schema"] == "uticket-paper-1"
    assert content["models"] == ["small"]
    assert content["images"] == 1
    assert sorted(content["provenance"]["tickets"]) == ["small lth", "small uticket"]
    assert [section["key"] for section in content["sections"]] == list(FIGURES)
    for section in content["sections"]:
        for number, table in enumerate(section["tables"], 1):
            assert table["rows"], section["key"]
            assert {len(row) for row in table["rows"]} == {len(table["columns"])}
            with (written / f"{section['key']}_{number}.csv").open() as file:
                lines = list(csv.reader(file))
            assert lines[0] == table["columns"]
            assert len(lines) == 1 + len(table["rows"])
    assert "NaN" not in (written / "paper.json").read_text()
    verdicts = {claim["verdict"] for claim in content["claims"]}
    assert verdicts <= {"holds", "holds in part", "does not hold", "open"}
    assert len(content["claims"]) == 2 + 7


COUNTS = {
    "round",
    "PEs",
    "test images",
    "E_leak / E_dyn",
    "words a weight",
}  # what they count is their name


def test_every_column_of_numbers_says_its_unit_and_no_two_are_alike(written):
    for section in json.loads((written / "paper.json").read_text())["sections"]:
        for table in section["tables"]:
            columns = table["columns"]
            assert len(set(columns)) == len(columns)
            for name, *values in zip(columns, *table["rows"], strict=True):
                text = any(isinstance(value, str) for value in values)
                assert text or "(" in name or name in COUNTS, (table["title"], name)


def test_the_page_is_complete_in_itself(written):
    text = (written / "paper.html").read_text()
    for outside in ("<link", "<script", 'src="', "@import"):
        assert outside not in text
    assert len(re.findall("<svg", text)) >= 12
    for key in ("claims", *FIGURES):
        assert f'id="{key}"' in text
    assert "How to read this" in text


def test_shares_of_components_add_up(written):
    content = json.loads((written / "paper.json").read_text())
    sections = {section["key"]: section for section in content["sections"]}
    shares, components = sections["figure_8"]["tables"]
    for row in shares["rows"]:
        assert sum(row[3:9]) == pytest.approx(100)
        mine = [r for r in components["rows"] if r[:3] == row[:3]]
        assert sum(r[7] for r in mine) == pytest.approx(row[9])
        assert all(sum(r[4:7]) == pytest.approx(r[7]) for r in mine)
    for row in sections["figure_9"]["tables"][2]["rows"]:
        assert sum(row[4:8]) == pytest.approx(row[8])


def test_a_model_without_tickets_is_told(folder, tmp_path, capsys):
    (tmp_path / "later.yaml").write_text(YAML)
    pairs, missing = load_pairs([load_model(str(tmp_path / "later.yaml"))], images=1)
    assert pairs == []
    assert missing == ["later: lth.npz is not there"]
    with pytest.raises(SystemExit) as ended:
        main(["paper", str(tmp_path / "later.yaml"), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "no model has both an lth and a uticket ticket" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_hardware_is_the_models_own_with_other_fields(
    undrawn, folder, written, tmp_path, capsys
):
    """Work is that of the masks, cycles those of eight PEs."""
    (tmp_path / "h.yaml").write_text("n_pe: 8\n")
    given = [
        "paper",
        str(folder / "small.yaml"),
        "--images",
        "1",
        "--hardware",
        str(tmp_path / "h.yaml"),
    ]
    with pytest.raises(SystemExit) as ended:
        main([*given, "--out", str(tmp_path / "out")])
    assert not ended.value.code
    before, after = (
        list(csv.DictReader((one / "table_2_1.csv").read_text().splitlines()))
        for one in (written, tmp_path / "out")
    )
    for four, eight in zip(before, after, strict=True):
        assert four["work (1e8 steps)"] == eight["work (1e8 steps)"]
        assert float(eight["RTL (M cycles)"]) < 0.8 * float(four["RTL (M cycles)"])
    (tmp_path / "h.yaml").write_text("machine: event\n")
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*given, "--out", str(tmp_path / "none")])
    assert ended.value.code == 2
    assert "machine = 'event'; allowed for the paper: sweep\n" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_dense_ticket_without_measured_spikes_is_reported_all_the_same(tmp_path):
    for method in ("lth", "uticket"):
        made = random_ticket(3, layers=RESIDUAL, method=method, n_pe=4, density=1.1, rounds=1)
        ticket.save(made, tmp_path / f"{method}.npz")
    (tmp_path / "small.yaml").write_text(YAML)
    pairs, _ = load_pairs([load_model(str(tmp_path / "small.yaml"))], images=1)
    assert pairs[0].lth.totals["weight_sparsity"] == 0
    assert [one.number for one in pruned_rounds(pairs[0].lth)] == [0]
    assert [row.energy for row in figure_7b.by_round(pairs[0], 0.21)] == [None]
    assert figure_7b.section(pairs).plots
    assert figure_1.section(pairs).tables


def test_a_ticket_without_rounds_is_left_out(tmp_path):
    for method in ("lth", "uticket"):
        made = random_ticket(3, layers=RESIDUAL, method=method, n_pe=4, rounds=0)
        ticket.save(made, tmp_path / f"{method}.npz")
    (tmp_path / "small.yaml").write_text(YAML)
    pairs, missing = load_pairs([load_model(str(tmp_path / "small.yaml"))], images=1)
    assert (pairs, missing) == ([], ["small: a ticket without a recorded round"])


def test_names_of_csv_files():
    section = SimpleNamespace(key="figure_1", tables=["a", "b"])
    paper = SimpleNamespace(sections=[section])
    assert csv_files(paper) == {"figure_1_1.csv": "a", "figure_1_2.csv": "b"}


def test_the_tiny_array_is_studied_with_its_own_ticks(tmp_path):
    made = random_ticket(4, layers=RESIDUAL, method="lth", n_pe=4, ticks=2)
    ticket.save(made, tmp_path / "lth.npz")
    text = YAML.replace("preset: paper", "preset: tiny, buffer_depth: 4096")
    (tmp_path / "small.yaml").write_text(text)
    one = study(Deployment.load(str(tmp_path / "small.yaml"), "lth"), 1)
    assert one.config.ticks == PRESETS["tiny"].ticks == 2
    spikes = one.layers[0].spikes
    assert spikes.shape[0] == 2
    assert one.layers[0].input_bits == memory.csr_bits(
        memory.active_positions(spikes), side=spikes.shape[-1]
    )


def test_another_technology_changes_our_figures_and_not_the_printed(folder, pair):
    (other,), _ = load_pairs(
        [load_model(str(folder / "small.yaml"))], images=1, technology="32nm-hp"
    )
    assert other.energies.table.name == "32nm-hp"
    assert other.energies.eq3.leak > pair.energies.eq3.leak
    (*printed, mine), (*same, theirs) = (
        figure_7a.section([one]).tables[0].rows for one in (pair, other)
    )
    assert printed == same
    assert mine != theirs
    (fig, *_), (hp, *_) = (figure_8.of(one, "paper") for one in (pair, other))
    assert fig.lines != hp.lines
