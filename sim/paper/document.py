"""What `uticket paper` writes: tables with rows of one dataclass, figures, claims; docs/paper.md."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sim.reports.drawing import Plot
from support.files import atomic_write, write_json

SCHEMA = "uticket-paper-1"


def column(header: str) -> Any:
    """A field of a row, under a header that says its unit.

    A field that holds a mapping is a column for each of its keys.
    """
    return field(metadata={"header": header})


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under columns, which say their units; None is a dash."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def table(title: str, kind: type, rows: Sequence[Any]) -> Table:
    """A table of dataclasses of one kind, whose fields are made by `column`."""
    columns = []
    for one in fields(kind):
        value = getattr(rows[0], one.name) if rows else None
        columns += list(value) if isinstance(value, dict) else [one.metadata["header"]]
    return Table(title=title, columns=columns, rows=[_cells(row) for row in rows])


def _cells(row: Any) -> list[object]:
    cells: list[object] = []
    for one in fields(row):
        value = getattr(row, one.name)
        cells += value.values() if isinstance(value, dict) else [value]
    return cells


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table or figure of the paper. Plots are SVG by title."""

    key: str
    title: str
    text: str
    tables: list[Table]
    plots: dict[str, Plot] = field(default_factory=dict)
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
    models: list[str]
    missing: list[str]
    """Models whose tickets are not there, with the first file that is missing."""
    images: int
    """Test images that spikes are counted on."""
    provenance: dict[str, Any]
    """Of `sim.reports.provenance`."""


def write(paper: Paper, folder: Path) -> None:
    """Write paper.html, paper.json and a CSV a table into `folder`, each whole or not at all."""
    text = page(paper)
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in csv_files(paper).items():
        with atomic_write(folder / name) as file:
            file.write(csv_text(one).encode())
    write_json(folder / "paper.json", content(paper))
    with atomic_write(folder / "paper.html") as file:
        file.write(text.encode())


def content(paper: Paper) -> dict[str, Any]:
    """paper.json."""
    return {
        "schema": SCHEMA,
        "models": paper.models,
        "missing": paper.missing,
        "images": paper.images,
        "provenance": paper.provenance,
        "claims": [vars(claim) for claim in paper.claims],
        "sections": [
            {
                "key": section.key,
                "title": section.title,
                "notes": section.notes,
                "tables": [vars(one) for one in section.tables],
            }
            for section in paper.sections
        ],
    }


def csv_files(paper: Paper) -> dict[str, Table]:
    """File names and their tables."""
    return {
        f"{section.key}_{number}.csv": one
        for section in paper.sections
        for number, one in enumerate(section.tables, 1)
    }


def csv_text(one: Table) -> str:
    """A table as CSV; what is not there is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(one.columns)
    writer.writerows(one.rows)
    return text.getvalue()


def page(paper: Paper) -> str:
    """The HTML page, complete in itself."""
    from sim.reports.html import render

    return render("paper.html.j2", paper=paper)
