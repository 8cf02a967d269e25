"""What synthesis and power write: JSON with every component, text with alike ones as one."""

import json
from pathlib import Path

import pytest

from synth import measure, report
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


def test_report_of_power(tmp_path):
    measured = measure.Measured(
        layer="conv8",
        cycles=1000,
        work_cycles=900,
        accumulates=800,
        windows=4,
        leakage_cycle={"lanes": 1.5e-12, "lif": 0.5e-12},
        clock_cycle={"lanes": 2e-12, "clock-gating cells": 1e-12},
        data_cycle=6e-12,
        gating=Gating(28, 20, 3),
        memories=(measure.MemoryUse("ring", 3e-12, 4e-12, 1e-12, 0.04, 0.02),),
        fit={"cycle": 5e-12, "work_cycle": 7e-12, "accumulate": 0.5e-12, "residual": 0.02},
        lanes=4,
    )
    image = measure.Counted(cycles=10_000, work_cycles=4500, accumulates=2000)
    text = measure.write(measured, image, tmp_path).read_text()
    found = json.loads((tmp_path / "power.json").read_text())
    # (1.5 + 0.5 + 1) pJ a cycle, a step a quarter of it; with 5 pJ of clock and control
    assert found["ratios"] == {"leakage": near(1.5), "leakage_and_clock": near(4.0)}
    assert found["paper_ratio"] == 0.21
    assert "leakage alone 1.500, with clock and control 4.00" in text
    assert "clocks of 20 of 28 flip-flops gated" in text
    assert "E_leak = 3.000 pJ a cycle" in text
    # 2000 accumulates, 4500 cycles at work, 10,000 cycles; memories: 0.2 pJ a cycle where nine of ten are at work
    assert found["image"]["joules"] == {
        "accumulates": near(1e-9),
        "work": near(31.5e-9),
        "clock and control": near(50e-9),
        "leakage": near(30e-9),
        "memories": near(1e-9),
        "all": near(113.5e-9),
    }
