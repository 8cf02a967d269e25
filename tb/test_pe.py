"""A PE with everything around it replaced by models, against the golden model's layers."""

from collections import deque

import cocotb
import numpy as np
import pytest

from hw.config import PRESETS, STREAM_BITS, STREAM_WORDS
from hw.counters import BEATS, COUNTER_BITS, COUNTERS, CYCLES
from hw.fetch import REQUEST
from hw.geometry import geometry_layout
from hw.pe import PE
from hw.program import FILTER_HEADER, LAYER
from hw.window import LATENCY
from hw.word_out import output_layout
from sw import golden
from tb import maps
from tb.helpers import bits, fields, lockstep, parameters, run
from tb.random_programs import Shape, build

CONFIG = PRESETS["tiny"]
INDEX = CONFIG.n_pe - 1  # the PE that has no filter in a short group
NETWORKS = {
    "tiles": (9, 3, (Shape(filters=6), Shape(filters=5, pool="max2")), 0),
    "strided": (11, 2, (Shape(filters=7, stride=2), Shape(filters=6, padding=0)), 0),
    "small": (2, 6, (Shape(filters=9), Shape(filters=6, pool="max2")), 6),
    "block": (
        6,
        7,
        (
            Shape(filters=9, stride=2),
            Shape(filters=9, shortcut=("conv", 2)),
            Shape(filters=9, shortcut=("identity", 1)),
            Shape(filters=40, kernel=1, padding=0, pool="avg", density=1.0),
        ),
        3,
    ),
    "chunks": (5, 16, (Shape(filters=6, density=1.0), Shape(filters=5, density=0)), 0),
}


class Surroundings:
    """Loader, spike buffer, barrier and sequencer of one PE; layer after layer."""

    def __init__(self, dut, case, index, *, stall, seed):
        self.dut, self.stall, self.index = dut, stall, index
        self.rng = np.random.default_rng(seed)
        self.layers = deque(case.program.layers)
        self.results = golden.run(case.network, case.spikes)
        self.headers: deque[int] = deque()
        self.words: deque[int] = deque()
        self.offers: dict[str, int] = {}
        for layer in self.layers:
            self._load(layer, layer.integer)
        self.state, self.layer, self.geometry = "next", 0, 0
        self.windows = [None] * LATENCY
        self.expected, self.held = {}, None
        self.chain = []
        self.cycles = self.checked = 0

    def _load(self, layer, integer):
        for segment in layer.segments:
            words, k = segment.words[self.index], segment.group * CONFIG.n_pe + self.index
            present = k < len(integer.bias)
            spiking = present and integer.threshold is not None
            header = {
                "length": len(words),
                "open": segment.open,
                "close": segment.close,
                "all_tiles": segment.all_tiles,
                "end": segment.end,
                "bias": integer.bias[k] if present else 0,
                "threshold": integer.threshold[k] if spiking else 0,
            }
            self.headers.append(bits(FILTER_HEADER, header))
            padded = np.zeros(-(-len(words) // STREAM_WORDS) * STREAM_WORDS, "<u2")
            padded[: len(words)] = words
            self.words.extend(padded.view("<u8").tolist())

    def _start(self):
        layer = self.layers.popleft()
        integer, side = layer.integer, layer.side
        shape, descriptor = integer.layer, layer.descriptor
        half, pool = bool(descriptor.half), bool(descriptor.pool)
        result = self.results[shape.name]
        self.compiled, self.integer, self.side = layer, integer, side
        self.block = CONFIG.tile_side // 2 if half else CONFIG.tile_side
        first, *second = (result.inputs[source.name] for source in integer.sources)
        self.input = first.transpose(1, 2, 3, 0)
        for spikes in second:
            self.second = spikes.transpose(1, 2, 3, 0)
        known = {name for name, _ in LAYER}  # the rest is the event machine's
        fields = {k: v for k, v in vars(descriptor).items() if k in known}
        self.layer = bits(LAYER, fields)
        self.raw = integer.threshold is None
        geometry = maps.geometry(CONFIG, side=side, half=half, pool=pool)
        self.geometry = bits(geometry_layout(CONFIG), geometry)
        mine = range(self.index, shape.filters, CONFIG.n_pe)
        if self.raw:
            self.expected = {(k, 0, 0): result.output[:, k] for k in mine}
        else:
            output = result.output.transpose(1, 2, 3, 0)
            size = CONFIG.tile_side
            words = range(-(-output.shape[1] // size))
            self.expected = {
                (k, y, x): output[k, y * size : (y + 1) * size, x * size : (x + 1) * size]
                for k in mine
                for y in words
                for x in words
            }
        masks = [source.mask for source in integer.learned]
        nnz = np.sum([mask.reshape(len(mask), -1).sum(axis=1) for mask in masks], axis=0)
        accumulates = np.sum(list(result.filter_accumulates.values()), axis=0)
        steps = sum(int(nnz[k]) for k in mine) * side * side
        self.totals = {
            "steps": steps * CONFIG.ticks,
            "work_cycles": steps,
            "accumulates": sum(int(accumulates[k]) for k in mine),
            "shortcut_accumulates": sum(int(result.shortcut_accumulates[k]) for k in mine),
            "stall_shortcut": len(mine) * side * side * len(integer.identities),
        }
        self.cycles = 0

    def _offer(self, name, queue, rng):
        if name not in self.offers and queue and rng.random() >= self.stall:
            self.offers[name] = queue.popleft()
        return {f"{name}__valid": name in self.offers, f"{name}__payload": self.offers.get(name, 0)}

    def inputs(self, rng):
        start = self.state == "next" and bool(self.layers)
        if start:
            self._start()
            self.state = "running"
        shift = self.state == "chain"
        capture = self.state == "running" and not start and self.cycles > 2
        capture = capture and bool(self.dut.done.value) and rng.random() >= self.stall
        self.capture, self.shift = capture, shift
        arriving = self.windows[0]
        return {
            **self._offer("header", self.headers, rng),
            **self._offer("weights", self.words, rng),
            "index": self.index,
            "layer": self.layer,
            "geometry": self.geometry,
            "layer_start": start,
            "layer_active": self.state == "running" and not start,
            "request__ready": rng.random() >= self.stall,
            "window_valid": arriving is not None,
            "window": rng.getrandbits(CONFIG.word_bits) if arriving is None else arriving,
            "output__ready": rng.random() >= (0.95 if self.stall else 0),  # longer than a sweep
            "release": bool(self.dut.at_barrier.value) and rng.random() >= self.stall,
            "counting": self.state == "running",
            "capture": capture,
            "shift": shift,
            "chain_in": 0x1234_5678_9ABC_DEF0,
        }

    def outputs(self, i):
        return {}

    def _window(self, request):
        own, *more = self.integer.layer.sources
        channel, source, stride = request["channel"], self.input, own.stride
        padding = own.padding if own.kernel == (3, 3) else 1
        if channel >= own.channels:  # the shortcut's: 1x1, in the centre
            channel, source, padding = channel - own.channels, self.second, 1
            stride = more[0].stride
        cells = maps.window(
            CONFIG,
            source[channel],
            position=request["position"],
            padding=padding,
            stride=stride,
            block=(request["block_y"], request["block_x"], self.block),
        )
        word = (self.rng.random((CONFIG.tile_side, CONFIG.tile_side, CONFIG.ticks)) < 0.5) * 1
        word[: self.block, : self.block] = cells  # outside the block is rubbish, as in the RTL
        return maps.number(word.astype(np.uint8))

    def _check(self, output):
        where = (output["filter"], output["word_y"], output["word_x"])
        assert where in self.expected, f"{where} is not due"
        expected = self.expected.pop(where)
        if self.raw:
            assert output["sums"] == expected.tolist(), where
        else:
            raw = [output["word"] >> k & 1 for k in range(CONFIG.word_bits)]
            cells = np.array(raw).reshape(CONFIG.tile_side, CONFIG.tile_side, CONFIG.ticks)
            cells = cells[: expected.shape[0], : expected.shape[1]]
            assert np.array_equal(cells, expected), where
        self.checked += 1

    def edge(self, i):
        dut = self.dut
        for name in ("header", "weights"):
            if i[f"{name}__valid"] and getattr(dut, f"{name}__ready").value:
                del self.offers[name]
        asked = dut.request__valid.value and i["request__ready"]
        request = fields(REQUEST, int(dut.request__payload.value)) if asked else None
        self.windows = [*self.windows[1:], self._window(request) if request else None]
        offer = int(dut.output__payload.value) if dut.output__valid.value else None
        assert self.held in (None, offer), "a word changed before it was taken"
        self.held = None if i["output__ready"] else offer
        if offer is not None and i["output__ready"]:
            self._check(fields(output_layout(CONFIG), offer))
        self.cycles += self.state == "running"
        if self.shift:
            self.chain.append(int(dut.chain_out.value))
            if len(self.chain) == BEATS + 1:
                self._account()
        elif self.capture:
            assert dut.done.value
            assert not self.expected, "a word is missing"
            self.state, self.chain = "chain", []

    def _account(self):
        assert self.chain.pop() == 0x1234_5678_9ABC_DEF0  # what follows in the chain
        mask = (1 << COUNTER_BITS) - 1
        values = [beat >> shift & mask for beat in self.chain for shift in (0, STREAM_BITS // 2)]
        counts = dict(zip(COUNTERS, values, strict=True))
        for name, total in self.totals.items():
            assert counts[name] == total, f"{name}: {counts}, expected {self.totals}"
        assert sum(counts[name] for name in CYCLES) == self.cycles
        self.state = "next"


async def run_layers(dut):
    case = parameters()
    side, channels, shapes, classes = NETWORKS[case["network"]]
    network = build(CONFIG, shapes, side=side, channels=channels, classes=classes, seed=5)
    for stall in case["stalls"]:
        model = Surroundings(dut, network, case.get("index", INDEX), stall=stall, seed=2)
        done = lambda: not model.layers and model.state == "next"  # noqa: B023, E731
        await lockstep(dut, model, 100_000, done=done)
        assert model.checked > 2


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def layers(dut):
    await run_layers(dut)


@pytest.fixture(scope="module")
def pe():
    return PE(CONFIG)


@pytest.mark.parametrize("network", NETWORKS)
def test_pe(network, pe):
    run(pe, "pe", "layers", network, network=network, stalls=(0, 0.4))
