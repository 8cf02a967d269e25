"""The README: its links lead somewhere, its numbers are the figure's and the models'. The API page is complete."""

import re
from pathlib import Path

import pytest

import uticket
from benchmarks.readme_plot import METHODS, OUT, Bar, cycles_of, svg
from sim.catalog import load_model
from sim.paper.claims import claims
from sim.paper.pairs import load_pairs

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
FIGURE = OUT.read_text(encoding="utf-8")


def drawn() -> dict[tuple[str, str], int]:
    """Cycles of the figure: (machine, label of the ticket) -> number."""
    told = re.search(r"<desc[^>]*>(.*)</desc>", FIGURE)[1]
    found = re.findall(r"(\w+) machine, ([^:;]+): ([\d,]+)", told)
    return {(machine, label): int(number.replace(",", "")) for machine, label, number in found}


def test_links_to_files():
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXT)
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize(("figure", "folder"), [("array", "hw"), ("event", "hw/event")])
def test_every_box_of_a_block_diagram_is_a_file(figure, folder):
    drawn = (ROOT / "docs" / "figures" / f"{figure}.svg").read_text(encoding="utf-8")
    files = re.findall(r">(\w+\.py)<", drawn)
    assert len(files) > 10
    assert [
        one for one in files if not any((ROOT / f / one).exists() for f in (folder, "hw"))
    ] == []


def test_the_table_has_the_figures_numbers():
    for machine, row in (("sweep", "cycles"), ("event", "cycles on the *event machine*")):
        line = next(line for line in TEXT.splitlines() if line.startswith(f"| {row} |"))
        numbers = [int(cell.strip(" *").replace(",", "")) for cell in line.split("|")[2:-1]]
        assert numbers == [drawn()[machine, label] for label in METHODS.values()]


def test_the_figure_is_what_the_script_draws():
    bars: list[Bar] = [
        (f"{machine} machine, {label}", machine, cycles)
        for (machine, label), cycles in drawn().items()
    ]
    assert svg(bars) == FIGURE


def test_the_claims_are_those_of_make_paper():
    pairs, _ = load_pairs([load_model("vgg16_cifar10")], images=1)
    wanted = [
        [one.claim.removeprefix("vgg16_cifar10: "), one.printed, one.ours, one.verdict]
        for one in claims(pairs)
    ]
    lines = TEXT[TEXT.index("| claim |") :].split("\n\n")[0].splitlines()[2:]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines] == wanted


@pytest.mark.parametrize("machine", ["sweep", "event"])
def test_the_u_tickets_cycles_are_the_models(machine):
    assert cycles_of(machine, "uticket") == drawn()[machine, METHODS["uticket"]]


def test_the_api_page_has_every_name():
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    named = [line.rpartition(".")[2] for line in page.splitlines() if line.startswith(":::")]
    assert sorted(named) == sorted(uticket.__all__)
