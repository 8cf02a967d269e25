"""What synthesis and power write: JSON with every component, text with alike ones as one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synth import measure, power_report, report
from synth.asic import Area
from synth.clocks import Gating
from synth.liberty import Library
from synth.memories import MemoryMacro
from synth.sta import Step, Timing
from tests.tolerance import near

MACRO = MemoryMacro(
    name="ram",
    width=8,
    depth=16,
    enables=1,
    area=100.0,
    access=0.5,
    setup=0.1,
    read=3e-12,
    write=4e-12,
    leakage=1e-6,
    source="a table",
)
AREAS = [
    Area("top.queue_0_memory", 10.0, 6.0, 4, {}),
    Area("top.queue_12_memory", 12.0, 7.0, 5, {}),
    Area("top.window$87.part_0", 1.0, 0.0, 1, {}),
    Area("top.window$87", 2.0, 0.0, 1, {"ram": 2}),
    Area("top", 30.0, 15.0, 9, {"ram": 1}),
]


def timing(slack):
    step = Step("q/D", "DFF", 1.0, 1.5)
    return Timing(2.5, slack, min(slack, 0.0), "a", "q", (step,), (("a", "q", slack),))


def design(slack):
    return report.Design("top", AREAS, 50.0, timing(slack), Gating(28, 20, 3), 9.0)


def test_alike_components_are_one():
    found = report.grouped(AREAS)
    assert [(a.name, a.area, a.sequential, a.cells, a.macros) for a in found] == [
        ("top", 30.0, 15.0, 9, {"ram": 1}),
        ("top.queue_*_memory", 22.0, 13.0, 9, {}),
        ("top.window", 2.0, 0.0, 1, {"ram": 2}),
        ("top.window.part_0", 1.0, 0.0, 1, {}),
    ]


@pytest.mark.parametrize(
    ("slack", "verdict"), [(0.5, "400 MHz met: worst slack 0.500 ns, so 500 MHz"), (-1.5, "MISSED")]
)
def test_report_of_synthesis(tmp_path, slack, verdict):
    library = Library(Path(__file__).with_name("cells.lib"))
    text = report.write(tmp_path, library, 45, [MACRO], [design(slack)]).read_text()
    assert verdict in text
    assert "top: 55 um2 of cells, 50 um2 when optimized across components" in text
    assert "2 x ram: 200 um2" in text
    assert "clocks of 20 of 28 flip-flops gated, by 3 clock-gating cells" in text
    found = json.loads((tmp_path / "report.json").read_text())["designs"][0]
    assert len(found["components"]) == len(AREAS)
    assert found["area_um2"] == near(55)
    assert found["macro_area_um2"] == near(300)
    assert found["slack_ns"] == slack
    assert found["clock_gating"] == {"flip_flops": 28, "gated": 20, "cells": 3}


def stretch(layer, work, accumulates, picojoules):
    """Two windows in which nothing runs, then some in which the layer does; all energy but leakage is the gates' data."""
    n, w = len(work), measure.WINDOW
    idle = np.zeros(2, int)
    counts = [np.append(idle, column) for column in (work, [0] * n, accumulates)]
    return measure.Stretch(
        layer=layer,
        counts=np.stack([np.full(n + 2, w), *counts], axis=1),
        running=np.array([False, False, *[True] * n]),
        clock={"lanes": np.full(n + 2, 2e-12 * w), "clock gates": np.full(n + 2, 1e-12 * w)},
        data=np.append(idle, picojoules) * 1e-12,
        leakage={"lanes": 1.5e-12, "lif": 0.5e-12},
        memories=(
            measure.MemoryUse(
                "ring", 3e-12, 4e-12, 1e-12, np.append([9, 9], [8] * n), np.append([9, 9], [4] * n)
            ),
        ),
    )


ACCUMULATE, WORK = 2, 5  # pJ
MEMORIES = 8 * 3 + 4 * 4
"""pJ of a window in which a layer runs; in the others 9 * 7."""


def two_layers():
    """Of the first an accumulate and a cycle at work cost what is said, of the second a tenth more than all of that."""
    made = []
    for layer, more in (("conv1", 1.0), ("conv2", 1.1)):
        work, added = np.array([100, 200, 250]), np.array([50, 400, 130])
        spent = more * (6 * measure.WINDOW + MEMORIES + WORK * work + ACCUMULATE * added)
        made.append(stretch(layer, work, added, spent - 6 * measure.WINDOW - MEMORIES))
    return made


def test_report_of_power():
    measured = measure.Measured("event", tuple(two_layers()), Gating(28, 20, 3), 4)
    first, second = power_report.rows(measured)
    window = measure.WINDOW
    assert (first.layer, first.windows) == ("conv1", 3)
    assert first.counts == {
        "cycles": 1.0,
        "work": near(550 / 3 / window),
        "drain": 0.0,
        "accumulates": near(580 / 3 / window),
    }
    assert first.joules == {
        "clock": near(3e-12),
        "data": near((WORK * 550 + ACCUMULATE * 580) * 1e-12 / 3 / window),
        "memories": near(MEMORIES * 1e-12 / window),
        "leakage": near(3e-12),
        "all": near((6 + (WORK * 550 + ACCUMULATE * 580) / 3 / window + MEMORIES / window) * 1e-12),
    }
    assert second.joules["all"] == near(1.1 * first.joules["all"])
    # the other layer alone: a tenth too much, an eleventh too little, but for what the idle windows say of a cycle
    assert first.off_without == pytest.approx(0.1, abs=0.02)
    assert second.off_without == pytest.approx(-1 / 11, abs=0.02)
    assert 0 < first.off < first.off_without
    assert second.off_without < second.off < 0
    (alone,) = power_report.rows(replace(measured, stretches=measured.stretches[:1]))
    assert alone.off_without is None


def test_image_and_ratios_of_power():
    counts = {"cycles": 10_000, "work": 4500, "drain": 100, "accumulates": 2000}
    measured = measure.Measured("sweep", tuple(two_layers()), Gating(28, 20, 3), 4)
    prices = measured.fit.prices
    spent = power_report.image(measured, counts)
    assert spent == {
        **{term: near(number * prices[term]) for term, number in counts.items()},
        "all": near(sum(number * prices[term] for term, number in counts.items())),
    }
    step = 4 * prices["accumulates"]
    assert measured.ratios() == {
        "leakage": near(3e-12 / step),
        "leakage_and_clock": near(prices["cycles"] / step),
    }
    assert replace(measured, machine="event").ratios() is None
    found = json.loads(json.dumps(power_report.content(measured, counts)))
    assert found["image"] == {"counts": counts, "joules": near(spent)}
    assert found["residual"] == near(measured.residual)
    assert found["components"] == {
        "lanes": {"clock_cycle": near(2e-12), "leakage_cycle": near(1.5e-12)},
        "lif": {"clock_cycle": 0, "leakage_cycle": near(0.5e-12)},
        "clock gates": {"clock_cycle": near(1e-12), "leakage_cycle": 0},
    }
    (memory,) = found["memories"]
    assert (memory["reads_cycle"], memory["writes_cycle"]) == (8 / 256, 4 / 256)
    text = "\n".join(power_report.text(measured, counts))
    assert "clocks of 20 of 28 flip-flops gated" in text
    assert f"all {spent['all'] * 1e6:.2f} uJ, of it leakage 0.03" in text
    assert "of a cycle 3.000 is leakage (E_leak); E_leak / E_dyn a step" in text
    assert "  conv1            3   0.72   0.00    0.76      3.00" in text


def test_ratio_of_two_machines():
    assert power_report.ratio({"sweep": 400e-6, "event": 100e-6}) == (
        "an image on event takes 0.250 of what it takes on sweep"
    )
