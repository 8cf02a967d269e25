"""HTML pages of one look, complete in themselves: base.html.j2 and what extends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def render(template: str, **values: Any) -> str:
    """A page from a template of this folder. Everything is escaped but what is marked safe."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["numeric"] = numeric
    environment.filters["short"] = short
    return environment.get_template(template).render(**values)


def number(value: object) -> str:
    """As in the printed table, but floats as short as they may be: four digits, or all before the point."""
    if isinstance(value, float) and abs(value) > 1:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
    from sim.reports.table import cell

    return cell(value)


def short(value: object) -> str:
    """As `number`, but a float has the same three decimals, or fewer where it is larger."""
    if not isinstance(value, float):
        return number(value)
    return f"{value:,.{3 if abs(value) < 10 else 2 if abs(value) < 100 else 0}f}"


def numeric(value: object) -> bool:
    """Whether a cell stands to the right: a number, or what is not there."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
