"""Plots of the report of a run, and that of a ticket's rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hw.counters import Counter
from sim.models.components import merge
from sim.reports.answer import Answer
from sim.reports.drawing import COLORS, Plot, legend, name_ticks, picture, plot

if TYPE_CHECKING:
    from sim.reports.history import RoundStory

Row = dict[str, Any]
Methods = Sequence[tuple[str, list[Row], Row]]  # name, layers, totals
ACCOUNTINGS = {"paper": "as the paper counts", "rtl": "as this RTL works"}
ENERGY = {  # the bars of the paper's Fig. 8: D is dynamic, L what a cycle costs whatever happens in it
    "MAC_D": "#1f6fb4",
    "MEM_D": "#35978f",
    "LIF_D": "#7b3294",
    "MAC_L": "#9ecae1",
    "MEM_L": "#a6dba0",
    "LIF_L": "#c2a5cf",
}
SPELLED = {
    "MAC_D": "accumulates",
    "MEM_D": "scratchpads",
    "LIF_D": "LIF updates",
    "MAC_L": "adders, standing",
    "MEM_L": "scratchpads, standing",
    "LIF_L": "LIF, standing",
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
ROUND_LINES = {"utilization": "o-", "weight_sparsity": "s--", "validation_accuracy": "^:"}


def plots(
    methods: Methods,
    answers: Sequence[Answer],
    categories: dict[str, dict[str, np.ndarray]],
    pe_cycles: dict[str, dict[str, np.ndarray]],
    components: dict[str, dict[str, Any]],
) -> dict[str, Plot]:
    """By title.

    answers: of the first screen. Of each method: `categories` cycles by category, (layers,); `pe_cycles` the
    same of each PE, (n_pe,); `components` of report.json.
    """
    drawn: dict[str, Plot] = {}
    if len(methods) == 2:
        reference = methods[0][0]
        title = f"Cycles and energy of an image, share of {reference} ({reference} = 1)"
        drawn[title] = plot(_answers, [one for one in answers if one.method != reference])
    drawn["RTL cycles by layer (thousands)"] = plot(_cycles, methods)
    drawn["Where the cycles of each layer go (%, mean of the PEs)"] = plot(
        _categories, methods, categories
    )
    drawn["Cycles of each PE, all layers (thousands)"] = plot(_pes, pe_cycles)
    drawn["Work and idle steps by layer (millions, all PEs)"] = plot(_work, methods)
    drawn["Utilization (Eq. 2) and occupancy by layer (shares of 1)"] = plot(_shares, methods)
    for accounting, what in ACCOUNTINGS.items():
        if all(accounting in found for found in components.values()):
            bars = {
                name: merge(components[name][accounting]["components"]) for name, _, _ in methods
            }
            title = f"Energy of the PEs by component, {what} (µJ)"
            drawn[title] = plot(energy_stack, bars, height=1.6)
    return drawn


def rounds_plot(stories: dict[str, list[RoundStory]], kind: str) -> bytes:
    """Sparsity, utilization and accuracy by round of tickets by name, as the content of a file of `kind`."""
    return picture(lambda axes: _rounds(axes, stories), kind)


def _places(axes: Any, methods: Methods) -> tuple[list[np.ndarray], float]:
    """Where each method's bars stand, and how wide they are."""
    names = [row["name"] for row in methods[0][1]]
    name_ticks(axes, names)
    width = 0.8 / len(methods)
    left = np.arange(len(names)) - 0.4 + width / 2
    return [left + i * width for i in range(len(methods))], width * 0.92


def _colors(methods: Methods) -> tuple[str, ...]:
    return COLORS[-len(methods) :]


def _work(axes: Any, methods: Methods) -> None:
    places, width = _places(axes, methods)
    for x, (name, layers, _), color in zip(places, methods, _colors(methods), strict=True):
        work = np.array([row["work"] for row in layers]) / 1e6
        idle = np.array([row["idle"] for row in layers]) / 1e6
        axes.bar(x, work, width, color=color, label=f"{name}, work")
        axes.bar(
            x, idle, width, bottom=work, color="none", edgecolor=color, hatch="////", linewidth=0.6,
            label=f"{name}, idle",
        )  # fmt: skip
    axes.set_ylabel("million steps")
    legend(axes)


def _shares(axes: Any, methods: Methods) -> None:
    x = np.arange(len(methods[0][1]))
    name_ticks(axes, [row["name"] for row in methods[0][1]])
    for (name, layers, _), color in zip(methods, _colors(methods), strict=True):
        for field, style in (("utilization", "o-"), ("occupancy", "s--")):
            values = [np.nan if row[field] is None else row[field] for row in layers]
            axes.plot(x, values, style, color=color, markersize=4, label=f"{name}, {field}")
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("share")
    legend(axes)


def _cycles(axes: Any, methods: Methods) -> None:
    places, width = _places(axes, methods)
    for x, (name, layers, _), color in zip(places, methods, _colors(methods), strict=True):
        cycles = [row["rtl_cycles"] / 1e3 for row in layers]
        axes.bar(x, cycles, width, color=color, label=name)
    axes.set_ylabel("thousand cycles")
    legend(axes)


def _categories(axes: Any, methods: Methods, categories: dict[str, dict[str, np.ndarray]]) -> None:
    """Each layer's bar is 100 %."""
    places, width = _places(axes, methods)
    shares = {name: _percent(found) for name, found in categories.items()}
    named = _named(shares)
    for number, (x, (name, _, _)) in enumerate(zip(places, methods, strict=True)):
        bottom = np.zeros(len(x))
        for category in filter(shares[name].__contains__, CATEGORIES):
            label, color = CATEGORIES[category]
            values = shares[name][category]
            told = label if number == 0 and category in named else None
            axes.bar(x, values, width, bottom=bottom, color=color, label=told)
            bottom += values
    axes.set_ylabel("% of the layer's cycles")
    if len(methods) == 2:
        axes.set_xlabel(f"left: {methods[0][0]}, right: {methods[1][0]}")
    legend(axes)


def _named(shares: dict[str, dict[str, np.ndarray]]) -> set[str]:
    """Categories worth a name: half a percent or more in one bar at least."""
    return {c for found in shares.values() for c, share in found.items() if share.max() >= 0.5}


def _percent(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of the cycles of each bar; 0 of one without any."""
    total = np.sum(list(found.values()), axis=0)
    return {c: 100 * values / np.maximum(total, 1) for c, values in found.items()}


def _pes(axes: Any, pe_cycles: dict[str, dict[str, np.ndarray]]) -> None:
    width = 0.8 / len(pe_cycles)
    named = _named({name: _percent(values) for name, values in pe_cycles.items()})
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
                label=label if number == 0 and category in named else None,
            )
            bottom += part
    axes.set_xticks(range(len(x)))
    axes.set_xlabel("PE; " + ", ".join(pe_cycles) if len(pe_cycles) > 1 else "PE")
    axes.set_ylabel("thousand cycles")
    legend(axes)


def energy_stack(axes: Any, bars: dict[str, dict[str, float]]) -> None:
    """A bar a method; its parts are those of `ENERGY`, in pJ."""
    stack(axes, bars, ENERGY)
    axes.set_xlabel("µJ an image; standing: of every cycle")


def stack(axes: Any, bars: dict[str, dict[str, float]], colors: dict[str, str]) -> None:
    """Horizontal bars of parts in pJ, drawn in µJ."""
    left = np.zeros(len(bars))
    for part, color in colors.items():
        values = np.array([bar[part] for bar in bars.values()]) / 1e6
        axes.barh(list(bars), values, left=left, color=color, label=SPELLED.get(part, part))
        left += values
    axes.invert_yaxis()
    legend(axes)


def _answers(axes: Any, answers: Sequence[Answer]) -> None:
    fields = {
        "pe_saved": "energy,\nown counts",
        "energy_saved": "energy,\nEq. 3",
        "cycles_saved": "cycles",
    }
    height = 0.8 / len(answers)
    for number, one in enumerate(answers):
        saved = [getattr(one, field) for field in fields]
        shares = [np.nan if value is None else 1 - value for value in saved]
        y = np.arange(len(fields)) + 0.4 - height * (number + 0.5)
        color = COLORS[1] if number == 0 else "#9ecae1"
        bars = axes.barh(y, shares, height * 0.9, color=color, label=one.method)
        axes.bar_label(bars, fmt="%.3f", padding=3)
    axes.set_yticks(range(len(fields)), list(fields.values()))
    axes.axvline(1, color=COLORS[0])
    axes.set_xlim(0, 1.15)
    legend(axes)


def _rounds(axes: Any, stories: dict[str, list[RoundStory]]) -> None:
    colors = (*COLORS, *(color for _, color in list(CATEGORIES.values())[2:]))
    start = 0 if len(stories) > 1 else 1  # the baseline's gray is for the first of several
    for number, (name, story) in enumerate(stories.items()):
        color = colors[(number + start) % len(colors)]
        x = [row.round for row in story]
        for field, style in ROUND_LINES.items():
            values = [getattr(row, field) for row in story]
            if story and not any(values):
                continue  # older tickets do not say
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
