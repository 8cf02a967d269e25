"""Clock gating: cells found in Liberty, inserted, simulated, and their energy by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw.counters import CYCLES, Counter
from support.errors import BadInput
from synth import asic, clocks, fit, gates, measure, netlist, power
from synth.functions import possible
from synth.liberty import Library
from synth.memories import MemoryMacro
from synth.recording import Ports, Recording
from tests.tolerance import near

CELLS = Path(__file__).with_name("cells.lib")
CLOCK_GATE = """
  cell ({name}) {{
    area : {area}; cell_leakage_power : 4; clock_gating_integrated_cell : {kind};
    statetable ("C E", "L") {{ table : "L L : - : L, L H : - : H, H - : - : N"; }}
    pin (L) {{ direction : internal; internal_node : "L"; }}
    pin (C) {{
      direction : input; clock_gate_clock_pin : true; capacitance : 0.004;
      internal_power () {{ when : "!E & !G";
        rise_power (scalar) {{ values ("0.003"); }} fall_power (scalar) {{ values ("0.005"); }} }}
      internal_power () {{ when : "E & !G"; fall_power (scalar) {{ values ("0.8"); }} }}
    }}
    pin (E) {{
      direction : input; clock_gate_enable_pin : true; capacitance : 0.001;
    }}
    pin (G) {{
      direction : output; clock_gate_out_pin : true; state_function : "C & L";
      max_capacitance : {drives};
      internal_power () {{ when : "E"; rise_power (scalar) {{ values ("0.020"); }}
        fall_power (scalar) {{ values ("0.040"); }} }}
      internal_power () {{ when : "!E"; fall_power (scalar) {{ values ("0.9"); }} }}
    }}
  }}
"""
RTL = """module part(clk, rst, e, d, kept, wide, few, free);
  input clk, rst; input [2:0] e; input [15:0] d;
  output reg [7:0] kept; output reg [15:0] wide; output reg [1:0] few; output reg [3:0] free;
  always @(posedge clk) begin
    if (rst) kept <= 5; else if (e[0]) kept <= d[7:0];
    if (rst) wide <= 0; else if (e[1]) wide <= d;
    if (rst) few <= 0; else if (e[2]) few <= d[1:0];
    free <= rst ? 0 : d[3:0];
  end
endmodule
"""
PORTS = Ports({"e": 3, "d": 16}, {"kept": 8, "wide": 16, "few": 2, "free": 4})
NETLIST = """module pe(clk, rst, e, q);
  output q;
  GATE _1_  (
    .C(clk),
    .E(e),
    .G(gated)
  );
  INV _2_  (
    .A(q),
    .Y(n)
  );
  DFF \\part.r[0]$_DFFE_PP_  (
    .C(gated),
    .D(n),
    .Q(q)
  );
endmodule
"""
HALF = 1.5**2 / 2


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The tests' cells and two that gate clocks, for up to 12 and 50 flip-flops, and one with a test pin."""
    text = CELLS.read_text().rstrip().removesuffix("}")
    for name, area, kind, drives in (
        ("GATE4", 9, "latch_posedge", 0.100),
        ("GATE", 5, "latch_posedge", 0.025),
        ("GATETEST", 6, "latch_posedge_precontrol", 0.025),
    ):
        text += CLOCK_GATE.format(name=name, area=area, kind=kind, drives=drives)
    path = tmp_path_factory.mktemp("liberty") / "gated.lib"
    path.write_text(text + "}\n")
    return Library(path)


@pytest.fixture(scope="module")
def mapped(library, tmp_path_factory):
    return synthesize(library, tmp_path_factory.mktemp("mapped"))


def synthesize(library, folder):
    source = folder / "part.v"
    source.write_text(RTL)
    return asic.synthesize(source, "part", library, [], folder, flat=True, period=2.5)


def test_cells_that_gate_clocks(library):
    assert library.clock_gates == ["GATE", "GATE4"]  # by what they drive
    pins = library.cells["GATE"].clock_gate
    assert (pins.enable, pins.clock, pins.output) == ("E", "C", "G")
    assert library.cells["GATE"].pins["C"].clock
    assert library.clock_pin == near(2e-15)
    assert Library(CELLS).clock_gates == []


def test_a_clock_gate_without_a_pin_for_its_enable_is_not_used(tmp_path):
    text = CLOCK_GATE.format(name="GATE", area=1, kind="latch_posedge", drives=0.025)
    text = text.replace("clock_gate_enable_pin : true;", "")
    (tmp_path / "odd.lib").write_text(CELLS.read_text().rstrip().removesuffix("}") + text + "}\n")
    assert Library(tmp_path / "odd.lib").clock_gates == []


def test_a_library_without_clock_pins_is_refused(tmp_path):
    text = CELLS.read_text()
    assert "clock : true;" in text
    (tmp_path / "odd.lib").write_text(text.replace("clock : true;", ""))
    with pytest.raises(BadInput, match="no flip-flop whose clock pin has a capacitance"):
        _ = Library(tmp_path / "odd.lib").clock_pin


@pytest.mark.parametrize(
    ("state", "energy"), [({"E": 0, "G": 0}, 4e-15), ({"E": 1, "G": 1}, 0), ({"E": 1}, 800e-15)]
)
def test_energy_in_a_state(library, state, energy):
    assert library.cells["GATE"].pins["C"].energy(state=state) == near(energy)


def test_a_condition_with_a_pin_left_open():
    assert possible("A & !B", {"A": 1})
    assert not possible("A & !B", {"B": 1})
    assert possible("", {"B": 1})


def test_each_set_has_the_smallest_cell_that_drives_it(mapped, library):
    """Eight and 16 flip-flops, with their resets; two are too few, four have no enable."""
    module = netlist.read(mapped.read_text())
    assert clocks.gating(module, library) == clocks.Gating(flip_flops=30, gated=24, cells=2)
    found = clocks.clock_gates(module, library)
    kinds = {instance.name: instance.kind for instance in module.instances}
    behind = {
        instance.name.split("[")[0]: kinds[found[clocks.clock(instance, library)].name]
        for instance in module.instances
        if instance.kind == "DFF" and clocks.clock(instance, library) in found
    }
    assert behind == {"kept": "GATE", "wide": "GATE4"}


def test_a_library_without_such_cells(tmp_path):
    plain = Library(CELLS)
    module = netlist.read(synthesize(plain, tmp_path).read_text())
    found = clocks.gating(module, plain)
    assert found == clocks.Gating(flip_flops=30, gated=0, cells=0)
    assert clocks.describe(found) == "clocks are not gated; 30 flip-flops"


def random_rows(cycles):
    """What RTL does, after a reset of three cycles."""
    rng = np.random.default_rng(5)
    kept, wide, few, free, rows, edges = 5, 0, 0, 0, [], []
    for _ in range(cycles):
        e, d = int(rng.integers(0, 8)), int(rng.integers(0, 1 << 16))
        rows.append((f"{e << 16 | d:x}", f"{kept << 22 | wide << 6 | few << 4 | free:x}"))
        edges.append((e & 1, e >> 1 & 1))
        kept = d & 255 if e & 1 else kept
        wide = d if e & 2 else wide
        few = d & 3 if e & 4 else few
        free = d & 15
    return rows, np.array(edges)


def test_gated_flip_flops_load_when_enabled(mapped, library):
    rows, edges = random_rows(40)
    module = netlist.read(mapped.read_text())
    found = gates.simulate(module, library, PORTS, rows, window=10)
    kinds = {instance.name: instance.kind for instance in module.instances}
    at = {kinds[name]: k for name, k in found.clock_gates.items()}
    passed = edges.reshape(4, 10, 2).sum(1)
    assert found.passed[:, [at["GATE"], at["GATE4"]]].tolist() == passed.tolist()


def test_several_clocks_are_refused(library):
    module = netlist.read(NETLIST.replace(".C(gated)", ".C(other)"))
    with pytest.raises(gates.BadInput, match="several clocks are not simulated: clk, other"):
        gates.simulate(module, library, Ports({"e": 1}, {"q": 1}), [("0", "0")], window=4)


def toggling():
    """NETLIST, 8 cycles, enabled in the first, the third and the last two."""
    q, rows = 0, []
    for e in (1, 0, 1, 0, 0, 0, 1, 1):
        rows.append((f"{e:x}", f"{q:x}"))
        q ^= e
    return rows


def test_energy_by_hand(library):
    module = netlist.read(NETLIST)
    found = power.costs(module, library)
    flop = 2 * (15e-15 + 2e-15 * HALF)
    assert found.clock == {"clock gates": near(2 * (4e-15 + 4e-15 * HALF))}
    assert found.passed == {
        "_1_": {
            "clock gates": near(2 * (30e-15 - 4e-15)),
            "part": near(flop),
        }
    }
    assert found.leakage["clock gates"] == near(4e-9)
    switching = gates.simulate(module, library, Ports({"e": 1}, {"q": 1}), toggling(), window=4)
    clock = power.clock_energy(found, switching, 4)
    assert clock["part"].tolist() == near([2 * flop, 2 * flop])
    shut, passed = found.clock["clock gates"], found.passed["_1_"]["clock gates"]
    assert clock["clock gates"].tolist() == near([4 * shut + 2 * passed] * 2)


def test_a_recording_becomes_windows():
    """Nothing but the clock of one component costs energy, and it has an edge in each cycle in which the PE adds."""
    window = measure.WINDOW
    work, drain = np.array([0, 40, 100, 246, 7]), np.array([0, 0, 3, 10, 0])
    account = np.full((5, window), CYCLES.index(Counter.IDLE_CYCLES))
    account[0] = -1  # no layer runs
    for k in range(5):
        account[k, : work[k]] = CYCLES.index(Counter.WORK_CYCLES)
        account[k, : work[k] // 2] = CYCLES.index(Counter.STALL_WINDOW)
        account[k, window - drain[k] :] = CYCLES.index(Counter.STALL_LIF)
    account[4, -1] = -1
    accumulates = np.arange(5 * window) % 3
    costs = power.Costs({}, {"a": 3e-12}, {"g": {"b": 2e-12}}, {"b": 1e-6})
    switching = gates.Switching(
        {},
        np.zeros((6, 0), np.uint32),
        {"g": 0},
        np.append(work, 9).astype(np.uint32)[:, None],
        [netlist.Instance("m", "ring", {})],
        np.append(work, 9)[:, None],
        2 * np.append(work, 9)[:, None],
    )
    found = measure.stretch(
        "conv",
        Recording(
            [],
            np.zeros(5 * window + 9, int),
            np.append(accumulates, [5] * 9),
            np.append(account.ravel(), [0] * 9),
        ),
        costs,
        switching,
        [MemoryMacro("m", 1, 1, 1, 1.0, 1.0, 0.1, 1e-12, 1.5e-12, 1e-9, "")],
        period=2.5e-9,
        machine="event",
    )
    assert found.counts.tolist() == [
        [window, work[k], drain[k], int(accumulates.reshape(5, window)[k].sum())] for k in range(5)
    ]
    assert found.running.tolist() == [False, True, True, True, False]
    assert found.leak == near(2.5e-15 + 2.5e-18)
    parts = {name: joules.tolist() for name, joules in found.parts.items()}
    assert parts["clock"] == near([window * 3e-12 + n * 2e-12 for n in work])
    assert parts["data"] == [0.0] * 5
    assert parts["memories"] == near([n * 4e-12 for n in work])
    assert parts["leakage"] == near([window * found.leak] * 5)
    assert found.energy.tolist() == near(np.sum(list(parts.values()), axis=0).tolist())
    counts, energy = found.while_running()
    assert counts.tolist() == found.counts[1:4].tolist()
    assert energy.tolist() == found.energy[1:4].tolist()
    one = measure.Measured("event", (found,), clocks.Gating(2, 1, 1), 4)
    assert one.fit.prices["cycles"] == near(3e-12 + found.leak)
    assert one.fit.prices["work"] == near(6e-12)
    assert one.residual < 1e-9
    assert one.without(0) is None
    silent = replace(found, counts=found.counts * [1, 1, 1, 0])
    assert measure.Measured("event", (silent,), one.gating, 4).ratios() is None


def test_a_stall_of_the_sweeps_window_is_no_work():
    account = np.full(measure.WINDOW, CYCLES.index(Counter.STALL_WINDOW))
    switching = gates.Switching(
        {},
        np.zeros((1, 0), np.uint32),
        {},
        np.zeros((1, 0), np.uint32),
        [],
        *[np.zeros((1, 0))] * 2,
    )
    for machine, work in (("sweep", 0), ("event", measure.WINDOW)):
        found = measure.stretch(
            "conv",
            Recording([], 0 * account, 0 * account, account),
            power.Costs({}, {}, {}, {}),
            switching,
            [],
            period=1e-9,
            machine=machine,
        )
        assert found.counts[0, fit.TERMS.index("work")] == work
