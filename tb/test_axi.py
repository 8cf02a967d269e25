"""The chip of either machine on AXI, driven by cocotbext-axi, a bus model that is not ours, in Icarus."""

import random
import re
import subprocess
from collections import Counter

import cocotb
import pytest
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, Timer
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from hw.axi import TopAxi
from hw.config import STREAM_BITS
from hw.counters import BEATS
from hw.export import export
from hw.loader import Error
from hw.machines import machine
from hw.program import MAGIC, VERSION
from hw.registers import ADDRESS, REGISTERS, c_header, markdown
from hw.results import beats_a_result
from sw import golden
from tb.cocotb_runner import BUILD, parameters, simulate
from tb.random_programs import build
from tb.streams import stalls, start
from tb.test_top import CONFIGS, case

DONE, ERROR = 1, 2  # events
RESET, DRAIN = 1, 2
BYTES = STREAM_BITS // 8


class Chip:
    """The bus models, and registers by name."""

    def __init__(self, dut):
        self.dut, self.config = dut, CONFIGS[parameters()["machine"]]
        self.beat = machine(self.config).stream_bits // 8  # bytes of the program's
        self.network = case(self.config)
        lite = AxiLiteBus.from_prefix(dut, "s_axil")
        self.lite = AxiLiteMaster(lite, dut.clk, dut.rst)
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)

    async def read(self, name):
        response = await self.lite.read(ADDRESS[name], 4)
        assert response.resp == AxiResp.OKAY, name
        return int.from_bytes(response.data, "little")

    async def write(self, name, value):
        response = await self.lite.write(ADDRESS[name], value.to_bytes(4, "little"))
        assert response.resp == AxiResp.OKAY, name

    async def interrupt(self):
        if not self.dut.irq.value:
            await RisingEdge(self.dut.irq)


def program(network):
    return network.program.beats(network.spikes).astype("<u8").tobytes()


async def runs(chip, network, stall):
    """A program, its results, what the registers say of it, and the interrupt of its end."""
    before = {
        name: await chip.read(name) for name in ("PROGRAMS", "LAYERS", "BEATS_IN", "BEATS_OUT")
    }
    data = program(network)
    chip.source.set_pause_generator(stalls(1, 0.3) if stall else None)
    chip.sink.set_pause_generator(stalls(2, 0.5) if stall else None)
    await chip.source.send(AxiStreamFrame(data))
    results = await chip.sink.recv()
    layers = len(network.program.layers)
    classes = network.network.array[-1].layer.filters
    config = chip.config
    raw = classes * beats_a_result(config)
    assert len(results.tdata) == BYTES * (1 + layers * BEATS * config.n_pe + raw)
    expected = golden.run(network.network, network.spikes)
    at = BYTES * (1 + (layers - 1) * BEATS * config.n_pe)
    sums = memoryview(bytes(results.tdata[at : at + BYTES * raw])).cast("i")
    want = expected[network.network.array[-1].layer.name].output
    size = raw // classes * 2
    assert [
        sums[size * k + t] for k in range(classes) for t in range(config.ticks)
    ] == want.T.ravel().tolist()
    await chip.interrupt()
    assert await chip.read("INTERRUPT_STATUS") == DONE
    assert await chip.read("STATUS") == 1 << 4  # the interrupt line alone
    await chip.write("INTERRUPT_STATUS", DONE)
    assert await chip.read("INTERRUPT_STATUS") == 0
    assert not chip.dut.irq.value
    counts = {name: await chip.read(name) - before[name] for name in before}
    assert counts == {
        "PROGRAMS": 1,
        "LAYERS": layers,
        "BEATS_IN": len(data) // chip.beat,
        "BEATS_OUT": len(results.tdata) // BYTES,
    }
    return await chip.read("CYCLES")


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def registers_and_programs(dut):
    chip = Chip(dut)
    await start(dut, cycles=5)
    await ClockCycles(dut.clk, 3)
    assert await chip.read("ID") == MAGIC
    config, version = chip.config, machine(chip.config).version
    hardware = config.n_pe | config.ticks << 8 | config.tile_side << 16 | version << 24
    assert await chip.read("HARDWARE") == hardware

    # addresses of no register, writes to read-only ones: an error, and nothing changes
    end = 4 * len(REGISTERS)
    for address in (end, 0xFFC):
        assert (await chip.lite.read(address, 4)).resp == AxiResp.SLVERR
        assert (await chip.lite.write(address, b"\1\1\1\1")).resp == AxiResp.SLVERR
    for register in REGISTERS:
        if not register.writable:
            before = await chip.read(register.name)
            answer = await chip.lite.write(ADDRESS[register.name], b"\xff" * 4)
            assert answer.resp == AxiResp.SLVERR
            assert await chip.read(register.name) == before

    # bytes of a register are written alone
    await chip.write("INTERRUPT_ENABLE", DONE | ERROR)
    await chip.lite.write(ADDRESS["INTERRUPT_ENABLE"] + 1, b"\xff")
    assert await chip.read("INTERRUPT_ENABLE") == DONE | ERROR

    # the bus stalls too
    for channel in (chip.lite.write_if, chip.lite.read_if):
        for name in ("aw_channel", "w_channel", "b_channel", "ar_channel", "r_channel"):
            if hasattr(channel, name):
                getattr(channel, name).set_pause_generator(stalls(3, 0.3))

    network = chip.network
    quick = await runs(chip, network, stall=False)
    slow = await runs(chip, network, stall=True)
    assert quick < slow

    # a bad program: the interrupt, the reason, an empty stream, and a good program after a reset
    bad = bytearray(program(network))
    bad[0] ^= 1
    await chip.source.send(AxiStreamFrame(bytes(bad)))
    await chip.interrupt()
    assert await chip.read("INTERRUPT_STATUS") == ERROR
    assert (await chip.read("STATUS")) >> 1 & 7 == Error.HEADER
    assert not chip.source.idle()
    await chip.write("CONTROL", DRAIN)
    await chip.source.wait()
    assert chip.source.idle()
    await chip.write("CONTROL", RESET)
    await chip.write("INTERRUPT_STATUS", ERROR)
    assert await chip.read("STATUS") == 0
    assert await chip.read("CONTROL") == 0
    assert await chip.read("PROGRAMS") == 0
    await runs(chip, network, stall=True)

    # an event that is not enabled raises no interrupt
    await chip.write("INTERRUPT_ENABLE", ERROR)
    await chip.source.send(AxiStreamFrame(program(network)))
    await chip.sink.recv()
    await ClockCycles(dut.clk, 3)
    assert not dut.irq.value
    assert await chip.read("INTERRUPT_STATUS") == DONE


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def a_late_error(dut):
    """When the results of a program's first layers are out: their frame ends, the next one is whole."""
    chip = Chip(dut)
    await start(dut, cycles=5)
    await chip.write("INTERRUPT_ENABLE", DONE | ERROR)
    network = chip.network
    await chip.source.send(AxiStreamFrame(program(network)[: -chip.beat]))
    await chip.interrupt()
    assert (await chip.read("STATUS")) >> 1 & 7 == Error.LAST_EARLY
    out = await chip.read("BEATS_OUT")
    assert out > 0
    await chip.source.wait()
    await chip.write("CONTROL", RESET)
    await chip.write("INTERRUPT_STATUS", ERROR)
    assert await chip.read("STATUS") == 0
    broken = await chip.sink.recv()
    assert len(broken.tdata) == BYTES * (out + 1)
    assert not any(broken.tdata[-BYTES:])
    assert await chip.read("PROGRAMS") == 0
    assert await chip.read("BEATS_OUT") == 0
    await runs(chip, network, stall=True)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def programs_in_a_row(dut):
    """The second is taken while the first one's results wait: busy until both are out, and counted."""
    chip = Chip(dut)
    await start(dut, cycles=5)
    network = build(chip.config, (), side=1, channels=3, classes=4, seed=4)
    data = program(network)
    for _ in range(2):
        await chip.source.send(AxiStreamFrame(data))
    for _ in range(
        BEATS * chip.config.n_pe
    ):  # the counters, the last of what comes out, have begun
        while not (dut.m_axis_tvalid.value and dut.m_axis_tready.value):
            await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
    chip.sink.pause = True
    await chip.source.wait()
    assert await chip.read("BEATS_IN") == 2 * len(data) // chip.beat
    assert await chip.read("PROGRAMS") == 0
    chip.sink.pause = False
    await chip.sink.recv()
    chip.sink.pause = True
    assert await chip.read("PROGRAMS") == 1
    assert await chip.read("STATUS") == 1
    before = await chip.read("CYCLES")
    assert await chip.read("CYCLES") > before
    chip.sink.pause = False
    await chip.sink.recv()
    assert await chip.read("PROGRAMS") == 2
    assert await chip.read("STATUS") == 0
    before = await chip.read("CYCLES")
    assert await chip.read("CYCLES") == before


OURS = {  # channels on which the chip offers, and their fields
    "s_axil_b": ("valid", "resp"),
    "s_axil_r": ("valid", "data", "resp"),
    "m_axis_t": ("valid", "data", "last"),
}
THEIRS = {
    "s_axil_aw": ("valid", "addr"),
    "s_axil_w": ("valid", "data", "strb"),
    "s_axil_ar": ("valid", "addr"),
    "s_axis_t": ("valid", "data", "last"),
}
INPUTS = [f"{c}{part}" for c, parts in THEIRS.items() for part in parts]
INPUTS += [f"{c}ready" for c in OURS]
OUTPUTS = [f"{c}{part}" for c, parts in OURS.items() for part in parts]
OUTPUTS += [f"{c}ready" for c in THEIRS if c != "s_axis_t"]  # which may depend on what is offered


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def rules_of_axi(dut):
    """No output depends on an input of its cycle, an offer stays as it is, every write and read has one answer."""
    rng = random.Random(5)
    for name in INPUTS:
        getattr(dut, name).value = 0
    await start(dut)
    count: Counter[str] = Counter()
    kept: dict[str, int] = {}  # of the chip's offers that wait
    must: dict[str, int] = {}  # of ours
    for _ in range(2000):
        shown = []
        for keep in ({}, must):  # the second is what the clock's edge sees
            i = {name: rng.getrandbits(len(getattr(dut, name))) for name in INPUTS}
            i |= {name: i[name] & 0x3F for name in i if "addr" in name}  # most are registers
            i |= keep
            for name, value in i.items():
                getattr(dut, name).value = value
            await Timer(1, "ns")
            shown.append({name: int(getattr(dut, name).value) for name in OUTPUTS})
        o = shown[0]
        assert o == shown[1]
        assert kept.items() <= o.items()
        now = i | o | {"s_axis_tready": int(dut.s_axis_tready.value)}
        taken = [c for c in (*OURS, *THEIRS) if now[f"{c}valid"] and now[f"{c}ready"]]
        waits = [c for c in (*OURS, *THEIRS) if now[f"{c}valid"] and c not in taken]
        count.update(taken)
        kept = {f"{c}{part}": now[f"{c}{part}"] for c in waits if c in OURS for part in OURS[c]}
        must = {f"{c}{part}": now[f"{c}{part}"] for c in waits if c in THEIRS for part in THEIRS[c]}
        await FallingEdge(dut.clk)
        written = count["s_axil_b"] + int(dut.s_axil_bvalid.value)
        assert count["s_axil_aw"] == count["s_axil_w"] == written
        assert count["s_axil_ar"] == count["s_axil_r"] + int(dut.s_axil_rvalid.value)
    assert min(count["s_axil_b"], count["s_axil_r"]) > 100


@pytest.fixture(scope="module", params=CONFIGS)
def chip(request):
    """The machine, and Verilog of its chip, exported once."""
    folder = BUILD / "verilog" / f"axi-{request.param}"
    return request.param, export(TopAxi(CONFIGS[request.param]), "top_axi", folder)


@pytest.mark.parametrize(
    "test",
    [
        "registers_and_programs",
        "a_late_error",
        "programs_in_a_row",
        "rules_of_axi",
    ],
)
def test_axi(test, chip):
    name, verilog = chip
    values, case = {"machine": name}, f"axi-{name}-{test}"
    simulate(verilog, "top_axi", "tb.test_axi", values, case, simulator="icarus", test=test)


def test_the_header_is_the_map(tmp_path):
    """The C compiler reads the header, and every register and field has the Markdown's address and bits."""
    source = tmp_path / "t.c"
    rows = re.findall(r"\| (0x\w\w) \| (\w+) \| ([\d.]+) \| (\w+) \|", markdown())
    checks = [f'_Static_assert(UTICKET_{name} == {address}, "");' for address, name, _, _ in rows]
    for _, name, bits, field in rows:
        high, _, low = bits.rpartition("..")
        if (high, low) != ("31", "0"):
            mask = (1 << int(high or low) + 1) - (1 << int(low))
            checks.append(f'_Static_assert(UTICKET_{name}_{field.upper()}_MASK == {mask}u, "");')
            checks.append(f'_Static_assert(UTICKET_{name}_{field.upper()}_SHIFT == {low}, "");')
    assert len(rows) == sum(len(register.fields) for register in REGISTERS)
    source.write_text(c_header(VERSION) + "\n".join(checks) + "\n")
    command = ["gcc", "-x", "c", "-std=c11", "-Wall", "-Werror", "-fsyntax-only", str(source)]
    subprocess.run(command, check=True)
