"""Plots: those of the HTML report, as SVG to put into the page, and that of a ticket's rounds."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hw.counters import Counter
from sim.models.components import merge

if TYPE_CHECKING:
    from sim.reports.history import RoundStory

Row = dict[str, Any]
Methods = Sequence[tuple[str, list[Row], Row]]  # name, layers, totals
COLORS = ("#8f8f8f", "#1f6fb4")  # the baseline, the method
ACCOUNTINGS = {"paper": "as the paper counts", "rtl": "as this RTL works"}
ENERGY = {  # the bars of the paper's Fig. 8
    "MAC_D": "#1f6fb4",
    "MEM_D": "#35978f",
    "LIF_D": "#7b3294",
    "MAC_L": "#9ecae1",
    "MEM_L": "#a6dba0",
    "LIF_L": "#c2a5cf",
}
CATEGORIES = {  # of cycles: label and color
    Counter.WORK_CYCLES: ("work", "#1f6fb4"),
    Counter.IDLE_CYCLES: ("idle: at the barrier, without a slice", "#d0d0d0"),
    Counter.STALL_LOAD: ("waiting for weights", "#e08214"),
    Counter.STALL_WINDOW: ("waiting for a window", "#7b3294"),
    Counter.STALL_LIF: ("LIF", "#35978f"),
    Counter.STALL_OUTPUT: ("output", "#c51b7d"),
    Counter.STALL_SHORTCUT: ("identity shortcut", "#8c6d31"),
}


def plots(
    methods: Methods,
    categories: dict[str, dict[str, np.ndarray]],
    pe_cycles: dict[str, dict[str, np.ndarray]],
    components: dict[str, dict[str, Any]],
) -> dict[str, str]:
    """Title: SVG.

    Of each method: `categories` cycles by category, (layers,); `pe_cycles` the same of each PE,
    (n_pe,); `components` of report.json.
    """
    drawn: dict[str, Callable[[Any], None]] = {
        "Work and idle steps by layer (millions, all PEs)": lambda axes: _work(axes, methods),
        "Utilization (Eq. 2) and occupancy by layer": lambda axes: _shares(axes, methods),
        "RTL cycles by layer and category (thousands, mean of the PEs)": lambda axes: _cycles(
            axes, methods, categories
        ),
    }
    drawn["Cycles of each PE, all layers (thousands)"] = lambda axes: _pes(axes, pe_cycles)
    for accounting, what in ACCOUNTINGS.items():
        title = f"Energy of the PEs by component, {what} (µJ)"
        if not all(accounting in found for found in components.values()):
            continue
        bars = {name: merge(found[accounting]["components"]) for name, found in components.items()}
        drawn[title] = partial(energy_stack, bars=bars)
    if len(methods) == 2:
        title = f"{methods[1][0]}, {methods[0][0]} = 1"
        drawn[title] = lambda axes: _totals(axes, methods)
    return {
        title: svg(draw, height=1.6 if title.startswith("Energy of the PEs") else 3)
        for title, draw in drawn.items()
    }


def rounds_plot(stories: dict[str, list[RoundStory]], kind: str) -> bytes:
    """Sparsity and utilization by round of tickets by name, as the content of a file of `kind`."""
    return _file(lambda axes: _rounds(axes, stories), kind)


def svg(draw: Callable[..., None], *values: Any, width: float = 9, height: float = 3) -> str:
    """A plot that draw(axes, *values) makes, as an <svg> element; sizes in inches."""
    text = _file(lambda axes: draw(axes, *values), "svg", width=width, height=height).decode()
    return text.partition("<svg")[1] + text.partition("<svg")[2]


def _file(draw: Callable[[Any], None], kind: str, *, width: float = 9, height: float = 3) -> bytes:
    """What `draw` draws on axes, as SVG or PNG; equal drawings give equal bytes."""
    from hw.home import ensure_home

    ensure_home()
    import matplotlib
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "uticket",
        "font.size": 9,
        "xtick.labelsize": 8,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        content = io.BytesIO()
        metadata = {"svg": {"Date": None}, "png": {"Software": None}}[kind]
        figure.savefig(content, format=kind, metadata=metadata, dpi=150)
    return content.getvalue()


def _places(axes: Any, methods: Methods) -> tuple[list[np.ndarray], float]:
    """Where each method's bars stand, and how wide they are."""
    names = [row["name"] for row in methods[0][1]]
    axes.set_xticks(range(len(names)), names)
    if len(names) > 15:
        axes.tick_params(axis="x", rotation=60)
    width = 0.8 / len(methods)
    left = np.arange(len(names)) - 0.4 + width / 2
    return [left + i * width for i in range(len(methods))], width * 0.92


def legend(axes: Any) -> None:
    """To the right of the axes."""
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _colors(methods: Methods) -> tuple[str, ...]:
    return COLORS[-len(methods) :]


def _work(axes: Any, methods: Methods) -> None:
    places, width = _places(axes, methods)
    for x, (name, layers, _), color in zip(places, methods, _colors(methods), strict=True):
        work = np.array([row["work"] for row in layers]) / 1e6
        idle = np.array([row["idle"] for row in layers]) / 1e6
        axes.bar(x, work, width, color=color, label=f"{name}, work")
        axes.bar(
            x, idle, width, bottom=work, color="white", edgecolor=color, hatch="////", linewidth=0.6,
            label=f"{name}, idle",
        )  # fmt: skip
    axes.set_ylabel("million steps")
    legend(axes)


def _shares(axes: Any, methods: Methods) -> None:
    x = np.arange(len(methods[0][1]))
    axes.set_xticks(x, [row["name"] for row in methods[0][1]])
    for (name, layers, _), color in zip(methods, _colors(methods), strict=True):
        for field, style in (("utilization", "o-"), ("occupancy", "s--")):
            values = [np.nan if row[field] is None else row[field] for row in layers]
            axes.plot(x, values, style, color=color, markersize=4, label=f"{name}, {field}")
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("share")
    legend(axes)


def _cycles(axes: Any, methods: Methods, categories: dict[str, dict[str, np.ndarray]]) -> None:
    places, width = _places(axes, methods)
    for number, (x, (name, _, _)) in enumerate(zip(places, methods, strict=True)):
        bottom = np.zeros(len(x))
        for category in filter(categories[name].__contains__, CATEGORIES):
            label, color = CATEGORIES[category]
            values = categories[name][category] / 1e3
            axes.bar(
                x, values, width, bottom=bottom, color=color, label=label if number == 0 else None
            )
            bottom += values
    axes.set_ylabel("thousand cycles")
    if len(methods) == 2:
        axes.set_xlabel(f"left: {methods[0][0]}, right: {methods[1][0]}")
    legend(axes)


def _pes(axes: Any, pe_cycles: dict[str, dict[str, np.ndarray]]) -> None:
    width = 0.8 / len(pe_cycles)
    for number, values in enumerate(pe_cycles.values()):
        x = np.arange(len(values[Counter.WORK_CYCLES])) - 0.4 + width * (number + 0.5)
        bottom = np.zeros(len(x))
        for category in filter(values.__contains__, CATEGORIES):
            label, color = CATEGORIES[category]
            part = values[category] / 1e3
            axes.bar(
                x,
                part,
                width * 0.92,
                bottom=bottom,
                color=color,
                label=None if number else label,
            )
            bottom += part
    axes.set_xticks(range(len(x)))
    axes.set_xlabel("PE; " + ", ".join(pe_cycles) if len(pe_cycles) > 1 else "PE")
    axes.set_ylabel("thousand cycles")
    legend(axes)


def energy_stack(axes: Any, bars: dict[str, dict[str, float]]) -> None:
    """A bar a method; its parts are those of `ENERGY`, in pJ."""
    stack(axes, bars, ENERGY)
    axes.set_xlabel("µJ an image; D: dynamic, L: standing; MEM: scratchpads")


def stack(axes: Any, bars: dict[str, dict[str, float]], colors: dict[str, str]) -> None:
    """Horizontal bars of parts in pJ, drawn in µJ."""
    left = np.zeros(len(bars))
    for part, color in colors.items():
        values = np.array([bar[part] for bar in bars.values()]) / 1e6
        axes.barh(list(bars), values, left=left, color=color, label=part)
        left += values
    axes.invert_yaxis()
    legend(axes)


def _totals(axes: Any, methods: Methods) -> None:
    (_, _, baseline), (_, _, mine) = methods
    fields = {
        "energy": "energy (Eq. 3)",
        "rtl_cycles": "RTL cycles",
        "latency": "latency (steps)",
        "idle": "idle (steps)",
        "work": "work (steps)",
    }
    shares = [mine[f] / baseline[f] if baseline[f] else np.nan for f in fields]
    bars = axes.barh(list(fields.values()), shares, color=COLORS[1])
    axes.bar_label(bars, fmt="%.3f", padding=3)
    axes.axvline(1, color=COLORS[0])
    axes.set_xlim(0, max(1.15, *(1.1 * s for s in shares if s == s)))


def _rounds(axes: Any, stories: dict[str, list[RoundStory]]) -> None:
    colors = (*COLORS, *(color for _, color in list(CATEGORIES.values())[2:]))
    start = 0 if len(stories) > 1 else 1  # the baseline's gray is for the first of several
    for number, (name, story) in enumerate(stories.items()):
        color = colors[(number + start) % len(colors)]
        x = [row.round for row in story]
        for field, style in (("utilization", "o-"), ("weight_sparsity", "s--")):
            values = [getattr(row, field) for row in story]
            shares = [np.nan if value is None else value for value in values]
            axes.plot(
                x, shares, style, color=color, markersize=4,
                label=f"{name}, {field.replace('_', ' ')}",
            )  # fmt: skip
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("round")
    axes.set_ylim(-0.02, 1.05)
    axes.set_ylabel("share")
    legend(axes)
