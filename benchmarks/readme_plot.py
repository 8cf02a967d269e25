"""The README's plot, docs/figures/cycles.svg: cycles of one image by ticket and machine.

`benchmarks/readme_plot.py` takes the shipped VGG-16 tickets through the models of `uticket estimate`,
about a minute on one core. Nothing is built; `make sim` holds the models to the RTL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape

from sim.catalog import load_model
from sim.deployment import deployments
from sim.estimate import estimate

MODEL = "vgg16_cifar10"
METHODS = {"lth": "lottery ticket", "sort": "sorted", "uticket": "u-Ticket"}
OUT = Path(__file__).parent.parent / "docs" / "figures" / "cycles.svg"
WIDTH, LEFT, RIGHT, TOP, ROW = 760, 270, 120, 64, 34
STYLE = """
    .card { fill: #ffffff; } text { font: 15px system-ui, sans-serif; fill: #1c1c1c; }
    .title { font-size: 17px; font-weight: 600; } .sweep { fill: #8f8f8f; } .event { fill: #1f6fb4; }
    @media (prefers-color-scheme: dark) {
      .card { fill: #16191d; } text { fill: #e8e8e8; } .sweep { fill: #9a9a9a; } .event { fill: #5aa7e6; }
    }"""

Bar = tuple[str, str, float]
"""Label, class of the bar (the machine), cycles."""


def cycles_of(machine: str, method: str) -> float:
    """Cycles of the first test image, input included, by the models."""
    model = load_model(MODEL)
    config = replace(model.hardware, machine=machine)
    (deployed,) = deployments(model, [model.method(method)], config)
    pixels, _ = deployed.test_images(1)
    return estimate(deployed, pixels).totals["cycles"]


def bars() -> list[Bar]:
    """Every ticket on both machines."""
    return [
        (f"{machine} machine, {label}", machine, cycles_of(machine, method))
        for machine in ("sweep", "event")
        for method, label in METHODS.items()
    ]


def svg(rows: Sequence[Bar]) -> str:
    """A bar a row, its number behind it; readable on light and dark pages."""
    height = TOP + ROW * len(rows) + 16
    scale = (WIDTH - LEFT - RIGHT) / max(cycles for _, _, cycles in rows)
    title = f"{MODEL}: clock cycles for one image, 16 PEs (less is better)"
    told = "; ".join(f"{label}: {cycles:,.0f}" for label, _, cycles in rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        ' aria-labelledby="title told">',
        f'  <title id="title">{escape(title)}</title>',
        f'  <desc id="told">{escape(told)}</desc>',
        f"  <style>{STYLE}\n  </style>",
        f'  <rect class="card" width="{WIDTH}" height="{height}" rx="8"/>',
        f'  <text class="title" x="20" y="36">{escape(title)}</text>',
    ]
    for row, (label, machine, cycles) in enumerate(rows):
        y = TOP + ROW * row
        length = scale * cycles
        lines += [
            f'  <text x="{LEFT - 12}" y="{y + 19}" text-anchor="end">{escape(label)}</text>',
            f'  <rect class="{machine}" x="{LEFT}" y="{y + 2}" width="{length:.1f}" height="24"/>',
            f'  <text x="{LEFT + length + 8:.1f}" y="{y + 19}">{cycles:,.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    OUT.write_text(svg(bars()), encoding="utf-8")
