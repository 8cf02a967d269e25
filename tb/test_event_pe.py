"""A PE of the event machine with all around it replaced by models, against sums counted position by position."""

import random
from collections import deque
from typing import Any

import cocotb
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from hw.config import STREAM_BITS, Config
from hw.counters import BEATS, COUNTER_BITS, EVENT_COUNTERS, EVENT_CYCLES
from hw.event.pe import PE, cast_layout
from hw.word_out import output_layout
from tb.event_layers import INDEX, Layer
from tb.helpers import fields, parameters, run
from tb.streams import start


def config_with(**values):
    return Config(machine="event", n_pe=INDEX + 1, tile_side=4, scratchpad_depth=128, **values)


CONFIGS = {
    "4 banks": config_with(ticks=2, banks=4, fifo_depth=3),
    "1 bank": config_with(ticks=3, banks=1, lifs=1, fifo_depth=2),
}
LAYERS = 30
CHAIN = 0x1234_5678_9ABC_DEF0  # of the PE behind
LOADED = 2  # cycles from a segment's last beat until it may be cast


class Surroundings:
    """Loader, caster, writer and sequencer of one PE; layer after layer."""

    def __init__(self, dut, config, rng):
        self.dut, self.config = dut, config
        self.layout = cast_layout(config)
        self.layers = deque(
            Layer(config, rng, near=k % 2 > 0, parts=k % 10 == 0) for k in range(LAYERS)
        )
        segments = [segment for layer in self.layers for segment in layer.segments]
        self.beats = deque(beat for one in segments for beat in (*one.beats, ("loaded", 0)))
        self.offer: tuple[str, int] | None = None
        self.loaded: deque[int] = deque()  # from when segments that are not open yet may be cast
        self.layer: Any = None
        self.open: deque[int] = deque()  # when segments that are not handed out were opened
        self.number = self.opened = (
            0  # of the segment at work, and how many of the layer are or were open
        )
        self.state, self.cycle, self.cycles = "next", 0, 0
        self.chain: list[int] = []
        self.held = None
        self.checked = self.waited = self.parts = 0

    def inputs(self, rng):
        start = self.state == "next" and bool(self.layers)
        if start:
            self.layer = self.layers.popleft()
            self.stall = rng.choice([0, 0.5])  # of the caster: other PEs
            self.out = rng.choice([1, 0.5, 0.03])  # longer than a tile
            self.opened = self.number = self.cycles = 0
            self.state = "running"
        if self.offer is None and self.beats and rng.random() < 0.8:
            self.offer = self.beats.popleft()
        if self.offer and self.offer[0] == "loaded":
            self.loaded.append(self.cycle + LOADED - 1)
            self.offer = None
        casts = self.layer.casts if self.layer else ()
        # A segment is cast from two cycles after it was opened.
        self.cast = casts[0][1] if casts and self.open and self.open[0] + 2 <= self.cycle else None
        payload = rng.getrandbits(self.layout.size) if self.cast is None else self.cast
        running = self.state == "running" and not start
        self.capture = (
            running and self.cycles > 2 and bool(self.dut.done.value) and rng.random() < 0.3
        )
        self.others = rng.random() >= self.stall  # they take it, too
        kind, beat = self.offer or ("", 0)
        ports: dict[str, int] = {}
        for name in ("header", "headers", "values"):
            ports[f"{name}__valid"] = kind == name
            ports[f"{name}__payload"] = beat if kind == name else rng.getrandbits(STREAM_BITS)
        return {
            **ports,
            "index": INDEX,
            "layer": self.layer.descriptor,
            "geometry": self.layer.geometry,
            "layer_start": start,
            "layer_active": running,
            "cast": payload,
            "active": bool(self.open),
            "loading": rng.getrandbits(1),
            "output__ready": rng.random() < self.out,
            "counting": self.state == "running",
            "capture": self.capture,
            "shift": self.state == "chain",
            "chain_in": CHAIN,
        }

    def fires(self, accepts):
        """Whether what is cast is taken, by this PE and the others."""
        self.fire = self.cast is not None and accepts and self.others
        self.waited += self.cast is not None and not accepts
        return self.fire

    def edge(self, i):
        dut = self.dut
        if self.offer and getattr(dut, f"{self.offer[0]}__ready").value:
            self.offer = None
        if self.fire:
            self.layer.casts.popleft()
            following = self.layer.casts[0][0] if self.layer.casts else self.number + 1
            if following != self.number:
                self.open.popleft()
                self.number = following
        more = self.layer and self.opened < len(self.layer.segments) and self.state == "running"
        if (
            more
            and self.loaded
            and self.loaded[0] <= self.cycle
            and self.cycles
            and len(self.open) < 2
        ):
            self.loaded.popleft()
            self.open.append(self.cycle)
            self.opened += 1
        offer = int(dut.output__payload.value) if dut.output__valid.value else None
        assert self.held in (None, offer), "a word changed before it was taken"
        self.held = None if i["output__ready"] else offer
        if offer is not None and i["output__ready"]:
            self._check(fields(output_layout(self.config), offer))
        self.cycles += self.state == "running"
        self.cycle += 1
        if self.state == "chain":
            self.chain.append(int(dut.chain_out.value))
            if len(self.chain) == BEATS + 1:
                self._account()
        elif self.capture:
            assert not self.layer.casts, "done before all was cast"
            assert not self.layer.expected, "a word is missing"
            self.state, self.chain = "chain", []

    def _check(self, output):
        assert self.layer.expected, f"no word is due: {output}"
        due = self.layer.expected.popleft()
        assert {name: output[name] for name in due["wanted"]} == due["wanted"]
        assert output["word"] & due["cells"] == due["word"], due["wanted"]
        if due["sums"]:
            assert output["sums"] == due["sums"], due["wanted"]
        self.checked += 1
        self.parts += output["part"]

    def _account(self):
        assert self.chain.pop() == CHAIN
        mask = (1 << COUNTER_BITS) - 1
        values = [beat >> shift & mask for beat in self.chain for shift in (0, STREAM_BITS // 2)]
        counts = dict(zip(EVENT_COUNTERS, values, strict=True))
        waits = "idle_cycles", "stall_load", "stall_output"
        for name, total in self.layer.totals.items():
            if name not in waits:
                assert counts[name] == total, f"{name}: {counts}, expected {self.layer.totals}"
        assert sum(counts[name] for name in EVENT_CYCLES) == self.cycles
        self.state = "next"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def layers(dut):
    case = parameters()
    rng = random.Random(case["seed"])
    model = Surroundings(dut, CONFIGS[case["config"]], rng)
    await start(dut)
    while model.layers or model.state != "next":
        inputs = model.inputs(rng)
        for port, value in inputs.items():
            getattr(dut, port).value = value
        await Timer(1, "ns")
        dut.fire.value = model.fires(bool(dut.accepts.value))
        await ReadOnly()
        model.edge(inputs)
        await FallingEdge(dut.clk)
    assert model.checked > 30
    assert model.waited > 100
    assert model.parts > 5


@pytest.mark.parametrize("config", CONFIGS)
def test_pe(config):
    run(PE(CONFIGS[config]), "pe", "layers", config, file="event_pe", config=config)
