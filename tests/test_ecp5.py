"""The netlist for an ECP5: a chip of two PEs after Yosys, in LUTs, block RAM and multipliers, still does what it did.

The models are Yosys' own, and of block RAM and multipliers ecp5_cells.v. In Icarus Verilog, where a row that is
read while it is written is undefined: the RTL promises Yosys that it never uses one (hw.sram.UNUSED_COLLISIONS).
"""

import re
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from hw.config import PRESETS
from hw.export import export
from hw.top import Top
from synth import fpga, yosys
from tb.cocotb_runner import simulate

CONFIG = replace(PRESETS["tiny"], n_pe=2)  # a PE more is the same once more, for minutes in Yosys
SOFT = {  # cells with a model in Yosys, and where in share/ecp5
    "LUT4": "common_sim.vh",
    "LUT2": "common_sim.vh",  # in CCU2C
    "TRELLIS_DPR16X4": "common_sim.vh",
    "TRELLIS_FF": "common_sim.vh",
    "CCU2C": "ccu2c_sim.vh",
}


def models(folder: Path) -> Path:
    """Yosys' models of those cells alone: Icarus does not take all that stands beside them."""
    share = Path(str(metadata.distribution("pyosys").locate_file("pyosys/share/ecp5")))
    found = []
    for cell, file in SOFT.items():
        text = (share / file).read_text()
        found += re.findall(rf"^module {cell}\b.*?^endmodule\n", text, re.MULTILINE | re.DOTALL)
    assert len(found) == len(SOFT)
    path = folder / "models.v"
    path.write_text("\n".join(found))
    return path


@pytest.fixture(scope="module")
def netlist(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ecp5")
    source = export(Top(CONFIG), "top", folder)
    script = [*fpga.synthesis(source, "top", "ecp5"), "write_verilog -noattr netlist.v"]
    yosys.run(script, folder, "top")
    return folder / "netlist.v"


def test_netlist_runs_two_programs(netlist):
    text = netlist.read_text()
    for cell in {*SOFT, "DP16KD", "MULT18X18D"} - {"LUT2"}:
        assert f"\n  {cell} " in text
    cells = [models(netlist.parent), Path(__file__).with_name("ecp5_cells.v")]
    simulate(
        netlist,
        "top",
        "tb.test_top",
        {"machine": "sweep", "n_pe": CONFIG.n_pe},
        "ecp5",
        test="runs",
        simulator="icarus",
        more_verilog=cells,
    )
