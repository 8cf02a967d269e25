"""Drawings for pages: each as an SVG for a screen and one for a phone, in the colors of the page around it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

COLORS = ("#8f8f8f", "#1f6fb4")  # the baseline, the method
INK = "#1f2328"  # of text and axes; in a page, the page's own
WIDE, NARROW = 9.0, 4.2  # inches: a screen, and a phone held upright


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A drawing as <svg> elements, of which a page shows the one that fits."""

    wide: str
    narrow: str


def plot(draw: Callable[..., None], *values: Any, height: float = 3) -> Plot:
    """What draw(axes, *values) draws; height of the axes in inches, where a legend stands below, it adds."""

    def drawn(axes: Any) -> None:
        draw(axes, *values)

    return Plot(wide=_svg(drawn, WIDE, height), narrow=_svg(drawn, NARROW, height))


def picture(
    draw: Callable[[Any], None], kind: str, *, width: float = WIDE, height: float = 3
) -> bytes:
    """What `draw` draws on axes, as a file of `kind`, svg or png; equal drawings give equal bytes."""
    from hw.home import ensure_home

    ensure_home()
    import matplotlib
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": f"uticket {width}",
        "font.size": 9,
        "xtick.labelsize": 8,
        **dict.fromkeys(
            ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
        ),
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


def _svg(draw: Callable[[Any], None], width: float, height: float) -> str:
    def on_the_page(axes: Any) -> None:
        axes.figure.patch.set_alpha(0)
        axes.patch.set_alpha(0)
        draw(axes)

    text = picture(on_the_page, "svg", width=width, height=height).decode()
    return text[text.index("<svg") :].replace(INK, "currentColor")


def is_narrow(axes: Any) -> bool:
    """Whether it is drawn for a phone."""
    return bool(axes.figure.get_figwidth() < (WIDE + NARROW) / 2)


def legend(axes: Any) -> None:
    """To the right of the axes, below them on a phone."""
    if not is_narrow(axes):
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        return
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if max(map(len, labels), default=0) <= 22 else 1
    figure = axes.figure
    figure.set_figheight(figure.get_figheight() + 0.19 * math.ceil(len(labels) / columns))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8
    )


def name_ticks(axes: Any, names: Sequence[str]) -> None:
    """Names along x at 0, 1, ..., turned where they would not fit side by side."""
    axes.set_xticks(range(len(names)), names)
    most = 6 if is_narrow(axes) else 15
    if len(names) > most:
        axes.tick_params(axis="x", rotation=90 if is_narrow(axes) else 60)
