"""Design-space sweeps: every point of a spec, and the rows as a file; docs/sweep.md."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from sim.explore.evaluate import COLUMNS, Draws, Row, batches
from sim.explore.journal import open_journal, read_journal
from sim.explore.spec import Spec
from sim.explore.workers import workers
from support.errors import BadInput
from support.files import atomic_write


def run(
    spec: Spec,
    journal: Path,
    *,
    jobs: int,
    scheduler: str | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> list[Row]:
    """All rows, in the order of the points.

    journal: keeps rows as they come; those of an earlier run of the same sweep are taken from it.
    jobs: processes on this machine. scheduler: address of a Dask scheduler to use instead.
    done: is told how many points came to be there.
    """
    draws = Draws(spec.seed, spec.spread, spec.spike_sparsity, spec.technology, spec.base)
    rows = read_journal(journal, spec)
    if rows:
        done(len(rows))
    left = [point for point in spec.points if point not in rows]
    tasks = batches(left)
    fresh = not rows
    with open_journal(journal, spec, fresh=fresh) as write, workers(jobs, scheduler) as submit:
        for batch, found in submit(tasks, draws):
            for point, row in zip(batch, found, strict=True):
                rows[point] = row
            write(found)
            done(len(found))
    return [rows[point] for point in spec.points]


def check_format(path: Path) -> None:
    """Raises BadInput where a file of that name cannot be written for want of pyarrow."""
    try:
        if path.suffix == ".parquet":
            importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise BadInput(
            f"{path}: Parquet needs pyarrow; allowed: .csv, or `.venv/bin/pip install -e '.[sweep]'`"
        ) from None


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """CSV, or Parquet by the file's name. Raises BadInput where pyarrow is missing."""
    check_format(path)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table({name: [row[name] for row in rows] for name in COLUMNS})
        with atomic_write(path) as file:
            pyarrow.parquet.write_table(table, file)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
