"""The event machine's array with its PEs outside: who writes when, what all PEs are handed together, what is whose."""

import random
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Any

import cocotb
from amaranth.lib import data

from hw.config import STREAM_BITS
from hw.event.array import Array
from hw.event.program import SEGMENT_HEADER, stream_lanes
from hw.program import EXTENDED_LAYER
from hw.spike_buffer import write_layout
from hw.word_out import output_layout
from hw.writer import row_layout
from tb import maps
from tb.event_outside import Outside
from tb.helpers import bits, fields, lockstep, parameters, run, signed_random
from tb.test_event_caster import CAST, CHANNELS, SLICES, WORDS, Item, Layer, check_cast

CONFIG = replace(SLICES, n_pe=3, stream_bits=128, segment_depth=8, banks=4, buffer_depth=512)
LAYERS = 4
BASES = 100, 300
KINDS = "header", "headers", "values"
SHARED = "layer_start", "layer_active", "counting", "capture", "shift"
LANES = partial(data.ArrayLayout, STREAM_BITS)


def items(layer):
    """All that a layer casts, in order."""
    for header, entries, visits in layer.segments:
        for number, visit in enumerate(visits):
            yield from (layer.item(k, entry, visit) for k, entry in enumerate(entries))
            last = number == len(visits) - 1
            flags = {"close": header["close"], "segment_end": last}
            yield Item(end={**flags, "layer_end": last and header["end"]})


class Around:
    """Loader, APU, sequencer, results and PEs. Of each layer its maps are written, then sums leave, then it is cast."""

    def __init__(self, dut, config, rng):
        self.dut, self.config, self.n = dut, config, config.n_pe
        self.cases = deque(Layer(rng, config, bases=BASES) for _ in range(LAYERS))
        self.loads: deque[tuple[str, int]] = deque()
        self.state, self.started, self.cycle = "done", True, 0
        self.words: list[deque[Any]] = [deque() for _ in range(self.n)]  # that each PE hands over
        self.sums: deque[list[int]] = deque()  # what should come of a classifier
        self.rows: deque[int] = deque()
        self.casts: deque[Item] = deque()
        self.descriptor = self.slot = self.turn = 0
        self.side = self.raw = self.filters = 0
        self.places = None  # of the word that was taken in the cycle before, or of a row
        self.fired = self.waited = self.finished = 0

    def _next(self, rng):
        """What follows when nothing is left to do."""
        if self.state == "cast" and not self.finished:
            return False
        if self.state in ("done", "cast"):
            if not self.cases:
                return False
            self.layer = self.cases.popleft()
            self._fill(rng)
        elif self.state == "fill":
            self._classify(rng)
        else:
            self.state, self.raw = "cast", 0
            self.descriptor = self.layer.descriptor
            self.casts, self.loads = deque(items(self.layer)), deque(self.layer.loading())
            self.rate = rng.choice([0.7, 0.95])
        self.finished = 0
        return True

    def _fill(self, rng):
        """The first source's map by PEs, the second one's by the APU."""
        self.state, self.raw, self.filters = "fill", 0, CHANNELS
        first, *second = self.layer.maps
        self.side = first.shape[2]
        for number, spikes in enumerate(first):
            for channel, y, x in self._tiles(self.side):
                tile = self.config.tile_side
                cells = maps.square(self.config, spikes[channel], y * tile, x * tile, tile)
                self.words[channel % self.n].append(
                    {
                        "word": maps.number(cells),
                        "filter": channel,
                        "word_y": y,
                        "word_x": x,
                        "base": BASES[0] + number * WORDS,
                    }
                )
        for number, spikes in enumerate(second[0] if second else ()):
            self._rows_of(spikes, BASES[1] + number * WORDS)
        self.descriptor = bits(
            EXTENDED_LAYER, {"filters": CHANNELS, "side": self.side, "output_side": self.side}
        )

    def _tiles(self, side):
        along = -(-side // self.config.tile_side)
        return [(c, y, x) for c in range(CHANNELS) for y in range(along) for x in range(along)]

    def _rows_of(self, spikes, base):
        channels, side = spikes.shape[:2]
        tile = self.config.tile_side
        for channel in range(channels):
            for row in range(side):
                for pair in range(-(-side // (2 * tile))):
                    two = [
                        maps.square(self.config, spikes[channel], row, at * tile, tile)[:1]
                        for at in (2 * pair, 2 * pair + 1)
                    ]
                    payload = {
                        "base": base,
                        "side": side,
                        "channel": channel,
                        "row": row,
                        "pair": pair,
                        "spikes": [maps.number(cells) for cells in two],
                    }
                    self.rows.append(bits(row_layout(self.config), payload))

    def _classify(self, rng):
        """A classifier's sums: group after group, the last one not full."""
        self.state, self.raw, self.filters = "classify", 1, 2 * self.n + self.n // 2
        for number in range(self.filters):
            width = self.config.accumulator_bits
            sums = [signed_random(rng, width) for _ in range(self.config.ticks)]
            self.words[number % self.n].append({"sums": sums, "filter": number})
            self.sums.append(sums)
        layer = {"filters": self.filters, "side": 1, "output_side": 1, "raw": 1}
        self.descriptor = bits(EXTENDED_LAYER, layer)

    def inputs(self, rng):
        config, n = self.config, self.n
        idle = not (any(self.words) or self.rows or self.casts)
        self.start = idle and rng.random() < 0.3 and self._next(rng)
        self.room = rng.random() < 0.6
        self.offers = [
            words[0] if words and not self.start and rng.random() < 0.6 else None
            for words in self.words
        ]
        self.accepts = [rng.random() < (self.rate if self.state == "cast" else 0.5)] * n
        if rng.random() < 0.5:
            self.accepts[rng.randrange(n)] = False
        self.pes_done = [rng.random() < 0.8 for _ in range(n)]
        self.lanes = [rng.getrandbits(STREAM_BITS) for _ in range(stream_lanes(config))]
        self.chains = [rng.getrandbits(STREAM_BITS) for _ in range(n)]
        self.readies = {kind: [rng.getrandbits(1) for _ in range(n)] for kind in KINDS}
        self.valids = {kind: rng.getrandbits(n) for kind in KINDS}
        self.shared = {"layer_start": int(self.start)}
        self.shared |= {name: rng.getrandbits(1) for name in SHARED[1:]}
        kind, payload = self.loads[0] if self.loads and rng.random() < 0.7 else ("", 0)
        self.load = kind
        self.row = self.rows[0] if self.rows and not self.start and rng.random() < 0.8 else None
        ports = {
            **self.shared,
            "list__valid": kind == "list",
            "list__payload": payload if kind == "list" else rng.getrandbits(config.stream_bits),
            "segment__valid": kind == "segment",
            "segment__payload": payload
            if kind == "segment"
            else rng.getrandbits(SEGMENT_HEADER.size),
            "loaded": kind == "loaded",
            "lanes": bits(LANES(stream_lanes(config)), self.lanes),
            **{f"{name}_valid": valid for name, valid in self.valids.items()},
            "row_valid": self.row is not None,
            "row": self.row or 0,
            "layer": self.descriptor,
            "result_room": self.room,
        }
        for i in range(n):
            output = self.offers[i]
            ports |= {f"pe_{i}__{kind}__ready": self.readies[kind][i] for kind in KINDS}
            ports |= {
                f"pe_{i}__accepts": self.accepts[i],
                f"pe_{i}__done": self.pes_done[i],
                f"pe_{i}__chain_out": self.chains[i],
                f"pe_{i}__output__valid": output is not None,
                f"pe_{i}__output__payload": bits(output_layout(config), output or {}),
            }
        return ports

    def outputs(self, i):
        n, chains = self.n, [*self.chains, 0]
        writer = self.turn if self.raw else self.slot
        self.taken = self.offers[writer] if self.room or not self.raw else None
        expected = {
            "row_ready": self.taken is None or bool(self.raw),
            "result_valid": self.taken is not None and bool(self.raw),
            "chain": chains[0],
            **{
                f"{kind}_ready": sum(ready << k for k, ready in enumerate(self.readies[kind]))
                for kind in KINDS
            },
        }
        for k in range(n):
            own = {
                "index": k,
                "layer": i["layer"],
                "active": int(self.dut.pe_0__active.value),
                "loading": int(self.dut.pe_0__loading.value),
                "geometry": int(self.dut.pe_0__geometry.value),
                "cast": int(self.dut.pe_0__cast.value),
                "fire": int(self.dut.pe_0__fire.value),
                "chain_in": chains[k + 1],
                "output__ready": k == writer and bool(self.room or not self.raw),
                **self.shared,
            }
            for kind in KINDS:
                own[f"{kind}__valid"] = self.valids[kind] >> k & 1
                own[f"{kind}__payload"] = self.lanes[k % stream_lanes(self.config)]
            expected |= {f"pe_{k}__{name}": value for name, value in own.items()}
        self._done()
        self._written()
        return expected

    def _done(self):
        """The end of a layer: all PEs', and the caster's, which has cast all, or is to within two items."""
        seen, all_done = bool(self.dut.all_done.value), all(self.pes_done)
        assert all_done or not seen, f"cycle {self.cycle}: done before a PE is"
        if len(self.casts) > 2:
            assert not seen, f"cycle {self.cycle}: done before the caster is"
        elif not self.casts and not self.start and self.state == "cast":
            assert seen == all_done, f"cycle {self.cycle}"
            self.finished += all_done

    def _written(self):
        seen = fields(write_layout(self.config), int(self.dut.written.value))
        if self.places is None:
            assert not seen["banks"], f"cycle {self.cycle}: a write of nothing"
        elif self.places == "row":
            assert seen["banks"], f"cycle {self.cycle}: a row is not written"
        else:
            banks, address, _ = self.places
            at = sum(1 << bank for bank in banks), address
            assert (seen["banks"], seen["address"]) == at, f"cycle {self.cycle}"

    def edge(self, i):
        where, dut = f"cycle {self.cycle}", self.dut
        if self.load and (self.load == "loaded" or getattr(dut, f"{self.load}__ready").value):
            self.loads.popleft()
        if dut.pe_0__fire.value:
            assert all(self.accepts), f"{where}: handed out to PEs that have no room"
            assert dut.pe_0__active.value, f"{where}: of no segment that is open"
            assert self.casts, f"{where}: nothing is to be cast"
            check_cast(self.casts.popleft(), fields(CAST, int(dut.pe_0__cast.value)), where)
            self.fired += 1
        self.waited += not all(self.accepts)
        self.places = None
        writer = self.turn if self.raw else self.slot
        if self.taken:
            self.words[writer].popleft()
            if self.raw:
                layout = data.ArrayLayout(output_layout(self.config)["sums"].shape.elem_shape,
                                          self.config.ticks)  # fmt: skip
                assert fields(layout, int(dut.result.value)) == self.sums.popleft(), where
                last = writer == self.n - 1 or self.taken["filter"] == self.filters - 1
                self.turn = 0 if last else self.turn + 1
            else:
                word = self.taken
                self.places = maps.place(
                    self.config, base=word["base"], side=self.side, channel=word["filter"],
                    tile_y=word["word_y"], tile_x=word["word_x"],
                )  # fmt: skip
        if self.row is not None and (self.raw or not self.taken):
            self.rows.popleft()
            self.places = "row"
        self.slot = (self.slot + 1) % self.n
        if self.start:
            self.slot = self.turn = 0
        self.cycle += 1

    def done(self):
        left = self.cases or self.casts or any(self.words) or self.rows or self.loads
        return not left and self.state == "cast" and self.finished > 0


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def works(dut):
    model = Around(dut, CONFIG, random.Random(parameters()["seed"]))
    await lockstep(dut, model, 60_000, done=model.done)
    assert not model.sums
    assert model.fired > 100
    assert model.waited > 100


def test_array():
    run(Outside(CONFIG, Array), "array", "works", file="event_array")
