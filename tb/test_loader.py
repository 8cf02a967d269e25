"""The loader against the list of who gets which beat; every error, and what follows it."""

import random

import cocotb
import pytest
from cocotb.triggers import FallingEdge, ReadOnly

from hw.config import PRESETS, STREAM_BITS
from hw.loader import Error, Loader
from hw.program import FILTER_HEADER, INPUT_HEADER, LAYER, MAGIC, PROGRAM_HEADER, VERSION
from tb.helpers import bits, lockstep, parameters, run
from tb.streams import start

CONFIG = PRESETS["tiny"]
GOOD_PROGRAM = {
    "magic": MAGIC,
    "version": VERSION,
    "n_pe": CONFIG.n_pe,
    "ticks": CONFIG.ticks,
    "tile_side": CONFIG.tile_side,
}
GOOD_LAYER = {"filters": 3, "side": 4, "input": {"side": 4}, "output_side": 4}
FAULTS = {  # what is wrong, and the error it makes
    "magic": ({"program": {"magic": MAGIC ^ 1}}, Error.HEADER),
    "version": ({"program": {"version": VERSION + 1}}, Error.HEADER),
    "n_pe": ({"program": {"n_pe": CONFIG.n_pe + 1}}, Error.HEADER),
    "ticks": ({"program": {"ticks": CONFIG.ticks + 1}}, Error.HEADER),
    "tile_side": ({"program": {"tile_side": 8}}, Error.HEADER),
    "no layers": ({"program": {"layers": 0}}, Error.HEADER),
    "input side 0": ({"input": {"side": 0}}, Error.DESCRIPTOR),
    "input side 65": ({"input": {"side": 65}}, Error.DESCRIPTOR),
    "no channels": ({"input": {"channels": 0}}, Error.DESCRIPTOR),
    "no filters": ({"layer": {"filters": 0}}, Error.DESCRIPTOR),
    "side 0": ({"layer": {"side": 0}}, Error.DESCRIPTOR),
    "side 65": ({"layer": {"side": 65}}, Error.DESCRIPTOR),
    "source side 0": ({"layer": {"input": {"side": 0}}}, Error.DESCRIPTOR),
    "output side 65": ({"layer": {"output_side": 65}}, Error.DESCRIPTOR),
    "shortcut side 65": ({"layer": {"shortcut": {"side": 65}}}, Error.DESCRIPTOR),
    "long filter": ({"length": CONFIG.scratchpad_depth + 1}, Error.DESCRIPTOR),
    "raw map": ({"layer": {"raw": 1}}, Error.DESCRIPTOR),
    **{
        f"PEs differ in {name}": ({"differs": name}, Error.SEGMENT)
        for name in ("open", "close", "all_tiles", "end")
    },
    "all tiles, none closed": ({"part": {"all_tiles": 1, "close": 0}}, Error.SEGMENT),
    "last early": ({"last": -2}, Error.LAST_EARLY),
    "last on the header": ({"last": 0}, Error.LAST_EARLY),
    "last late": ({"last": None}, Error.LAST_LATE),
}


def make(rng, change=None):
    """Beats with `last`, and who gets which: (receiver, value)."""
    change = change or {}
    layers = rng.randint(1, 3)
    program = {**GOOD_PROGRAM, "layers": layers, **change.get("program", {})}
    header = {"base": 5, "side": 4, "channels": 3, **change.get("input", {})}
    beats = [bits(PROGRAM_HEADER, program), bits(INPUT_HEADER, header)]
    expected = [("first", None), ("input", beats[1])]
    for _ in range(rng.randint(1, 9)):
        beats.append(rng.getrandbits(STREAM_BITS))
        expected.append(("activations", beats[-1]))
    for layer in range(layers):
        fields = {**GOOD_LAYER, "output_base": rng.randrange(4096)}
        fields.update(change.get("layer", {}) if layer == 0 else {})
        descriptor = bits(LAYER, fields)
        beats += [descriptor & (1 << 64) - 1, descriptor >> 64]
        expected.append(("layer", descriptor))
        segments = rng.randint(1, 3)
        for segment in range(segments):
            close = rng.randint(0, 1)
            part = {
                "open": rng.randint(0, 1),
                "close": close,
                "all_tiles": close & rng.randint(0, 1),
            }
            part["end"] = int(segment == segments - 1)
            if layer == segment == 0:
                part.update(change.get("part", {}))
            for pe in range(CONFIG.n_pe):
                length = rng.choice([0, 1, 4, 5, 63, 64])
                if layer == segment == pe == 0:
                    length = change.get("length", length)
                header = {"length": length, "bias": rng.randint(-9, 9), **part}
                if layer == segment == 0 and pe == CONFIG.n_pe - 1 and "differs" in change:
                    header[change["differs"]] ^= 1
                beats.append(bits(FILTER_HEADER, header))
                expected.append((f"header {pe}", beats[-1]))
                for _ in range(-(-length // 4)):
                    beats.append(rng.getrandbits(STREAM_BITS))
                    expected.append((f"weights {pe}", beats[-1]))
    last = change.get("last", -1)
    at = None if last is None else last % len(beats)
    return [beat | (k == at) << STREAM_BITS for k, beat in enumerate(beats)], expected, layers


class Receivers:
    """Takes what the loader hands out, each receiver at its own pace."""

    def __init__(self, dut, rng, stall, programs):
        self.dut, self.stall = dut, stall
        self.programs = [make(rng) for _ in range(programs)]
        self.beats, self.expected, self.offered = [], [], None
        self.cycle = self.taken = 0
        self.finishing = self.input_done = 0
        self.active = False

    def inputs(self, rng):
        if not self.active and self.programs:
            self.beats, expected, self.layers = self.programs.pop(0)
            self.queues: dict[str, list] = {}
            for name, value in expected:
                self.queues.setdefault(name, []).append(value)
            self.active, self.finish = True, False
        if self.offered is None and self.beats and rng.random() >= self.stall:
            self.offered = self.beats.pop(0)
        go = lambda: rng.random() >= self.stall  # noqa: E731
        self.input_done = self.input_done or (
            self.active and not self.queues["activations"] and not self.queues.get("done")
        )
        done = self.input_done and go() and "done" not in self.queues
        if done:
            self.queues["done"] = ["yes"]
        finished = self.active and self.finish and go()
        if finished:
            self.active = self.finish = self.input_done = False
        return {
            "i__valid": self.offered is not None,
            "i__payload": self.offered or 0,
            "activations__ready": bool(self.active and self.queues["activations"]) and go(),
            "input_done": done,
            "layer__ready": go(),
            "header_ready": sum(go() << k for k in range(CONFIG.n_pe)),
            "weights_ready": sum(go() << k for k in range(CONFIG.n_pe)),
            "finished": finished,
        }

    def outputs(self, i):
        return {"error": 0, "begin": i["input_done"]}

    def _got(self, name, value=None):
        assert self.queues.get(name), f"{name} is not due"
        expected = self.queues[name].pop(0)
        assert value == expected, f"{name}: {value}, expected {expected}"

    def edge(self, i):
        dut = self.dut
        taken = bool(i["i__valid"] and dut.i__ready.value)
        if dut.first.value:
            self._got("first")
            assert int(dut.layers.value) == self.layers or taken
        if dut.input_start.value:
            self._got("input", int(dut.input_header.value))
        if dut.activations__valid.value and i["activations__ready"]:
            self._got("activations", int(dut.activations__payload.value))
        if dut.layer__valid.value and i["layer__ready"]:
            self._got("layer", int(dut.layer__payload.value))
        for name in ("header", "weights"):
            valid = int(getattr(dut, f"{name}_valid").value) & i[f"{name}_ready"]
            assert valid.bit_count() <= 1
            if valid:
                self._got(f"{name} {valid.bit_length() - 1}", int(getattr(dut, name).value))
        if taken:
            self.offered = None
            self.taken += 1
        left = {name: queue for name, queue in self.queues.items() if name != "done"}
        if self.active and not self.beats and self.offered is None and not any(left.values()):
            self.finish = True
            assert int(dut.layers.value) == self.layers
        self.cycle += 1


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def hands_out(dut):
    case = parameters()
    model = Receivers(dut, random.Random(7), case["stall"], 8)
    beats = sum(len(beats) for beats, _, _ in model.programs)
    await lockstep(dut, model, 50_000, done=lambda: not model.programs and not model.active)
    assert model.taken == beats
    if not case["stall"]:  # a beat a cycle; the input's end and the program's take two more each
        assert model.cycle <= beats + 8 * 4


async def send(dut, beats, activations):
    """Offer beats, all receivers ready, until all are taken or `error` rises; how many were taken."""
    everyone = (1 << CONFIG.n_pe) - 1
    dut.header_ready.value = dut.weights_ready.value = everyone
    dut.layer__ready.value = dut.activations__ready.value = 1
    taken, done = 0, False
    for _ in range(2 * len(beats) + 10):
        if taken == len(beats):
            break
        dut.i__valid.value, dut.i__payload.value = 1, beats[taken]
        done_now = taken == 2 + activations and not done
        dut.input_done.value = int(done_now)
        await ReadOnly()
        if dut.error.value:
            break
        # In the cycle in which the input is done, the APU would take no beat.
        taken += bool(dut.i__ready.value and not done_now)
        done = done or done_now
        await FallingEdge(dut.clk)
    return taken


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def errs(dut):
    await start(dut)
    for name, (change, error) in FAULTS.items():
        for wrong in (True, False):  # then a good program, after reset
            beats, expected, _ = make(random.Random(3), change if wrong else None)
            activations = sum(receiver == "activations" for receiver, _ in expected)
            taken = await send(dut, beats, activations)
            seen = Error(int(dut.error.value))
            assert seen is (error if wrong else Error.NONE), f"{name}: {seen.name}"
            assert wrong or taken == len(beats)
            for _ in range(5 if wrong else 0):
                assert not dut.i__ready.value, f"{name}: a beat is taken after the error"
                assert not dut.header_valid.value
                assert not dut.weights_valid.value
                await FallingEdge(dut.clk)
                await ReadOnly()
                assert int(dut.error.value) == error, f"{name}: the error does not stay"
            await FallingEdge(dut.clk)
            dut.i__valid.value = 0
            dut.rst.value = 1
            await FallingEdge(dut.clk)
            dut.rst.value = 0


@pytest.mark.parametrize("stall", [0, 0.4])
def test_loader(stall):
    run(Loader(CONFIG), "loader", "hands_out", f"stall{stall}", stall=stall)


def test_loader_errors():
    run(Loader(CONFIG), "loader", "errs")
