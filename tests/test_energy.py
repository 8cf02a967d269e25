"""`sim.models.eq3`: Eq. 3, its views, and what the paper's tables say of it."""

import json
import re

import pytest
import yaml

from sim.cli import main
from sim.models import technology
from sim.models.components import ACCOUNTINGS, Counts, breakdown, constants, merge, total_pj
from sim.models.eq3 import Activity, answer, eq3, layer_energies, load_technology
from sim.models.technology import FOLDER, find, load_table, read, tables
from sim.paper.published import published
from support.errors import BadInput

PAPER = load_technology()

# Table II of the paper (work and idle in 1e8 steps over 16 PEs, spike sparsity) for LTH and
# u-Ticket, the energy cut of its Fig. 7(a) and ours with E_leak = 0.21 E_dyn, both in percent.
TABLE_2 = {
    "VGG-16 CIFAR10": ((1.34, 0.41, 0.848), (0.94, 0, 0.859), 41.8, 42.2),
    "VGG-16 FMNIST": ((1.10, 0.42, 0.839), (0.81, 0, 0.814), 35.4, 35.4),
    "VGG-16 SVHN": ((1.15, 0.69, 0.849), (0.86, 0, 0.801), 37.2, 37.2),
    "ResNet-19 CIFAR10": ((1.66, 1.73, 0.641), (1.10, 0, 0.683), 55.5, 55.7),
    "ResNet-19 FMNIST": ((1.26, 1.89, 0.601), (0.73, 0, 0.629), 63.8, 63.6),
    "ResNet-19 SVHN": ((1.27, 1.34, 0.636), (0.84, 0, 0.682), 56.1, 56.1),
}
LATENCY_CUT = (46.3, 46.7, 53.3, 67.6, 76.8, 67.8)  # percent, latency = (work + idle) / 16
BALANCE_ALONE = (15.1, 17.8, 25.9, 27.8, 34.1, 27.9)  # energy cut in percent, LTH without idle


def energy(row):
    work, idle, sparsity = row
    return eq3(work=work, idle=idle, active=1 - sparsity, leak=PAPER.leak)


@pytest.mark.parametrize("name", TABLE_2)
def test_the_energy_cuts_of_figure_7a(name):
    lottery, uticket, printed, ours = TABLE_2[name]
    cut = 100 * (1 - energy(uticket) / energy(lottery))
    assert cut == pytest.approx(ours, abs=0.05)
    assert cut == pytest.approx(printed, abs=0.45)


@pytest.mark.parametrize(("row", "cut"), list(zip(TABLE_2.values(), LATENCY_CUT, strict=True)))
def test_latency_is_a_sixteenth_of_work_and_idle(row, cut):
    before, after = ((work + idle) / 16 for work, idle, _ in row[:2])
    assert 100 * (1 - after / before) == pytest.approx(cut, abs=0.05)


@pytest.mark.parametrize(("row", "cut"), list(zip(TABLE_2.values(), BALANCE_ALONE, strict=True)))
def test_the_share_of_balance_alone(row, cut):
    work, idle, sparsity = row[0]
    without_idle = energy((work, 0, sparsity))
    assert 100 * (1 - without_idle / energy((work, idle, sparsity))) == pytest.approx(cut, abs=0.05)


def test_technology_gives_its_figure_and_its_source():
    assert PAPER.leak == 0.21
    assert "Fig. 7(a)" in PAPER.source
    cases = find("paper").sensitivity
    assert cases["components"].leak == pytest.approx(0.279 / (1.070 + 0.246), abs=5e-4)


def test_an_unknown_technology_is_refused_with_the_known():
    with pytest.raises(BadInput, match=r"'7nm'; known: .*paper"):
        load_technology("7nm")


def test_views_of_two_layers():
    layers = [
        Activity(work=100, idle=20, accumulates=30, input_zeros=60, inputs=80),
        Activity(work=200, idle=0, accumulates=20, input_zeros=10, inputs=20),
    ]
    assert layer_energies(layers, PAPER) == pytest.approx([30 + 120 * 0.21, 20 + 200 * 0.21])
    assert layer_energies(layers, PAPER, view="input_sparsity") == pytest.approx(
        [100 * 0.25 + 120 * 0.21, 200 * 0.5 + 200 * 0.21]
    )
    assert layer_energies(layers, PAPER, view="network_average") == pytest.approx(
        [100 * 0.3 + 120 * 0.21, 200 * 0.3 + 200 * 0.21]
    )


def test_a_layer_without_weights_costs_nothing_in_any_view():
    empty = Activity(work=0, idle=0, accumulates=0, input_zeros=1, inputs=2)
    assert empty.spike_sparsity is None
    for view in ("spikes", "input_sparsity", "network_average"):
        assert layer_energies([empty], PAPER, view=view) == [0]


def test_activity_out_of_range_is_refused():
    with pytest.raises(ValueError, match="accumulates = 11, work = 10"):
        Activity(work=10, idle=0, accumulates=11)
    with pytest.raises(ValueError, match="idle = -1"):
        Activity(work=10, idle=-1, accumulates=1)
    with pytest.raises(ValueError, match="input_zeros = 3"):
        Activity(work=10, idle=0, accumulates=1, input_zeros=3, inputs=2)


def test_a_view_without_its_counts_is_refused():
    layer = Activity(work=10, idle=0, accumulates=1)
    assert layer.input_sparsity is None
    with pytest.raises(ValueError, match="needs the input zeros"):
        layer_energies([layer], PAPER, view="network_average")
    with pytest.raises(ValueError, match="unknown view 'average'"):
        layer_energies([layer], PAPER, view="average")


def cut(rows, **options):
    energies = {
        name: answer(
            work=row["work"] * 1e8,
            idle=row["idle"] * 1e8,
            spike_sparsity=row["spikes"] / 100,
            **options,
        )["energy"]
        for name, row in rows.items()
    }
    return 100 * (1 - energies["uticket"] / energies["lth"])


@pytest.mark.parametrize("options", [{"ratio": 0.21}, {"technology": "32nm"}, {}])
@pytest.mark.parametrize("network", ["vgg16", "resnet19"])
@pytest.mark.parametrize("dataset", ["cifar10", "fashion_mnist", "svhn"])
def test_the_printed_tables_give_the_printed_cuts(network, dataset, options):
    rows = published()["tables_1_2"][network][dataset]
    assert abs(cut(rows, **options) - published()["energy_cut"][network][dataset]) < 0.5


def test_another_device_or_free_running_clocks_give_other_cuts():
    rows = published()["tables_1_2"]["vgg16"]["cifar10"]
    ratios = {name: load_technology(name).leak for name in tables()}
    assert ratios["32nm"] == pytest.approx(0.212, abs=5e-4)
    assert ratios["32nm-lstp"] == ratios["32nm"]
    assert ratios["32nm-lop"] == pytest.approx(1.3, abs=0.05)
    assert ratios["32nm-hp"] == pytest.approx(1.8, abs=0.05)
    assert ratios["32nm-ungated"] > 50
    assert cut(rows, technology="32nm-hp") - cut(rows, technology="32nm") > 2


def test_a_technology_is_a_file(tmp_path, monkeypatch):
    """One file more in the folder is one technology more, in answers and in the list of the known."""
    for path in FOLDER.glob("*.yaml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "7nm.yaml").write_text("kind: variant\nbase: 32nm\nungated: [adder]\n")
    monkeypatch.setattr(technology, "FOLDER", tmp_path)
    try:
        technology.known.cache_clear()
        assert "7nm" in tables()
        options = {"work": 100, "idle": 20, "spike_sparsity": 0.5}
        result = answer(technology="7nm", **options)
        assert result["components"]["adder"]["dynamic_pj"] == 0
        assert result["components"]["adder"]["ungated_pj"] == pytest.approx(120 * 256 * 0.140625)
    finally:
        monkeypatch.undo()
        technology.known.cache_clear()


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        (
            "32nm",
            "unit: uW",
            "unit: mW",
            "components.and-gate.leakage.unit = 'mW': Input should be 'uW'",
        ),
        (
            "32nm",
            "clock_mhz: 400",
            "clock_mhz: '400'",
            "clock_mhz = '400': Input should be a valid number",
        ),
        ("32nm", "clock_mhz: 400", "", "clock_mhz: Field required"),
        (
            "32nm",
            "value: 13.44",
            "value: -1",
            "value = -1: Input should be greater than or equal to 0",
        ),
        ("32nm", "  adder:", "  summer:", "components: adder is missing"),
        (
            "32nm",
            "    source: cacti",
            "    source: me",
            "components.spad: source = 'me'; allowed: sata, ",
        ),
        ("32nm-hp", "base:", "basis:", " base: Field required"),
        ("paper", "energy: 0.21", "energy: low", "actions.leak.energy = 'low': Input should be"),
        (
            "paper",
            "kind: constants",
            "kind: ratio",
            "kind = 'ratio'; allowed: components, variant, constants",
        ),
        ("paper", "kind: constants", "", "kind is missing; allowed: components, "),
        ("paper", "energy: 1.0", "energy: 2", "accumulate.energy = 2; allowed: 1, the unit"),
        ("paper", "kind: constants", "kind: [", "not YAML"),
    ],
)
def test_a_technology_that_is_not_whole_is_one_line(tmp_path, name, old, new, told):
    text = (FOLDER / f"{name}.yaml").read_text()
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BadInput, match=re.escape(told)) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_file_without_fields_and_a_base_that_is_no_table(tmp_path):
    path = tmp_path / "mine.yaml"
    for text, held in (("", "None"), ("[a]", "['a']")):
        path.write_text(text)
        with pytest.raises(BadInput, match=re.escape(f"{path}: holds {held}; allowed: fields")):
            read(path)
    path.write_text("kind: variant\nbase: 32nm-lop\n")
    with pytest.raises(BadInput, match=r"base = '32nm-lop'; allowed: 32nm$"):
        load_table(str(path))


@pytest.mark.parametrize("accounting", ACCOUNTINGS)
@pytest.mark.parametrize("name", tables())
def test_lines_add_up_to_the_answer(name, accounting):
    result = answer(
        work=1000,
        idle=200,
        spike_sparsity=0.75,
        technology=name,
        accounting=accounting,
        lif_updates=30,
    )
    parts = [value for line in result["components"].values() for value in line.values()]
    assert sum(parts) == pytest.approx(result["energy_pj"])
    assert result["energy_pj"] == pytest.approx(result["energy"] * result["e_dyn_pj"])
    assert min(parts) >= 0


def test_the_table_of_components_and_eq_3_are_one():
    tabled = answer(work=500, idle=70, spike_sparsity=0.9, technology="32nm")
    view = answer(work=500, idle=70, spike_sparsity=0.9, ratio=tabled["ratio"])
    assert view["energy"] == pytest.approx(tabled["energy"])
    assert view["energy"] == pytest.approx(500 * (0.1 + view["ratio"]) + 70 * view["ratio"])


def test_components_are_the_published_figures():
    content = yaml.safe_load((FOLDER / "32nm.yaml").read_text())
    hz = content["clock_mhz"] * 1e6
    for name, row in content["components"].items():
        assert row["node_nm"] == content["node_nm"] == 32
        assert row["source"] in content["sources"]
        if row["kernel"] in content["kernels"]:
            kernel = content["kernels"][row["kernel"]][row["width_bits"]]
            assert row["dynamic"]["value"] == pytest.approx(kernel["dynamic_mw"] * 1e9 / hz)
            assert row["leakage"]["value"] == kernel["leakage_uw"]
            assert row["area"]["value"] == kernel["area_um2"]
        else:
            assert name in ("spad", "glb", "dram")
    for rows in content["kernels"].values():
        assert {row["source"] for row in rows.values()} <= set(content["sources"])
        if 24 in rows:
            for field in ("area_um2", "dynamic_mw", "leakage_uw"):
                middle = (rows[16][field] + rows[32][field]) / 2
                assert rows[24][field] == pytest.approx(middle, rel=1e-4)
    spad, glb = content["components"]["spad"], content["components"]["glb"]
    assert spad["dynamic"]["value"] == find("32nm-lstp").scratchpad.read_pj
    assert spad["area"]["value"] == pytest.approx(content["srams"][8]["area_mm2"] * 1e6 / 4)
    assert glb["leakage"]["value"] == content["srams"][glb["bytes"] // 1024]["leakage_mw"] * 1e3


def test_eq_3_is_what_one_accumulate_and_one_cycle_cost():
    dynamic, standing = constants(load_table())
    cases = find("paper").sensitivity
    assert dynamic == pytest.approx(1.070 + 0.246, abs=1e-3)
    assert standing == pytest.approx(0.279, abs=1e-3)
    assert cases["components"].leak == pytest.approx(standing / dynamic, abs=5e-4)
    assert cases["itrs_hp"].leak == pytest.approx(load_technology("32nm-hp").leak, abs=0.02)
    assert cases["itrs_lop"].leak == pytest.approx(load_technology("32nm-lop").leak, abs=0.03)


def test_figure_8_bars_hold_all_of_it():
    counts = Counts(accumulates=10, pe_cycles=50, spad_reads=10, spad_writes=3, lif_updates=4)
    lines = breakdown(load_table(), counts, accounting="paper")
    bars = merge(lines)
    assert list(bars) == ["MAC_D", "MEM_D", "LIF_D", "MAC_L", "MEM_L", "LIF_L"]
    assert sum(bars.values()) == pytest.approx(total_pj(lines))
    assert bars["MEM_D"] == pytest.approx(10 * 1.07 + 3 * 0.958)
    assert bars["LIF_D"] == pytest.approx(4 * (0.0775625 + 0.140625 + 0.093575))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"work": -1}, "work = -1"),
        ({"work": float("nan")}, "work = nan"),
        ({"idle": float("inf")}, "idle = inf"),
        ({"spike_sparsity": 1.5}, "spike_sparsity = 1.5; allowed: 0 to 1"),
        ({"ratio": -0.1}, "ratio = -0.1"),
        ({"ratio": 0.2, "technology": "32nm"}, "allowed: one of them"),
        (
            {"technology": "7nm"},
            f"unknown technology '7nm'; known: {', '.join(technology.known())}, or",
        ),
        ({"ratio": 0.2, "accounting": "rtl"}, "accounting 'paper'"),
    ],
)
def test_what_energy_cannot_answer_is_refused(change, told):
    with pytest.raises(BadInput, match=re.escape(told)):
        answer(**{"work": 10, "idle": 0, "spike_sparsity": 0.5, **change})


def test_the_command_answers_in_json_and_by_line(tmp_path, capsys):
    path = tmp_path / "energy.json"
    arguments = "--work 1.34e8 --idle 0.41e8 --spike-sparsity 0.848 --ratio 0.21 --json"
    with pytest.raises(SystemExit) as ended:
        main(["energy", *arguments.split(), str(path)])
    assert not ended.value.code
    content = json.loads(path.read_text())
    assert content["energy"] == pytest.approx(1.34e8 * 0.152 + 1.75e8 * 0.21)
    assert content["ratio"] == 0.21
    assert content["energy_pj"] == pytest.approx(content["energy"] * 1.31605)
    assert "E_leak / E_dyn = 0.2100" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["energy", "--work", "1", "--idle", "-1", "--spike-sparsity", "0"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "uticket: error: idle = -1.0; allowed: a number, 0 or more\n"


def test_what_was_measured_on_gates():
    """The ratio follows from the two energies; its picojoules are its own, not the 32 nm table's."""
    measured = load_technology("nangate45")
    content = yaml.safe_load((FOLDER / "nangate45.yaml").read_text())["actions"]
    ratio = content["leak"]["picojoule"] / content["accumulate"]["picojoule"]
    assert measured.leak == pytest.approx(ratio, rel=1e-3)
    assert find("nangate45").sensitivity["clock"].leak > measured.leak
    result = answer(work=100, idle=20, spike_sparsity=0.5, technology="nangate45")
    dynamic = 50 * content["accumulate"]["picojoule"]
    assert result["energy_pj"] == pytest.approx(dynamic * (1 + 120 / 50 * measured.leak))
    assert result["ratio"] == measured.leak
