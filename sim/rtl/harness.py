"""Runs programs on the Verilated array: the fast harness (harness.cpp), driven through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import amaranth
import numpy as np

import hw
from hw.config import BANKS, STREAM_BITS, Config
from hw.counters import BEATS, counter_names, cycle_names
from hw.event.program import stream_lanes
from hw.export import export_top
from hw.loader import Error
from hw.results import beats_a_result
from hw.spike_buffer import granules
from hw.tiling import Storage
from sim import c_text
from sim.files import BUILD, made_once
from sim.rtl.verilator import build_shared_library
from sw.compile import CompiledLayer, Program
from sw.event.compile import EventProgram
from sw.placement import Region

HARNESS = [Path(__file__).with_name(name) for name in ("harness.cpp", "harness.v")]


_WORDS = ctypes.POINTER(ctypes.c_uint64)
_BYTES = ctypes.POINTER(ctypes.c_uint8)


class Run(ctypes.Structure):
    """One call of harness.cpp: what goes in, and from `cycles` on what comes back.

    lasts: of each program, index of the beat that carries `last`. reset_at: assert reset in this cycle and stop (0: never).
    program_stall, result_stall: of 65536. buffers: the spike buffer after the input and after each layer, and
    captured_at: in which cycle. taken_at: of each beat the cycle in which it is taken.
    trace_path: of an FST file, or null; trace_layer: the layer's number.
    """

    _fields_ = [
        ("program", _WORDS),
        ("beats", ctypes.c_uint64),
        ("beat_words", ctypes.c_uint64),
        ("lasts", _WORDS),
        ("programs", ctypes.c_uint64),
        ("max_cycles", ctypes.c_uint64),
        ("reset_at", ctypes.c_uint64),
        ("stall_seed", ctypes.c_uint64),
        ("program_stall", ctypes.c_uint32),
        ("result_stall", ctypes.c_uint32),
        ("results", _WORDS),
        ("max_results", ctypes.c_uint64),
        ("buffers", _BYTES),
        ("max_buffers", ctypes.c_uint64),
        ("captured_at", _WORDS),
        ("taken_at", _WORDS),
        ("word_bits", ctypes.c_uint32),
        ("word_bytes", ctypes.c_uint32),
        ("banks", ctypes.c_uint32),
        ("depth", ctypes.c_uint32),
        ("granules", ctypes.c_uint32),
        ("trace_path", ctypes.c_char_p),
        ("trace_layer", ctypes.c_uint64),
        ("cycles", ctypes.c_uint64),
        ("result_count", ctypes.c_uint64),
        ("buffer_count", ctypes.c_uint64),
        ("beats_taken", ctypes.c_uint64),
        ("error", ctypes.c_uint32),
        ("finished", ctypes.c_uint32),
    ]


class RtlError(Exception):
    """The RTL raised `error`, or neither finished nor erred: one line."""


@dataclass(frozen=True)
class Stalls:
    """Random stalls of the streams, as probabilities a cycle."""

    seed: int = 0
    program: float = 0.0
    results: float = 0.0


@dataclass(frozen=True)
class LayerRun:
    """What the RTL did in one layer, in the network's own channel order."""

    output: np.ndarray  # uint8 (T, K, H, W) after pooling; of a classifier int32 (T, K)
    counters: dict[str, np.ndarray]  # int64 (n_pe,) each, hw.counters.COUNTERS
    cycles: int


@dataclass(frozen=True)
class RtlRun:
    """One image through the array."""

    input: np.ndarray  # uint8 (T, C, H, W), as the APU stored it
    input_spikes: int
    input_cycles: int
    layers: tuple[LayerRun, ...]

    @property
    def cycles(self) -> int:
        """Of the whole program, the input included."""
        return self.input_cycles + sum(layer.cycles for layer in self.layers)


@dataclass(frozen=True)
class Passing:
    """One image in a row of them, each one's input coming while the one before runs."""

    run: RtlRun
    """Its `input_cycles` go from the end of the image before to the beginning of its layers, but for the first."""
    latency: int
    """Cycles from the first beat of its input to its end."""


@dataclass(frozen=True)
class _Sent:
    """What came back of streams that were sent."""

    results: np.ndarray
    buffers: np.ndarray
    cycles: int
    captured_at: np.ndarray  # int64, of each buffer
    taken_at: np.ndarray  # int64, of each beat


class Rtl:
    """A Verilated array, built for a configuration, or taken from the cache. A context manager."""

    def __init__(
        self,
        config: Config,
        *,
        build: Path = BUILD,
        trace: bool = False,
        quick: bool = False,
        beside: Callable[[Path], Path] | None = None,
    ) -> None:
        """Raises BadInput where a tool is missing or the Verilog does not build.

        quick: compiled as one file with little optimization, sooner, and slower to run: for few cycles.
        Verilator's own files are compiled as ever, so that ccache has them for every array.
        beside: given the top's Verilog, makes one more Verilog file, built into the model.
        """
        self.config = config
        started = time.perf_counter()
        verilog = _exported(config, build / "rtl")
        self._lanes = stream_lanes(config) if config.machine == "event" else 1
        flags = [
            f"-GWORD={config.word_bits}",
            f"-GGRANULES={granules(config)}",
            f"-GBITS={STREAM_BITS * self._lanes}",
        ]
        if quick:
            flags += ["-MAKEFLAGS", "OPT_FAST=-O1", "--output-split", "0"]
        if trace:
            flags += ["--trace-fst", "-CFLAGS", "-DUTICKET_TRACE"]
        sources = [*HARNESS, *([beside(verilog)] if beside else [])]
        library = build_shared_library(
            [verilog],
            "harness",
            sources,
            build / "verilator",
            flags,
            shared=c_text.structs(Run),
        )
        self._library = ctypes.CDLL(str(library))
        self._library.uticket_new.restype = ctypes.c_void_p
        self._library.uticket_run.argtypes = [ctypes.c_void_p, ctypes.POINTER(Run)]
        self._library.uticket_delete.argtypes = [ctypes.c_void_p]
        self._model = self._library.uticket_new()
        self.build_s = time.perf_counter() - started

    def __enter__(self) -> Rtl:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.uticket_delete(self._model)

    def run(
        self,
        program: Program,
        spikes: np.ndarray,
        *,
        max_cycles: int,
        stalls: Stalls | None = None,
        trace: tuple[Path, int] | None = None,
    ) -> RtlRun:
        """Run a program on one image's input spikes, uint8 (T, C, H, W).

        max_cycles: the bound after which the RTL is taken to hang. trace: file and layer number of
        an FST waveform. Raises RtlError if the RTL errs, hangs, or says more or less than it should.
        """
        found, _ = self._run(program, [program.beats(spikes)], max_cycles, stalls, trace)
        return found[0]

    def run_row(
        self,
        program: EventProgram,
        images: Sequence[np.ndarray],
        *,
        max_cycles: int,
        stalls: Stalls | None = None,
    ) -> list[Passing]:
        """Images one after the other, the next one's input coming early, spikes uint8 (T, C, H, W) each.

        program: of sw.event.overlap. max_cycles: of all together. Raises RtlError as `run` does.
        """
        streams, arrivals = program.row(images)
        runs, sent = self._run(program, streams, max_cycles, stalls)
        ends = sent.captured_at[len(program.layers) :: len(program.layers)]
        latencies = (ends - sent.taken_at[arrivals] + 1).tolist()
        return [Passing(run, latency) for run, latency in zip(runs, latencies, strict=True)]

    def _run(
        self,
        program: Program,
        streams: Sequence[np.ndarray],
        max_cycles: int,
        stalls: Stalls | None,
        trace: tuple[Path, int] | None = None,
    ) -> tuple[list[RtlRun], _Sent]:
        """Streams of a program, one after the other."""
        count, layers = len(streams), len(program.layers)
        each = 1 + layers * self.config.n_pe * BEATS
        for layer in program.layers:
            if layer.output is None:
                rounds = layer.descriptor.rounds
                each += rounds * layer.descriptor.filters * beats_a_result(self.config)
        sent = self._send(
            np.concatenate(streams),
            (np.cumsum([len(beats) for beats in streams]) - 1).tolist(),
            max_cycles=max_cycles,
            max_results=count * each + 1,
            max_buffers=count * layers + 1,
            stalls=stalls,
            trace=trace,
        )
        if len(sent.results) != count * each or len(sent.buffers) != count * layers + 1:
            raise RtlError(
                f"the RTL sent {len(sent.results)} results and ended {len(sent.buffers) - 1} layers, "
                f"expected {count * each} and {count * layers}"
            )
        runs = []
        for k, results in enumerate(sent.results.reshape(count, each)):
            # the next image's input is in the buffer when this one's last layer ends
            buffers = sent.buffers[k * layers : (k + 1) * layers + 1]
            runs.append(self._decode(program, results, buffers))
        return runs, sent

    def run_beats(
        self,
        beats: np.ndarray,
        last_at: int,
        *,
        max_cycles: int,
        max_results: int,
        max_buffers: int,
        stalls: Stalls | None = None,
        reset_at: int = 0,
        trace: tuple[Path, int] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Send raw beats, `last` on number `last_at`; results and spike buffers come back.

        beats: uint64 (beats,), of the event machine (beats, lanes).
        reset_at: pull reset in that cycle, and come back. Raises RtlError if the RTL errs or hangs.
        """
        sent = self._send(
            beats,
            [last_at],
            max_cycles=max_cycles,
            max_results=max_results,
            max_buffers=max_buffers,
            stalls=stalls,
            reset_at=reset_at,
            trace=trace,
        )
        return sent.results, sent.buffers, sent.cycles

    def _send(
        self,
        beats: np.ndarray,
        lasts: Sequence[int],
        *,
        max_cycles: int,
        max_results: int,
        max_buffers: int,
        stalls: Stalls | None = None,
        reset_at: int = 0,
        trace: tuple[Path, int] | None = None,
    ) -> _Sent:
        """As `run_beats`, with a `last` for each program."""
        config, stalls = self.config, stalls or Stalls()
        results = np.zeros(max_results, np.uint64)
        word_bytes = -(-config.word_bits // 8)
        buffers = np.zeros((max_buffers, BANKS, config.buffer_depth, word_bytes), np.uint8)
        beats = np.ascontiguousarray(beats, np.uint64)
        ends = np.array(lasts, np.uint64)
        captured_at, taken_at = np.zeros(max_buffers, np.uint64), np.zeros(len(beats), np.uint64)
        run = Run(
            program=beats.ctypes.data_as(_WORDS),
            beats=len(beats),
            beat_words=self._lanes,
            lasts=ends.ctypes.data_as(_WORDS),
            programs=len(ends),
            max_cycles=max_cycles,
            reset_at=reset_at,
            stall_seed=stalls.seed,
            program_stall=round(stalls.program * 65536),
            result_stall=round(stalls.results * 65536),
            results=results.ctypes.data_as(_WORDS),
            max_results=max_results,
            buffers=buffers.ctypes.data_as(_BYTES),
            max_buffers=max_buffers,
            captured_at=captured_at.ctypes.data_as(_WORDS),
            taken_at=taken_at.ctypes.data_as(_WORDS),
            word_bits=config.word_bits,
            word_bytes=word_bytes,
            banks=BANKS,
            depth=config.buffer_depth,
            granules=granules(config),
            trace_path=str(trace[0]).encode() if trace else None,
            trace_layer=trace[1] if trace else 0,
        )
        self._library.uticket_run(self._model, ctypes.byref(run))
        if run.error:
            raise RtlError(
                f"the RTL raised error {Error(run.error).name} after {run.beats_taken} of "
                f"{len(beats)} beats"
            )
        if not run.finished and not reset_at:
            raise RtlError(
                f"the RTL neither finished nor raised an error within {max_cycles} cycles; it took "
                f"{run.beats_taken} of {len(beats)} beats"
            )
        return _Sent(
            results[: run.result_count],
            buffers[: run.buffer_count],
            int(run.cycles),
            captured_at[: run.buffer_count].astype(np.int64),
            taken_at[: run.beats_taken].astype(np.int64),
        )

    def _decode(self, program: Program, results: np.ndarray, buffers: np.ndarray) -> RtlRun:
        config = self.config
        at = 1
        layers = []
        for number, layer in enumerate(program.layers):
            if layer.output is None:
                size = layer.descriptor.filters * layer.descriptor.rounds * beats_a_result(config)
                output = _unsort(read_sums(results[at : at + size], layer, config), layer)
                at += size
            else:
                output = _unsort(read_map(buffers[number + 1], layer.output, config), layer)
            output = output[: program.ticks]
            block = results[at : at + BEATS * config.n_pe]
            at += BEATS * config.n_pe
            names = counter_names(config.machine)
            values = block.view("<u4").reshape(config.n_pe, len(names)).astype(np.int64)
            counters = {name: values[:, k] for k, name in enumerate(names)}
            cycles = np.sum([counters[name] for name in cycle_names(config.machine)], axis=0)
            if len(set(cycles.tolist())) != 1:
                raise RtlError(
                    f"layer {layer.name}: the cycles that PEs account for differ: "
                    f"{sorted(set(cycles.tolist()))}"
                )
            layers.append(LayerRun(output, counters, int(cycles[0])))
        return RtlRun(
            input=read_map(buffers[0], program.input, config)[: program.ticks],
            input_spikes=int(results[0] & 0xFFFFFFFF),
            input_cycles=int(results[0] >> 32),
            layers=tuple(layers),
        )


def read_map(buffer: np.ndarray, region: Region, config: Config) -> np.ndarray:
    """A map out of a spike buffer's content (banks, depth, bytes): uint8 (T, C, H, W), all ticks of all rounds."""
    rounds = [_read_round(buffer, region, k, config) for k in range(region.rounds)]
    return np.concatenate(rounds)


def read_sums(beats: np.ndarray, layer: CompiledLayer, config: Config) -> np.ndarray:
    """A classifier's results, int32 (T, K): group after group, in each the rounds, filter after filter."""
    filters, rounds = layer.descriptor.filters, layer.descriptor.rounds
    rows = beats.view("<i4").reshape(filters * rounds, -1)[:, : config.ticks]
    sums = np.zeros((rounds, config.ticks, filters), np.int32)
    for first in range(0, filters, config.n_pe):
        count = min(config.n_pe, filters - first)
        own = rows[first * rounds : (first + count) * rounds].reshape(rounds, count, -1)
        sums[..., first : first + count] = own.swapaxes(1, 2)
    return sums.reshape(-1, filters)


def _read_round(buffer: np.ndarray, region: Region, number: int, config: Config) -> np.ndarray:
    base = region.base + number * region.round_words
    storage = Storage(config, region.side, region.side)
    side, channel = storage.word_side, np.arange(region.channels)
    bits = np.unpackbits(buffer, axis=-1, bitorder="little")[..., : config.word_bits]
    down, across = storage.words_down, storage.words_across
    whole = np.zeros((config.ticks, len(channel), down * side, across * side), np.uint8)
    for y, x in np.ndindex(down, across):
        bank, address, quarter = storage.place(channel, y, x)
        word = bits[bank, base + address]
        if quarter is not None:
            word = word.reshape(len(channel), BANKS, -1)[channel, quarter]
        cells = word.reshape(-1, side, side, config.ticks).transpose(3, 0, 1, 2)
        whole[..., y * side : (y + 1) * side, x * side : (x + 1) * side] = cells
    return whole[..., : region.height, : region.width].copy()


def _unsort(values: np.ndarray, layer: CompiledLayer) -> np.ndarray:
    """(T, K, ...) from the loaded order to the network's own."""
    result = np.empty_like(values)
    result[:, layer.order] = values
    return result


def _exported(config: Config, folder: Path) -> Path:
    """The top's Verilog for a configuration; exported again only when the RTL's source changed."""
    sources = b"".join(p.read_bytes() for p in sorted(Path(hw.__file__).parent.rglob("*.py")))
    key = json.dumps([config.to_dict(), amaranth.__version__]).encode() + sources
    final = folder / hashlib.sha256(key).hexdigest()[:16]
    return made_once(final, lambda partial: export_top(config, partial)) / "top.v"
