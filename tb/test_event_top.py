"""The event machine's top with its PEs outside: a program goes in, PEs that know the answers get their parts, results come out."""

import random
from collections import deque
from typing import Any

import cocotb
import numpy as np

from hw.config import BANKS, STREAM_BITS, STREAM_WORDS
from hw.counters import BEATS
from hw.event.program import FILTER_HEADER, LIST_ENTRY
from hw.event.top import Top
from hw.loader import Error
from hw.results import RESULT_BITS, beats_a_result
from hw.spike_buffer import granules
from hw.word_out import output_layout
from sim.rtl.results import read_map
from sw import golden
from tb import maps
from tb.event_outside import Outside
from tb.helpers import bits, fields, lockstep, parameters, run
from tb.random_programs import Shape, build
from tb.test_event_array import CONFIG
from tb.test_event_caster import CAST
from tb.test_top import payloads

SHAPES = Shape(filters=7, pool="max2"), Shape(filters=5), Shape(filters=4)
KINDS = "header", "headers", "values"
PROGRAMS = 2


class Part:
    """What a PE is to get of a layer, and what it has for it."""

    def __init__(self, config, layer, expected, pe, rng):
        self.config = config
        self.loads: dict[str, deque[int]] = {kind: deque() for kind in KINDS}
        for segment in layer.segments:
            self._load(layer, segment, pe)
        self.words: deque[dict[str, Any]] = deque()
        order = layer.order[pe :: config.n_pe]
        for k, channel in enumerate(order):
            number = pe + k * config.n_pe
            if layer.output is None:
                sums = expected.output[:, channel].tolist()
                self.words.append({"sums": sums, "filter": number})
                continue
            spikes = np.moveaxis(expected.output[:, channel], 0, -1)
            side, tile = layer.output.side, config.tile_side
            along = -(-side // tile)
            for y, x in np.ndindex(along, along):
                cells = maps.square(config, spikes, y * tile, x * tile, tile)
                self.words.append(
                    {
                        "word": maps.number(cells),
                        "filter": number,
                        "word_y": y,
                        "word_x": x,
                        "base": layer.output.base,
                    }
                )
        self.counters = [rng.getrandbits(STREAM_BITS) for _ in range(BEATS)]

    def _load(self, layer, segment, pe):
        integer, number = layer.integer, segment.group * self.config.n_pe + pe
        there = number < len(layer.order)
        rows = {}
        for kind in ("headers", "values"):
            words = [int(word) for word in getattr(segment.part, kind)[pe]]
            words += [0] * (-len(words) % STREAM_WORDS)
            rows[kind] = [
                sum(word << 16 * k for k, word in enumerate(words[at : at + STREAM_WORDS]))
                for at in range(0, len(words), STREAM_WORDS)
            ]
            self.loads[kind].extend(rows[kind])
        threshold = integer.threshold if integer.threshold is not None else 0 * integer.bias
        header = {
            "header_rows": len(rows["headers"]),
            "value_rows": len(rows["values"]),
            "bias": int(integer.bias[layer.order[number]]) if there else 0,
            "threshold": int(threshold[layer.order[number]]) if there else 0,
        }
        self.loads["header"].append(bits(FILTER_HEADER, header))


def casts(layer, config):
    """Position, shortcut and end's flags of all that a layer casts, in order."""
    tiles = len(list(layer.tiling(config).tiles())) * layer.descriptor.rounds
    for segment in layer.segments:
        entries = [fields(LIST_ENTRY, int(word)) for word in segment.part.places]
        visits = tiles if segment.all_tiles else 1
        for visit in range(visits):
            yield from ((k, entry["shortcut"], None) for k, entry in enumerate(entries))
            last = visit == visits - 1
            flags = {"close": segment.close, "segment_end": last}
            yield 0, 0, {**flags, "layer_end": last and segment.end}


class Around:
    """Both streams and the PEs; each layer of each program, one after the other."""

    def __init__(self, dut, rng):
        self.dut, self.n, self.cycle = dut, CONFIG.n_pe, 0
        case = build(CONFIG, SHAPES, side=7, channels=3, classes=12, seed=4)
        self.program, self.spikes = case.program, case.spikes
        self.expected = golden.run(case.network, case.spikes)
        self.beats = deque(payloads(case.program.beats(case.spikes), CONFIG) * PROGRAMS)
        self.layers = list(case.program.layers) * PROGRAMS
        self.parts = [
            [Part(CONFIG, layer, self.expected[layer.name], pe, rng) for pe in range(self.n)]
            for layer in self.layers
        ]
        self.results = deque(self._results())
        self.buffer = np.zeros((BANKS, CONFIG.buffer_depth, granules(CONFIG)), np.uint64)
        self.number = -1  # of the layer at work
        self.casts: deque[Any] = deque()
        self.loading = [dict.fromkeys(KINDS, 0) for _ in range(self.n)]  # of which layer
        self.words: list[deque[dict[str, Any]]] = [deque() for _ in range(self.n)]
        self.ended = self.offered = False
        self.chains = [[0] * BEATS for _ in range(self.n)]
        self.ends = 0

    def _results(self):
        """Beats, with `last`; of the input's only the spikes."""
        for number, (layer, parts) in enumerate(zip(self.layers, self.parts, strict=True)):
            of_program = number % len(self.program.layers)
            if of_program == 0:
                yield "input", int(self.spikes.sum())
            if layer.output is None:
                for k in range(len(layer.order)):
                    sums = parts[k % self.n].words[k // self.n]["sums"]
                    packed = sum(
                        (value & (1 << RESULT_BITS) - 1) << RESULT_BITS * t
                        for t, value in enumerate(sums)
                    )
                    for beat in range(beats_a_result(CONFIG)):
                        yield "beat", packed >> STREAM_BITS * beat & (1 << STREAM_BITS) - 1
            beats = [beat for part in parts for beat in part.counters]
            last = of_program == len(self.program.layers) - 1
            for k, beat in enumerate(beats):
                yield "beat", beat | (last and k == len(beats) - 1) << STREAM_BITS

    def inputs(self, rng):
        self.offered = bool(self.beats) and (self.offered or rng.random() < 0.8)
        self.taking = rng.random() < 0.5
        self.readies = [{kind: rng.random() < 0.8 for kind in KINDS} for _ in range(self.n)]
        self.accepts = [rng.random() < 0.9 for _ in range(self.n)]
        self.outputs_of = [
            words[0] if words and self.ended and rng.random() < 0.7 else None
            for words in self.words
        ]
        self.done_of = [self.ended and not words for words in self.words]
        ports = {
            "program__valid": self.offered,
            "program__payload": self.beats[0] if self.offered else 0,
            "results__ready": self.taking,
        }
        for i in range(self.n):
            output = self.outputs_of[i]
            ports |= {f"pe_{i}__{kind}__ready": self.readies[i][kind] for kind in KINDS}
            ports |= {
                f"pe_{i}__accepts": self.accepts[i],
                f"pe_{i}__done": self.done_of[i],
                f"pe_{i}__chain_out": self.chains[i][0],
                f"pe_{i}__output__valid": output is not None,
                f"pe_{i}__output__payload": bits(output_layout(CONFIG), output or {}),
            }
        return ports

    def outputs(self, i):
        return {"error": Error.NONE, "layer_end": int(self.dut.pe_0__capture.value)}

    def edge(self, i):
        dut, where = self.dut, f"cycle {self.cycle}"
        if self.offered and dut.program__ready.value:
            self.beats.popleft()
            self.offered = False
        if self.taking and dut.results__valid.value:
            self._result(int(dut.results__payload.value), where)
        for pe in range(self.n):
            self._pe(pe, where)
        self._write()
        if dut.pe_0__fire.value:
            assert all(self.accepts), where
            seen = fields(CAST, int(dut.pe_0__cast.value))
            position, shortcut, end = self.casts.popleft()
            assert seen["what"]["is_end"] == (end is not None), where
            if end is None:
                assert (seen["position"], seen["shortcut"]) == (position, shortcut), where
            else:
                assert seen["what"] == {"is_end": 1, **end}, where
                self.ended = self.ended or bool(end["layer_end"])
        if dut.layer_end.value:
            self._end(where)
        if dut.pe_0__layer_start.value:
            self.number += 1
            self.ended = False
            self.casts = deque(casts(self.layers[self.number], CONFIG))
            self.words = [deque(part.words) for part in self.parts[self.number]]
        self.cycle += 1

    def _result(self, beat, where):
        kind, wanted = self.results.popleft()
        seen = beat & 0xFFFFFFFF if kind == "input" else beat
        assert seen == wanted, f"{where}: {kind}"

    def _pe(self, pe, where):
        ports = {name: getattr(self.dut, f"pe_{pe}__{name}") for name in ("capture", "shift")}
        for kind in KINDS:
            if not getattr(self.dut, f"pe_{pe}__{kind}__valid").value:
                continue
            assert self.readies[pe][kind], f"{where}: PE {pe} has no room for its {kind}"
            at = self.loading[pe]
            while not self.parts[at[kind]][pe].loads[kind]:
                at[kind] += 1
            seen = int(getattr(self.dut, f"pe_{pe}__{kind}__payload").value)
            assert seen == self.parts[at[kind]][pe].loads[kind].popleft(), f"{where}: PE {pe}"
        if self.outputs_of[pe] and getattr(self.dut, f"pe_{pe}__output__ready").value:
            self.words[pe].popleft()
        if ports["capture"].value:
            self.chains[pe] = list(self.parts[self.number][pe].counters)
        elif ports["shift"].value:
            incoming = int(getattr(self.dut, f"pe_{pe}__chain_in").value)
            self.chains[pe] = [*self.chains[pe][1:], incoming]

    def _write(self):
        banks = int(self.dut.written_banks.value)
        if not banks:
            return
        address, enable = (
            int(getattr(self.dut, f"written_{name}").value) for name in ("address", "enable")
        )
        size = CONFIG.word_bits // granules(CONFIG)
        for bank in range(BANKS):
            if banks >> bank & 1:
                word = int(getattr(self.dut, f"written_{'odd' if bank % 2 else 'even'}").value)
                for k in range(granules(CONFIG)):
                    if enable >> k & 1:
                        self.buffer[bank, address, k] = word >> size * k & (1 << size) - 1

    def _map(self, region):
        size = CONFIG.word_bits // granules(CONFIG)
        shifts = np.arange(granules(CONFIG), dtype=np.uint64) * np.uint64(size)
        words = (self.buffer << shifts).sum(axis=-1).astype("<u8")
        width = -(-CONFIG.word_bits // 8)
        bytes_of = words.view(np.uint8).reshape(BANKS, CONFIG.buffer_depth, 8)[..., :width]
        return read_map(bytes_of, region, CONFIG)

    def _end(self, where):
        """Of a layer: the tap has shown its map, and of the first one the input."""
        layer = self.layers[self.number]
        assert not self.casts, where
        assert all(self.done_of), where
        if self.ends == 0:
            assert np.array_equal(self._map(self.program.input), self.spikes), where
        if layer.output is not None:
            wanted = self.expected[layer.name].output[:, layer.order]
            assert np.array_equal(self._map(layer.output), wanted), where
        self.ends += 1

    def done(self):
        return not (self.results or self.beats)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def programs(dut):
    """Two of them, one after the other."""
    rng = random.Random(parameters()["seed"])
    model = Around(dut, rng)
    await lockstep(dut, model, 40_000, done=model.done)
    assert model.ends == len(model.layers)
    left = [part.loads for parts in model.parts for part in parts]
    assert not any(queue for loads in left for queue in loads.values())


def test_top():
    run(Outside(CONFIG, Top), "top", "programs", file="event_top")
