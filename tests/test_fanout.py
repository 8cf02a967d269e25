"""Large nets split by component: what every cell sees stays the same, and no net stays large."""

import re
from collections import Counter

from synth.fanout import split_large_nets

COMPONENT = re.compile(r"pe_\d+")


def cell(kind, **ports):
    """Ports `O` and `Q` are outputs, all others inputs."""
    directions = {name: "output" if name in "OQ" else "input" for name in ports}
    connections = {name: list(bits) for name, bits in ports.items()}
    return {
        "type": kind,
        "parameters": {},
        "port_directions": directions,
        "connections": connections,
    }


def module(driver):
    cells = {"driver": driver, "other": cell("LUT4", A=[7], O=[9])}
    for pe in (1, 12):
        for k in range(5):
            cells[f"pe_{pe}.x_{k}"] = cell("LUT4", A=[7], B=[8], O=[100 * pe + k])
    cells["pe_1.wide"] = cell("DP16KD", A=["0", 7, 8, 7], Q=[50])
    return {"cells": cells, "netnames": {}}


def sinks(module):
    count = Counter()
    for one in module["cells"].values():
        for port, bits in one["connections"].items():
            if one["port_directions"][port] == "input":
                count.update(b for b in bits if isinstance(b, int))
    return count


def test_a_driver_for_each_component():
    netlist = module(cell("LUT4", A=[1], B=["1"], O=[7]))
    assert split_large_nets(netlist, COMPONENT, large=8) == 2
    cells = netlist["cells"]
    copies = {name: c for name, c in cells.items() if "copy" in name}
    assert sorted(name.partition(".")[0] for name in copies) == ["pe_1", "pe_12"]
    nets = {name.partition(".")[0]: c["connections"]["O"][0] for name, c in copies.items()}
    assert len({*nets.values(), 7}) == 3
    for copy in copies.values():
        assert copy["type"] == "LUT4"
        assert copy["connections"]["A"] == [1]
        assert copy["connections"]["B"] == ["1"]
    for pe in (1, 12):
        for k in range(5):
            assert cells[f"pe_{pe}.x_{k}"]["connections"]["A"] == [nets[f"pe_{pe}"]]
            assert cells[f"pe_{pe}.x_{k}"]["connections"]["B"] == [8]
    assert cells["pe_1.wide"]["connections"]["A"] == ["0", nets["pe_1"], 8, nets["pe_1"]]
    assert cells["other"]["connections"]["A"] == [7]
    assert sinks(netlist)[7] == 1


def test_what_is_not_split():
    """A small net, one whose driver cannot be there twice, one that comes from outside."""
    for driver, large in (
        (cell("LUT4", A=[1], O=[7]), 100),
        (cell("EHXPLLL", A=[1], O=[7]), 8),
    ):
        netlist = module(driver)
        assert split_large_nets(netlist, COMPONENT, large=large) == 0
        assert sinks(netlist) == sinks(module(driver))
