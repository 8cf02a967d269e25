"""A ticket's rounds: workload out of the recorded nnz of every filter, the table and the plot."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from sim.cli import main, uticket
from sim.models.workload import layer_workload, totals
from sim.reports.history import rounds
from sw import ticket
from tests.random_networks import random_ticket

HISTORY = [
    {"keep": 1.0, "images": 64, "ticks": 1, "validation_accuracy": 0.5, "weight_sparsity": 0.0},
    {"keep": 0.5, "images": 32, "ticks": 4, "validation_accuracy": 0.25, "weight_sparsity": 0.5},
    {"keep": 0.3},
]


def with_rounds(seed: int = 1, **options) -> ticket.Ticket:
    """A ticket whose rounds differ: all weights, then random counts, then its masks."""
    result = random_ticket(seed, history=HISTORY, **options)
    rng = np.random.default_rng(seed)
    for name, mask in result.masks.items():
        result.history_nnz[name][0] = mask[0].size
        result.history_nnz[name][1] = rng.integers(0, mask[0].size + 1, len(mask))
    return result


@pytest.mark.parametrize("n_pe", [None, 5])
def test_every_round_is_the_workload_of_its_recorded_filters(n_pe):
    loaded = with_rounds(n_pe=8)
    story = rounds(loaded, n_pe=n_pe)
    assert len(story) == 3
    positions = {"conv2": 1024, "conv3": 64, "conv4": 64, "fc": 1}
    for number, row in enumerate(story):
        expected = totals(
            layer_workload(
                name,
                loaded.history_nnz[name][number],
                parameters=mask.size,
                positions=positions[name],
                ticks=4,
                n_pe=n_pe or 8,
            )
            for name, mask in loaded.masks.items()
        )
        assert row.round == number
        assert (row.utilization, row.occupancy) == (expected.utilization, expected.occupancy)
        assert row.weight_sparsity == expected.weight_sparsity
    assert (story[0].ticks, story[0].images, story[0].validation_accuracy) == (1, 64, 0.5)
    assert story[2].validation_accuracy is None
    assert story[2].nnz == loaded.metadata["nnz"]


def test_a_round_without_weights_has_no_utilization():
    loaded = with_rounds()
    for nnz in loaded.history_nnz.values():
        nnz[1] = 0
    row = rounds(loaded)[1]
    assert (row.utilization, row.occupancy, row.weight_sparsity) == (None, None, 1)


def show(*arguments) -> str:
    result = CliRunner().invoke(uticket, ["show", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def paths(tmp_path):
    """A lottery ticket and a balanced one."""
    result = [tmp_path / "lth.npz", tmp_path / "uticket.npz"]
    for path, policy in zip(result, ("none", "magnitude"), strict=True):
        ticket.save(with_rounds(policy=policy, method=path.stem), path)
    return result


def test_show_prints_a_line_a_round_and_writes_balance_into_the_history(paths, tmp_path):
    output = show(paths[0], "--json", tmp_path / "m.json")
    loaded = ticket.load(paths[0])
    story = rounds(loaded)
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("round "))
    table = [line.split() for line in lines[start : start + 4]]
    assert table[0][3:] == [
        "validation_accuracy", "nnz", "weight_sparsity", "utilization", "occupancy",
    ]  # fmt: skip
    for row, cells in zip(story, table[1:], strict=True):
        assert cells[0] == str(row.round)
        assert cells[4:] == [
            f"{row.nnz:,}", f"{row.weight_sparsity:.4f}", f"{row.utilization:.4f}",
            f"{row.occupancy:.4f}",
        ]  # fmt: skip
    assert [cells[3] for cells in table[1:]] == ["0.5000", "0.2500", "-"]
    history = json.loads((tmp_path / "m.json").read_text())["history"]
    assert history == [
        {**row, "utilization": s.utilization, "occupancy": s.occupancy}
        for row, s in zip(HISTORY, story, strict=True)
    ]


def test_a_plot_of_two_tickets_names_and_draws_both(paths, tmp_path):
    output = show(*paths, "--plot", tmp_path / "rounds.svg")
    assert output.count("at the end of each round, 16 PEs") == 2
    drawn = (tmp_path / "rounds.svg").read_text()
    for method in ("lth", "uticket"):
        for field in ("utilization", "weight sparsity", "validation accuracy"):
            assert f"small cifar10 {method}, {field}" in drawn
    show(*paths, "--plot", tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn
    ticket.save(with_rounds(seed=2, method="uticket"), paths[1])
    show(*paths, "--plot", tmp_path / "other.svg")
    assert (tmp_path / "other.svg").read_text() != drawn


def test_a_plot_of_one_ticket_as_png(paths, tmp_path):
    show(paths[0], "--plot", tmp_path / "rounds.png")
    assert (tmp_path / "rounds.png").read_bytes().startswith(b"\x89PNG")


def test_tickets_of_one_name_are_told_apart_by_their_files(paths, tmp_path):
    ticket.save(with_rounds(seed=2, method="lth"), paths[1])
    show(*paths, "--plot", tmp_path / "rounds.svg")
    drawn = (tmp_path / "rounds.svg").read_text()
    assert "lth.npz, utilization" in drawn
    assert "uticket.npz, utilization" in drawn


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--plot", "rounds.pdf", "--plot rounds.pdf; allowed: a name that ends in .svg or .png"),
        ("--json", "m.json", "--json with 2 tickets; allowed: one"),
    ],
)
def test_bad_options_are_one_line_and_status_2(paths, capsys, option, value, message):
    with pytest.raises(SystemExit) as stopped:
        main(["show", *map(str, paths), option, value])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"uticket: error: {message}\n"


def test_a_ticket_without_rounds_has_no_table(tmp_path):
    ticket.save(random_ticket(1, rounds=0, history=[]), tmp_path / "t.npz")
    assert "each round" not in show(tmp_path / "t.npz", "--plot", tmp_path / "t.svg")
