"""The helpers themselves, on an adder: what passes, what fails, and that failing is noticed."""

import random

import cocotb
import pytest
from amaranth.back import verilog
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import FallingEdge
from cocotb.utils import get_sim_time

from tb import verilated
from tb.cocotb_runner import SimulationError, parameters, simulate
from tb.streams import NEVER, stalls, start, stream_get, stream_put

PAIR = data.StructLayout({"a": 8, "b": 8})


class Adder(wiring.Component):
    """Adds the two bytes of each payload, one cycle later."""

    i: In(stream.Signature(PAIR))
    o: Out(stream.Signature(9))

    def elaborate(self, platform):
        m = Module()
        total, full = Signal(9), Signal()
        m.d.comb += [
            self.o.payload.eq(total),
            self.o.valid.eq(full),
            self.i.ready.eq(~full | self.o.ready),
        ]
        with m.If(self.i.ready):
            m.d.sync += [full.eq(self.i.valid), total.eq(self.i.p.a + self.i.p.b)]
        return m


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def adds(dut):
    case = parameters()
    rng = random.Random(case["seed"])
    values = [rng.getrandbits(16) for _ in range(case["count"])]
    probability = case["stall"]
    put, get = (stalls(s, probability) if probability else NEVER for s in (1, 2))
    await start(dut)
    cocotb.start_soon(stream_put(dut, "i", values, put))
    received = await stream_get(dut, "o", len(values), get)
    assert received == [(v & 255) + (v >> 8) + case["error"] for v in values]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def takes_one_a_cycle(dut):
    await start(dut)
    cocotb.start_soon(stream_put(dut, "i", range(1000)))
    begin = get_sim_time("ns")
    await stream_get(dut, "o", 100)
    assert get_sim_time("ns") - begin == 10 * (100 + 2)  # the first falling edge, and the register


@cocotb.test(timeout_time=1, timeout_unit="us")
async def hangs(dut):
    await start(dut)
    await stream_get(dut, "o", 1)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def takes_back(dut):
    await start(dut)
    dut.i__valid.value = 1
    dut.i__payload.value = 0x0102
    await FallingEdge(dut.clk)
    dut.i__valid.value = 0
    cocotb.start_soon(reset_soon(dut))
    await stream_get(dut, "o", 1, stalls(1, 1.0))


async def reset_soon(dut):
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value = 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Simulates a case of the adder."""
    path = tmp_path_factory.mktemp("adder") / "adder.v"
    path.write_text(verilog.convert(Adder(), name="adder", emit_src=False))

    def run_case(test: str, **case) -> None:
        case = {"seed": 1, "count": 200, "stall": 0, "error": 0, **case}
        name = "-".join([test, *(f"{key}{value}" for key, value in case.items())])
        simulate(path, "adder", "tb.test_helpers", case, name, test=test)

    return run_case


@pytest.mark.parametrize("stall", [0, 0.3, 0.9])
def test_adds(run, stall):
    run("adds", stall=stall)


def test_takes_one_a_cycle(run):
    run("takes_one_a_cycle")


def test_what_is_built_runs_again_without_a_build(run, monkeypatch):
    run("adds")
    monkeypatch.setattr(verilated, "verilate", None)
    run("adds", stall=0.3)


@pytest.mark.parametrize(
    ("test", "case", "message"),
    [
        ("adds", {"error": 1}, "1 of 1 cocotb tests failed"),
        ("hangs", {}, "1 of 1 cocotb tests failed"),
        ("takes_back", {}, "offered 3, then None"),
        ("no_such_test", {}, "no_such_test"),
    ],
)
def test_failure_is_an_error(run, test, case, message):
    with pytest.raises(SimulationError, match=message):
        run(test, **case)
