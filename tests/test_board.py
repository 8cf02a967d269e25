"""The board's serial line: bytes, credits, programs and results, in Amaranth's own simulator."""

import gc
import re

import pytest
from amaranth import Module
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from hw.config import PRESETS
from hw.loader import Error
from support.errors import BadInput
from synth import boards, fpga
from synth.board import (
    CREDIT,
    CREDIT_BYTE,
    ERROR_BYTE,
    LAST_BYTE,
    RESULT_BYTE,
    Board,
    Link,
)
from synth.uart import Receiver, Transmitter


def simulate(component, *testbenches):
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    simulator.run()


async def put(ctx, stream, payload):
    ctx.set(stream.payload, payload)
    ctx.set(stream.valid, 1)
    await ctx.tick().until(stream.ready)
    ctx.set(stream.valid, 0)


async def get(ctx, stream):
    ctx.set(stream.ready, 1)
    (payload,) = await ctx.tick().sample(stream.payload).until(stream.valid)
    ctx.set(stream.ready, 0)
    return payload


@pytest.mark.parametrize("divisor", [4, 25])
def test_serial_line_loops_back(divisor):
    m = Module()
    m.submodules.transmitter = transmitter = Transmitter(divisor)
    m.submodules.receiver = receiver = Receiver(divisor)
    m.d.comb += receiver.rx.eq(transmitter.tx)
    sent = [0x00, 0xFF, 0x55, 0xA3, 0x01]
    got = []

    async def send(ctx):
        for byte in sent:
            await put(ctx, transmitter.i, byte)

    async def receive(ctx):
        for _ in sent:
            got.append(await get(ctx, receiver.o))

    simulate(m, send, receive)
    assert got == sent


def test_a_byte_without_its_stop_bit_is_none():
    receiver = Receiver(4)
    seen = []

    async def line(ctx):
        for bit in [0] * 10 + [1] * 3 + [0, *[1, 0] * 4, 1, 1, 1]:
            ctx.set(receiver.rx, bit)
            await ctx.tick().repeat(4)

    async def watch(ctx):
        for _ in range(4 * 25):
            await ctx.tick()
            if ctx.get(receiver.o.valid):
                seen.append(ctx.get(receiver.o.payload))
                ctx.set(receiver.o.ready, 1)
            else:
                ctx.set(receiver.o.ready, 0)

    simulate(receiver, line, watch)
    assert seen == [0b01010101]


@pytest.mark.parametrize("bits", [64, 256])
def test_link_carries_a_program_and_its_results(bits):
    link = Link(bits)
    beats = [(k * (1 << bits) // 97) & ((1 << bits) - 1) for k in range(1, 2 * CREDIT + 6)]
    results = [(5, 0), ((1 << 64) - 2, 1)]
    taken, received = [], []

    async def host(ctx):
        for number, size in [(len(beats), 8), *((beat, bits // 8) for beat in beats)]:
            for byte in number.to_bytes(size, "little"):
                await put(ctx, link.i, byte)

    async def array(ctx):
        for _ in beats:
            payload = await get(ctx, link.program)
            taken.append((payload.data, payload.last))
        for value, last in results:
            await put(ctx, link.results, {"data": value, "last": last})

    async def listen(ctx):
        for _ in range(2 + len(results) * 9):
            received.append(await get(ctx, link.o))

    simulate(link, host, array, listen)
    assert taken == [(beat, k == len(beats) - 1) for k, beat in enumerate(beats)]
    assert received == [
        CREDIT_BYTE,
        CREDIT_BYTE,
        RESULT_BYTE,
        *(5).to_bytes(8, "little"),
        LAST_BYTE,
        *((1 << 64) - 2).to_bytes(8, "little"),
    ]


def test_an_error_is_told_once():
    link = Link()
    received = []

    async def array(ctx):
        ctx.set(link.error, Error.DESCRIPTOR)
        await ctx.tick().repeat(50)

    async def listen(ctx):
        ctx.set(link.o.ready, 1)
        for _ in range(40):
            if ctx.get(link.o.valid):
                received.append(ctx.get(link.o.payload))
            await ctx.tick()

    simulate(link, array, listen)
    assert received == [ERROR_BYTE + Error.DESCRIPTOR]


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize("divisor", [-1, 3])
def test_a_line_too_fast_is_refused(divisor):
    for line in (Receiver, Transmitter):
        with pytest.raises(ValueError, match=f"divisor = {divisor}, allowed: 4 and more"):
            line(divisor)
    gc.collect()  # what was refused is never elaborated


def test_constraints_name_every_port():
    ports = {"clk_in", "button", "rx", "tx", *(f"leds[{k}]" for k in range(4))}
    for name in boards.boards():
        target = boards.board(name)
        text = (boards.CONSTRAINTS / target.constraints).read_text()
        if target.vendor == "ecp5":
            named = {line.split('"')[1] for line in text.splitlines() if line.startswith("LOCATE")}
        else:
            named = {
                line.rpartition("get_ports ")[2].strip("{}]") + "]" * ("leds" in line)
                for line in text.splitlines()
                if "PACKAGE_PIN" in line
            }
        assert named == ports, f"board {name}: {target.constraints}"
        board = Board(PRESETS["tiny"], vendor=target.vendor, divider=target.pll_divider, divisor=25)
        Fragment.get(board, None)
        assert set(board.signature.members) == {port.partition("[")[0] for port in ports}


def test_a_board_is_a_file(tmp_path, monkeypatch):
    """One YAML more in the folder is one board more; what is wrong in it is one line."""
    text = (boards.FOLDER / "ulx3s_25f.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    monkeypatch.setattr(boards, "FOLDER", tmp_path)
    assert boards.boards() == ["mine"]
    assert boards.board("mine").nextpnr[0] == "--25k"
    with pytest.raises(BadInput, match="unknown board 'arty_a7'; allowed: mine"):
        boards.board("arty_a7")
    for old, new, told in (
        ("preset: tiny", "preset: huge", "preset = 'huge'; allowed: paper"),
        ("vendor: ecp5", "vendor: gowin", "vendor = 'gowin': Input should be 'ecp5' or 'xilinx'"),
        ("baud: 1000000", "", "baud: Field required"),
        ("ulx3s.lpf", "mine.lpf", "constraints = 'mine.lpf': no such file in"),
        (
            "clock_mhz: 25",
            "clock_mhz: 30",
            "clock_mhz = 30, pll_divider = 24; allowed: clock_mhz = 600 / pll",
        ),
        (
            "clock_mhz: 25\npll_divider: 24",
            "clock_mhz: 60\npll_divider: 10",
            "clock_mhz = 60, pll_divider = 10; allowed: clock_mhz = 600 / pll_divider, a multiple of 25",
        ),
        ("pll_divider", "divider", "pll_divider: Field required"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(BadInput, match=re.escape(told)) as error:
            boards.board("mine")
        assert str(error.value).startswith(f"{path}: ")


def test_nextpnr_report():
    content = (
        '{"fmax": {"core.clk": {"achieved": 31.5, "constraint": 25.0},'
        ' "link.clk": {"achieved": 99.5, "constraint": 25.0}},'
        ' "utilization": {"DP16KD": {"available": 208, "used": 64},'
        ' "DCUA": {"available": 2, "used": 0}}}'
    )
    assert fpga.read_report(content) == ({"DP16KD": (64, 208)}, 31.5)


def test_cells_by_resource():
    cells = {"LUT4": 7, "CCU2C": 2, "TRELLIS_FF": 9, "DP16KD": 3, "TRELLIS_IO": 1}
    found = fpga.count({"design": {"num_cells_by_type": cells}}, "ecp5")
    assert {name: n for name, n in found.items() if n} == {
        "LUT4": 7,
        "carry (two LUT4 each)": 2,
        "flip-flops": 9,
        "block RAM": 3,
    }
    cells = {f"LUT{k}": 1 for k in range(1, 7)}
    assert fpga.count({"design": {"num_cells_by_type": cells}}, "xilinx")["LUT"] == 6


def test_pes_that_no_array_has():
    with pytest.raises(BadInput, match="n_pe = 0, allowed: 1 to 64"):
        fpga.config_of(boards.board("ulx3s_85f"), 0)
    with pytest.raises(BadInput, match="machine = 'x', allowed: sweep, event"):
        fpga.config_of(boards.board("ulx3s_85f"), machine="x")


def test_a_board_has_the_machine_that_is_asked_for(tmp_path):
    """Its own folder, and its own beats: what is not given is the board's preset's."""
    (tmp_path / "four.yaml").write_text("banks: 4\nn_pe: 2\n")
    target = boards.board("ulx3s_85f")
    config = fpga.config_of(target, 3, tmp_path / "four.yaml", "event")
    assert (config.machine, config.banks, config.n_pe) == ("event", 4, 3)
    assert config.tile_side == PRESETS[target.preset].tile_side != PRESETS["paper"].tile_side
    assert fpga.config_of(target) == PRESETS[target.preset]
    folders = [fpga.folder_of("b"), fpga.folder_of("b", tmp_path / "four.yaml", "event")]
    assert [folder.name for folder in folders] == ["b", "b-event-four"]
    for one in (config, fpga.config_of(target, 2)):  # streams of other widths are not connected
        Fragment.get(Board(one, vendor="ecp5", divider=24, divisor=25), None)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo 'ERROR: no place for cell x'; exit 1",
            r"^fpga-tool: no place for cell x \(see .*log\)$",
        ),
        ("echo 'Failed to open'; exit 3", r"^fpga-tool: it ended with status 3 \(see .*log\)$"),
    ],
)
def test_an_fpga_tool_that_fails(tmp_path, monkeypatch, script, reason):
    tool = tmp_path / "yowasp-fpga-tool"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(BadInput, match=reason):
        fpga.run_tool("fpga-tool", [], tmp_path)


def test_tools_are_given_files_beside_the_netlist(tmp_path, monkeypatch):
    """YoWASP has a /tmp of its own, so that no path of a checkout there is one to it."""
    given = []

    def run_tool(name, arguments, folder):
        assert folder == tmp_path
        given.extend(arguments)
        for file in ("board.bit.partial", "nextpnr.json"):
            (tmp_path / file).write_text('{"fmax": {}, "utilization": {}}')

    monkeypatch.setattr(fpga, "run_tool", run_tool)
    monkeypatch.setattr(fpga, "read_report", lambda text: ({}, 1.0))
    target = boards.board("ulx3s_25f")
    fpga.place_and_route(target, tmp_path)
    assert not any(one.startswith("/") for one in given)
    assert (tmp_path / "board.lpf").read_text() == (boards.CONSTRAINTS / "ulx3s.lpf").read_text()


def test_an_fpga_tool_that_is_missing(tmp_path):
    with pytest.raises(BadInput, match=r"^yowasp-fpga-tool is missing; `make fpga` sets it up$"):
        fpga.run_tool("fpga-tool", [], tmp_path)
