"""The WSP decoder against the weights that were encoded, and the order of tiles against loops."""

from collections import deque

import cocotb
import numpy as np
import pytest

from hw.config import PRESETS, STREAM_WORDS
from hw.geometry import geometry_layout
from hw.program import FILTER_HEADER
from hw.scratchpad import pointer_bits
from hw.wsp import WspDecoder, weight_layout
from sw import wsp
from tb import maps
from tb.helpers import bits, config_of, fields, lockstep, parameters, run


class Decoder:
    """Feeds segments through a ring whose freed rows turn to rubbish, and checks each weight."""

    def __init__(self, dut, config, *, seed, stalls, layers):
        self.dut, self.config, self.stalls = dut, config, stalls
        self.rows, self.wrap = config.scratchpad_rows, 1 << pointer_bits(config)
        self.rng = np.random.default_rng(seed)
        self.memory = [0] * self.rows
        self.head = self.tail = self.data = 0
        self.loading: deque[int] = deque()  # rows to come
        self.headers: deque[dict] = deque()
        self.expected: deque[dict] = deque()
        self.layers: deque[tuple] = deque()
        self.offered = self.held = None
        self.geometry = 0
        self.taken_at, self.cycle = [], 0
        self.malformed = layers > 0
        for _ in range(layers):
            self._add_layer()

    def _add_layer(self):
        rng, config = self.rng, self.config
        side = int(rng.integers(1, 4 * config.tile_side))
        half, pool = bool(rng.integers(2)), bool(rng.integers(2)) and side > 1
        geometry = maps.geometry(config, side=side, half=half, pool=pool)
        order = maps.tiles(config, side=side, half=half, pool=pool)
        headers, weights = [], []
        groups = int(rng.integers(1, 4))
        for group in range(groups):
            common = {"bias": int(rng.integers(-99, 99)), "threshold": int(rng.integers(1, 99))}
            last = group == groups - 1
            if rng.random() < 0.6:
                passes = [(tile, 0) for tile in order]
                parts = [self._filter()]
                kinds = [{**common, "open": 1, "close": 1, "all_tiles": 1, "end": last}]
                plan = [(kinds[0], parts[0], passes)]
            else:  # cut into two parts, loaded again for each tile
                parts = [self._filter(), self._filter()]
                plan = []
                for k, tile in enumerate(order):
                    for p in range(2):
                        ends = last and p == 1 and k == len(order) - 1
                        kind = {
                            **common,
                            "open": p == 0,
                            "close": p == 1,
                            "all_tiles": 0,
                            "end": ends,
                        }
                        plan.append((kind, parts[p], [(tile, 0)]))
            for kind, (words, entries), passes in plan:
                headers.append({**kind, "length": len(words)})
                padded = np.zeros(-(-len(words) // STREAM_WORDS) * STREAM_WORDS, "<u2")
                padded[: len(words)] = words
                self.loading.extend(padded.view("<u8").tolist())
                for number, ((y, x, word_last), _) in enumerate(passes):
                    for k, (value, channel, position) in enumerate(entries or [(0, None, None)]):
                        final = number == len(passes) - 1 and k == max(len(entries), 1) - 1
                        weights.append(
                            {
                                "value": value,
                                "channel": channel,
                                "position": position,
                                "empty": channel is None,
                                "opening": kind["open"] and k == 0,
                                "segment_last": final,
                                "end": kind["end"],
                                "block_y": y,
                                "block_x": x,
                                "word_last": word_last,
                                "group": group,
                                "bias": kind["bias"],
                                "threshold": kind["threshold"],
                            }
                        )
        self.layers.append((bits(geometry_layout(config), geometry), headers, weights))

    def _filter(self):
        """Words, and (value, channel, position) in order, of a random filter.

        Some end with a header, as none should: an empty weight, its channel and position None.
        """
        rng = self.rng
        channels = int(rng.choice([1, 4, 20, 300]))
        density = float(rng.choice([0, 1, 4, 12])) / (9 * channels)
        mask = rng.random((channels, 3, 3)) < density
        values = np.where(
            mask, rng.integers(1, 1 << 15, mask.shape) * rng.choice([-1, 1], mask.shape), 0
        )
        entries: list[tuple[int, int | None, int | None]] = [
            (int(values[c, p // 3, p % 3]), c, p)
            for c in range(channels)
            for p in range(9)
            if mask[c, p // 3, p % 3]
        ]
        words = wsp.encode(values, mask)
        if self.malformed and rng.random() < 0.3:
            words = np.append(words, rng.integers(0, 1 << 16, dtype=np.uint16))
            entries.append((0, None, None))
        return words, entries

    def inputs(self, rng):
        self.starting = 0
        if not self.expected and not self.headers and self.layers and rng.random() < 0.3:
            self.geometry, headers, weights = self.layers.popleft()
            self.headers.extend(headers)
            self.expected.extend(weights)
            self.starting = 1
        if self.offered is None and self.headers and rng.random() >= self.stalls:
            self.offered = bits(FILTER_HEADER, self.headers.popleft())
        return {
            "header__valid": self.offered is not None,
            "header__payload": self.offered or 0,
            "layer_start": self.starting,
            "geometry": self.geometry,
            "data": self.data,
            "head": self.head % self.wrap,
            "o__ready": rng.random() >= self.stalls,
        }

    def outputs(self, i):
        return {}

    def edge(self, i):
        dut = self.dut
        if i["header__valid"] and dut.header__ready.value:
            self.offered = None
        offer = int(dut.o__payload.value) if dut.o__valid.value else None
        assert self.held in (None, offer), "a weight changed before it was taken"
        self.held = None if i["o__ready"] else offer
        if offer is not None and i["o__ready"]:
            seen = fields(weight_layout(self.config), offer)
            expected = self.expected.popleft()
            for name, value in expected.items():
                assert value is None or seen[name] == value, f"{name}: {seen}, expected {expected}"
            self.taken_at.append(self.cycle)
        self.cycle += 1
        if dut.read.value:
            self.data = self.memory[int(dut.row.value) % self.rows]
        freed = (int(dut.tail.value) - self.tail) % self.wrap
        assert self.tail + freed <= self.head, "rows were freed before they were there"
        for k in range(freed):
            self.memory[(self.tail + k) % self.rows] = 0xDEAD_DEAD_DEAD_DEAD
        self.tail += freed
        if self.loading and self.head - self.tail < self.rows and self.cycle % 8 >= 8 * self.stalls:
            self.memory[self.head % self.rows] = self.loading.popleft()
            self.head += 1


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def decodes(dut):
    case = parameters()
    config = config_of("tiny")
    model = Decoder(dut, config, seed=case["seed"], stalls=case["stalls"], layers=8)
    await lockstep(dut, model, 90_000, done=lambda: not model.layers and not model.expected)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_word_a_cycle(dut):
    config = config_of("tiny")
    model = Decoder(dut, config, seed=3, stalls=0, layers=0)
    words, entries = model._filter()
    while len(entries) < 8:
        words, entries = model._filter()
    side = 3 * config.tile_side
    geometry = maps.geometry(config, side=side, half=False, pool=False)
    order = maps.tiles(config, side=side, half=False, pool=False)
    header = {"open": 1, "close": 1, "all_tiles": 1, "end": 1, "length": len(words)}
    padded = np.zeros(-(-len(words) // STREAM_WORDS) * STREAM_WORDS, "<u2")
    padded[: len(words)] = words
    model.loading.extend(padded.view("<u8").tolist())
    weights = [{"value": v, "channel": c} for _ in order for v, c, _ in entries]
    model.layers.append((bits(geometry_layout(config), geometry), [header], weights))
    await lockstep(dut, model, 60 + len(words) * len(order))
    assert not model.expected
    first = words.tolist().index(next(w for w in words.tolist() if w & 511)) + 1
    assert model.taken_at[-1] - model.taken_at[0] == len(words) * len(order) - 1 - first


@pytest.mark.parametrize("stalls", [0, 0.4])
def test_wsp(stalls):
    run(WspDecoder(PRESETS["tiny"]), "wsp", "decodes", f"stalls{stalls}", stalls=stalls)


def test_wsp_takes_a_word_a_cycle():
    run(WspDecoder(PRESETS["tiny"]), "wsp", "a_word_a_cycle")
