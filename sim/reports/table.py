"""Tables for people: framed and bold on a terminal, plain columns otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def cell(value: object) -> str:
    """12,345 for an integer, four decimals for a float, true or false, a dash for what is not there."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], total: Sequence[object]
) -> None:
    """Print rows and a last row of totals; the first column is text, the others are numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000  # nothing is cut or wrapped in a file
    table = Table(
        box=box.SIMPLE_HEAD if console.is_terminal else None,
        show_footer=True,
        pad_edge=False,
    )
    for index, (column, last) in enumerate(zip(columns, total, strict=True)):
        table.add_column(
            Text(column),
            Text(cell(last)),
            justify="right" if index else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    console.print(Text(title))
    console.print(table)
