"""Runs programs on the Verilated array: the fast harness (harness.cpp), driven through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import amaranth
import numpy as np

import hw
from hw.config import BANKS, STREAM_BITS, Config
from hw.counters import BEATS
from hw.event.program import stream_lanes
from hw.export import export_top
from hw.loader import Error
from hw.results import beats_a_result
from hw.spike_buffer import granules
from sim import c_text
from sim.rtl import one_file
from sim.rtl.call import BYTES, WORDS, Run
from sim.rtl.results import Passing, RtlRun, accounted_cycles, read_run
from sim.rtl.verilator import build_shared_library
from support.files import BUILD, made_once
from sw.compile import Program
from sw.event.program import EventProgram, in_a_row

QUICK = "UTICKET_QUICK_RTL"  # environment variable
HARNESS = [Path(__file__).with_name(name) for name in ("harness.cpp", "harness.v")]
PE_PORTS = Path(__file__).with_name("pe.vlt")


class RtlError(Exception):
    """The RTL raised `error`, or neither finished nor erred: one line."""


@dataclass(frozen=True)
class Stalls:
    """Random stalls of the streams, as probabilities a cycle."""

    seed: int = 0
    program: float = 0.0
    results: float = 0.0


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
        quick: bool | None = None,
        beside: Callable[[Path], Path] | None = None,
    ) -> None:
        """Raises BadInput where a tool is missing or the Verilog does not build.

        quick: compiled sooner, and slower to run: for few cycles (one_file.py). By default only where
        UTICKET_QUICK_RTL is 1, and never with `trace`.
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
            # One function for all PEs: these passes name temporaries and tables by PE.
            *("-fno-dfg", "-fno-table"),
        ]
        sources = [*HARNESS, PE_PORTS, *([beside(verilog)] if beside else [])]
        if quick is None:
            quick = os.environ.get(QUICK) == "1"
        make = one_file.build_shared_library if quick and not trace else build_shared_library
        if trace:
            flags += ["--trace-fst", "-CFLAGS", "-DUTICKET_TRACE"]
        library = make(
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
        found, _ = self._run([program], [program.beats(spikes)], max_cycles, stalls, trace)
        return found[0]

    def run_programs(
        self,
        programs: Sequence[EventProgram],
        inputs: Sequence[np.ndarray],
        *,
        max_cycles: int,
        stalls: Stalls | None = None,
    ) -> list[Passing]:
        """Programs one after the other, each one's input coming in the one before where that takes it `early`.

        inputs: spikes of each, uint8 (T, C, H, W). max_cycles: of all together. Raises RtlError as `run` does.
        """
        streams, arrivals = in_a_row(programs, inputs)
        runs, sent = self._run(programs, streams, max_cycles, stalls)
        ends = sent.captured_at[np.cumsum([len(program.layers) for program in programs])]
        latencies = (ends - sent.taken_at[arrivals] + 1).tolist()
        return [Passing(run, latency) for run, latency in zip(runs, latencies, strict=True)]

    def _run(
        self,
        programs: Sequence[Program],
        streams: Sequence[np.ndarray],
        max_cycles: int,
        stalls: Stalls | None,
        trace: tuple[Path, int] | None = None,
    ) -> tuple[list[RtlRun], _Sent]:
        """Streams of programs, one after the other."""
        results = [self._results_of(program) for program in programs]
        layers = [len(program.layers) for program in programs]
        sent = self._send(
            np.concatenate(streams),
            (np.cumsum([len(beats) for beats in streams]) - 1).tolist(),
            max_cycles=max_cycles,
            max_results=sum(results) + 1,
            max_buffers=sum(layers) + 1,
            stalls=stalls,
            trace=trace,
        )
        if len(sent.results) != sum(results) or len(sent.buffers) != sum(layers) + 1:
            raise RtlError(
                f"the RTL sent {len(sent.results)} results and ended {len(sent.buffers) - 1} layers, "
                f"expected {sum(results)} and {sum(layers)}"
            )
        runs: list[RtlRun] = []
        at, done = 0, 0
        for program, each, count in zip(programs, results, layers, strict=True):
            # the next image's input is in the buffer when this one's last layer ends, or at least when its first ends
            buffers = list(sent.buffers[done : done + count + 1])
            before = programs[len(runs) - 1] if runs else None
            if isinstance(before, EventProgram) and not before.early:
                buffers[0] = buffers[1]
            runs.append(read_run(program, sent.results[at : at + each], buffers, self.config))
            self._check_cycles(program, runs[-1])
            at, done = at + each, done + count
        return runs, sent

    def _results_of(self, program: Program) -> int:
        """Beats that come back of it."""
        count = 1 + len(program.layers) * self.config.n_pe * BEATS
        for layer in program.layers:
            if layer.output is None:
                rounds = layer.descriptor.rounds
                count += rounds * layer.descriptor.filters * beats_a_result(self.config)
        return count

    def run_beats(
        self,
        beats: np.ndarray,
        last_at: int | Sequence[int],
        *,
        max_cycles: int,
        max_results: int,
        max_buffers: int,
        stalls: Stalls | None = None,
        reset_at: int = 0,
        trace: tuple[Path, int] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Send raw beats, `last` on number `last_at`, of each program if there are several; results and spike buffers come back.

        beats: uint64 (beats,), of the event machine (beats, lanes).
        reset_at: pull reset in that cycle, and come back. Raises RtlError if the RTL errs or hangs.
        """
        sent = self._send(
            beats,
            [last_at] if isinstance(last_at, int) else last_at,
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
            program=beats.ctypes.data_as(WORDS),
            beats=len(beats),
            beat_words=self._lanes,
            lasts=ends.ctypes.data_as(WORDS),
            programs=len(ends),
            max_cycles=max_cycles,
            reset_at=reset_at,
            stall_seed=stalls.seed,
            program_stall=round(stalls.program * 65536),
            result_stall=round(stalls.results * 65536),
            results=results.ctypes.data_as(WORDS),
            max_results=max_results,
            buffers=buffers.ctypes.data_as(BYTES),
            max_buffers=max_buffers,
            captured_at=captured_at.ctypes.data_as(WORDS),
            taken_at=taken_at.ctypes.data_as(WORDS),
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

    def _check_cycles(self, program: Program, run: RtlRun) -> None:
        """Raises RtlError where PEs do not agree on the cycles of a layer."""
        for layer, done in zip(program.layers, run.layers, strict=True):
            cycles = set(accounted_cycles(done.counters, self.config).tolist())
            if len(cycles) != 1:
                raise RtlError(
                    f"layer {layer.name}: the cycles that PEs account for differ: {sorted(cycles)}"
                )


def _exported(config: Config, folder: Path) -> Path:
    """The top's Verilog for a configuration; exported again only when the RTL's source changed."""
    sources = b"".join(p.read_bytes() for p in sorted(Path(hw.__file__).parent.rglob("*.py")))
    key = json.dumps([config.to_dict(), amaranth.__version__]).encode() + sources
    final = folder / hashlib.sha256(key).hexdigest()[:16]
    return made_once(final, lambda partial: export_top(config, partial)) / "top.v"
