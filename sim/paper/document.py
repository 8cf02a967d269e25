"""`make paper`: the paper's tables and figures from our own tickets, beside the printed ones (docs/paper.md)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.catalog import Method, Model
from sim.deployment import deployments
from sim.files import atomic_write, write_json
from sim.study import Study, study

SCHEMA = "uticket-paper-1"
PAIR = ("lth", "uticket")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A model's lottery ticket and its u-Ticket."""

    name: str
    network: str
    dataset: str
    lth: Study
    uticket: Study

    @property
    def studies(self) -> tuple[Study, Study]:
        """Both."""
        return self.lth, self.uticket


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under columns, which say their units; None is a dash."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table or figure of the paper. Plots are SVG by title."""

    key: str
    title: str
    text: str
    tables: list[Table]
    plots: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the paper says, what it said it with, and what we find."""

    claim: str
    printed: str
    ours: str
    verdict: str
    """holds, holds in part, does not hold, or open."""
    why: str


@dataclass(frozen=True, kw_only=True)
class Paper:
    """All of the report."""

    claims: list[Claim]
    sections: list[Section]
    pairs: list[Pair]
    missing: list[str]
    """Models whose tickets are not there, with the first file that is missing."""


def load_pairs(
    models: Sequence[Model], *, images: int, step: Callable[[str], None] = lambda _: None
) -> tuple[list[Pair], list[str]]:
    """The models that have both tickets, studied, and a line for each that has not.

    step: is told what happens next.
    """
    pairs, missing = [], []
    for model in models:
        absent = [name for name in PAIR if name not in model.methods]
        methods: list[Method] = [model.methods[name] for name in PAIR if name in model.methods]
        files = [method.ticket for method in methods if not method.ticket.is_file()]
        if absent or files:
            why = f"no method {absent[0]}" if absent else f"{files[0].name} is not there"
            missing.append(f"{model.name}: {why}")
            continue
        step(f"models of {model.name}")
        lth, uticket = (study(d, images) for d in deployments(model, methods, model.hardware))
        if not (lth.rounds and uticket.rounds):
            missing.append(f"{model.name}: a ticket without a recorded round")
            continue
        pairs.append(
            Pair(
                name=model.name,
                network=lth.ticket.metadata["network"],
                dataset=lth.ticket.metadata["dataset"],
                lth=lth,
                uticket=uticket,
            )
        )
    return pairs, missing


def write(paper: Paper, folder: Path) -> None:
    """Write paper.html, paper.json and a CSV a table into `folder`, each whole or not at all."""
    text = page(paper)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in csv_files(paper).items():
        with atomic_write(folder / name) as file:
            file.write(csv_text(table).encode())
    write_json(folder / "paper.json", content(paper))
    with atomic_write(folder / "paper.html") as file:
        file.write(text.encode())


def content(paper: Paper) -> dict[str, Any]:
    """paper.json."""
    return {
        "schema": SCHEMA,
        "models": [pair.name for pair in paper.pairs],
        "missing": paper.missing,
        "claims": [vars(claim) for claim in paper.claims],
        "sections": [
            {
                "key": section.key,
                "title": section.title,
                "notes": section.notes,
                "tables": [
                    {
                        "title": t.title,
                        "columns": list(t.columns),
                        "rows": [list(r) for r in t.rows],
                    }
                    for t in section.tables
                ],
            }
            for section in paper.sections
        ],
    }


def csv_files(paper: Paper) -> dict[str, Table]:
    """File names and their tables."""
    return {
        f"{section.key}_{number}.csv": table
        for section in paper.sections
        for number, table in enumerate(section.tables, 1)
    }


def csv_text(table: Table) -> str:
    """A table as CSV; what is not there is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue()


def page(paper: Paper) -> str:
    """The HTML page, complete in itself."""
    from sim.reports.html import render

    return render("paper.html.j2", paper=paper)
