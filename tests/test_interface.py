"""A PE as the array sees it: OpenSTA's words on its ports, the Liberty cell made of them, its loads."""

import re
from pathlib import Path

import pytest

from support.errors import BadInput
from synth import asic, interface, netlist
from synth.interface import PortTiming
from synth.liberty import Library

CELLS = Path(__file__).with_name("cells.lib")
REPORT = """== a
Startpoint: a[1] (input port clocked by clk)
   0.5000    0.5000 v input external delay
   0.0000    0.5000 v a[1] (in)
   0.3000    0.8000 v _1_/ZN (NAND)
             0.8000   data arrival time
   2.5000    2.5000   clock clk (rise edge)
             2.4000   data required time
             1.6000   slack (MET)
== spare
No paths found.
== q
Endpoint: q (output port clocked by clk)
   0.2500    0.2500 ^ r/Q (DFF)
             0.2500   data arrival time
            -0.7500   slack (VIOLATED)
== constant
No paths found.
"""
INPUTS, OUTPUTS = {"a": 2, "spare": 1}, {"q": 1, "constant": 1}


def test_opensta_on_the_ports():
    """`a` comes half a nanosecond after the edge and would do 1.6 ns later: 2.1 ns after it."""
    found = interface.parse(REPORT, INPUTS, OUTPUTS, 3e-15, 2.5, Path("x.txt"))
    assert found == {
        "a": PortTiming(2, 3e-15, required=pytest.approx(2.1)),
        "spare": PortTiming(1, 3e-15, required=2.5),
        "q": PortTiming(1, 0.0, arrival=0.25),
        "constant": PortTiming(1, 0.0, arrival=0.0),
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a", "   slack (MET)"),
        ("q", "   data arrival time"),
        ("spare", "No paths"),
        ("constant", "No"),
    ],
)
def test_opensta_silent_on_a_port(name, text):
    before, mark, rest = REPORT.partition(f"== {name}\n")
    with pytest.raises(BadInput, match=f"nothing of port {name}"):
        interface.parse(
            before + mark + rest.replace(text, "?", 1), INPUTS, OUTPUTS, 0.0, 2.5, Path("x.txt")
        )


def test_liberty_of_the_ports(tmp_path):
    """Setup is what is left of the period; a bus has its width."""
    path = tmp_path / "pe.lib"
    timing = interface.parse(REPORT, INPUTS, OUTPUTS, 3e-15, 2.5, Path("x.txt"))
    path.write_text(interface.liberty(timing, 2.5))
    pins = Library(path).cells["pe"].pins
    assert pins["a"].capacitance == pytest.approx(3e-15)
    assert {name: pin.direction for name, pin in pins.items()} == {
        **dict.fromkeys(["clk", "rst", "a", "spare"], "input"),
        **dict.fromkeys(["q", "constant"], "output"),
    }
    text = path.read_text()
    assert re.findall(r'rise_constraint \(scalar\) \{ values \("([\d.]+)"\)', text) == [
        "0.4000",
        "0.0000",
    ]
    assert re.findall(r'cell_rise \(scalar\) \{ values \("([\d.]+)"\)', text) == [
        "0.2500",
        "0.0000",
    ]
    assert "bit_width : 2;" in text


def test_mapper_sees_every_pe_behind_a_net(tmp_path):
    """One gate before 16 PEs: buffers, so that no net is at all of them."""
    inputs, outputs = {"a": 1, "w": 2}, {"q": 1}
    pes = "".join(
        f"  pe pe_{k}(.clk(clk), .rst(rst), .a(a & b), .w({{a, b}}), .q(q[{k}]));\n"
        for k in range(16)
    )
    source = tmp_path / "top.v"
    source.write_text(f"module top(input clk, rst, a, b, output [15:0] q);\n{pes}endmodule\n")
    boxes, loads = interface.verilog(inputs, outputs), interface.loads(inputs, outputs)
    path = asic.synthesize(
        source,
        "top",
        Library(CELLS),
        [],
        tmp_path,
        flat=True,
        period=2.5,
        boxes=boxes,
        box_loads=loads,
    )
    found = netlist.read(path.read_text()).instances
    nets = {tuple(instance.pins["a"]) for instance in found if instance.kind == "pe"}
    assert len(nets) > 1
    assert sorted(i.name for i in found if i.kind == "pe") == sorted(f"pe_{k}" for k in range(16))
