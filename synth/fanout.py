"""Large nets of an FPGA netlist split by component: each gets a driver of its own.

A net to thousands of registers all over the chip binds them together: with each PE's part on a driver of its own
nextpnr's placer stood at a fifth of the timing cost after as many rounds (docs/silicon.md). Yosys merges equal drivers, so this is done to
its JSON, after it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

LARGE = 400
"""Cells of a net that is split."""
SPLIT = ("LUT4", "TRELLIS_FF")
"""Drivers that may be there twice."""


def split_large_nets(module: dict[str, Any], component: re.Pattern[str], large: int = LARGE) -> int:
    """Split them in a module of `write_json`, in place; returns how many drivers were added.

    component: the part of a cell's name that says what it is part of; cells without it stay with the net.
    """
    cells = module["cells"]
    drivers: dict[int, tuple[str, str]] = {}
    sinks: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
    highest = 0
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            for place, bit in enumerate(bits):
                if not isinstance(bit, int):
                    continue
                highest = max(highest, bit)
                if cell["port_directions"][port] == "output":
                    drivers[bit] = (name, port)
                else:
                    sinks[bit].append((name, port, place))
    added = 0
    for bit in sorted(b for b, users in sinks.items() if len(users) > large and b in drivers):
        driver, out = drivers[bit]
        if cells[driver]["type"] not in SPLIT:
            continue
        groups: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
        for user in sinks[bit]:
            if match := component.match(user[0]):
                groups[match[0]].append(user)
        for group, users in sorted(groups.items()):
            highest, added = highest + 1, added + 1
            copy = {
                **cells[driver],
                "connections": {**cells[driver]["connections"], out: [highest]},
            }
            cells[f"{group}.copy_{added}"] = copy
            module["netnames"][f"{group}.net_{added}"] = {
                "hide_name": 1,
                "bits": [highest],
                "attributes": {},
            }
            for name, port, place in users:
                connections = cells[name]["connections"]
                connections[port] = [
                    highest if k == place else b for k, b in enumerate(connections[port])
                ]
    return added
