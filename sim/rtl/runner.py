"""Images through the Verilated array, in this process or in several, each compared with the models."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from hw.config import Config
from sim.models import cycles
from sim.models.cycles import LayerCycles
from sim.models.event_cycles import EventModel
from sim.rtl.checks import Comparison, compare, expected_steps
from sim.rtl.harness import Rtl, RtlError
from sim.rtl.results import RtlRun
from support.errors import BadInput
from support.files import write_npz
from support.processes import cores, processes
from sw import golden
from sw.compile import Program
from sw.event.program import EventProgram
from sw.integers import IntegerNetwork

MARGIN = 2  # a run that takes so many times the predicted cycles has hung


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A network as the array gets it, and what the cycle model says of it."""

    network: IntegerNetwork
    program: Program
    cycles: list[LayerCycles] | None
    """The same for every image; None on the event machine, where they are the image's."""
    simulated: bool = True
    """Whether the RTL runs it; otherwise the models alone do."""

    def predict(
        self, spikes: np.ndarray, expected: dict[str, golden.LayerResult]
    ) -> Sequence[LayerCycles]:
        """Cycles of each layer for an image's input spikes and what the golden model made of them."""
        if self.cycles is not None:
            return self.cycles
        return self.event_model.predict(stored_maps(self, spikes, expected))

    @cached_property
    def event_model(self) -> EventModel:
        """Of the event machine's program."""
        if not isinstance(self.program, EventProgram):
            raise TypeError("cycles are missing")
        return EventModel(self.program)


def stored_maps(
    loaded: Loaded, spikes: np.ndarray, expected: dict[str, golden.LayerResult]
) -> dict[str, np.ndarray]:
    """An image's maps by name, channels in the order in which their filters were loaded."""
    maps = {one.name: expected[one.name].output[:, one.order] for one in loaded.program.layers}
    return {loaded.network.first_map: spikes} | maps


def max_cycles(input_cycles: int, predicted: Sequence[LayerCycles]) -> int:
    """Cycles after which the RTL is taken to hang."""
    return MARGIN * (input_cycles + sum(layer.cycles for layer in predicted))


@dataclass(frozen=True, kw_only=True)
class ImageResult:
    """One image through the array, without its spikes."""

    comparison: Comparison
    prediction: int
    input_cycles: int
    model_input_cycles: int
    cycles: tuple[int, ...]
    """Of each layer, as the RTL counted them."""
    counters: tuple[dict[str, np.ndarray], ...]
    """Of each layer, (n_pe,) by name, as the RTL counted them."""
    accumulates: tuple[int, ...]
    """Of each source of each layer. The RTL counts a shortcut convolution and its host together; the
    convolution's part is the golden model's."""
    input_zeros: tuple[int, ...]
    """(tick, neuron) pairs of each source's input, as the RTL stored it, without a spike."""
    inputs: tuple[int, ...]
    """(tick, neuron) pairs of each source's input."""
    rtl_s: float
    """Wall time inside the RTL, in seconds."""
    model: tuple[LayerCycles, ...] = ()
    """What the cycle model said of each layer."""


def run_image(rtl: Rtl, loaded: Loaded, image: np.ndarray, dump: Path | None = None) -> ImageResult:
    """Run one image, uint8 (C, H, W), and compare; `dump` is the .npz that keeps the RTL's maps.

    Raises RtlError if the RTL errs or hangs.
    """
    if not loaded.simulated:
        return model_image(loaded, image)
    program = loaded.program
    spikes = golden.first_layer_spikes(loaded.network, image[None])[0]
    expected = golden.run(loaded.network, spikes)
    input_cycles = cycles.input_cycles(program, spikes)
    predicted = loaded.predict(spikes, expected)
    started = time.perf_counter()
    run = rtl.run(program, spikes, max_cycles=max_cycles(input_cycles, predicted))
    rtl_s = time.perf_counter() - started
    maps = {loaded.network.first_map: run.input}
    for layer, done in zip(program.layers, run.layers, strict=True):
        maps[layer.name] = done.output
    sources = [maps[s.source.map] for layer in program.layers for s in layer.integer.learned]
    if dump is not None:
        write_npz(dump, _dumped(program, maps))
    return ImageResult(
        comparison=compare(program, expected, run, predicted, input_cycles=input_cycles),
        prediction=golden.predict(run.layers[-1].output),
        input_cycles=run.input_cycles,
        model_input_cycles=input_cycles,
        cycles=tuple(layer.cycles for layer in run.layers),
        counters=tuple(layer.counters for layer in run.layers),
        accumulates=tuple(_accumulates(program, expected, run)),
        input_zeros=tuple(source.size - int(source.sum()) for source in sources),
        inputs=tuple(source.size for source in sources),
        rtl_s=rtl_s,
        model=tuple(predicted),
    )


def model_image(loaded: Loaded, image: np.ndarray) -> ImageResult:
    """What the models say of one image, uint8 (C, H, W), in the RTL's place: nothing is compared."""
    program = loaded.program
    spikes = golden.first_layer_spikes(loaded.network, image[None])[0]
    expected = golden.run(loaded.network, spikes)
    input_cycles = cycles.input_cycles(program, spikes)
    predicted = loaded.predict(spikes, expected)
    results = [expected[layer.name] for layer in program.layers]
    parts = [
        (part.name, result)
        for layer, result in zip(program.layers, results, strict=True)
        for part in layer.integer.learned
    ]
    inputs = [result.inputs[name] for name, result in parts]
    return ImageResult(
        comparison=Comparison(spikes=None, counters=None, cycles=None, outputs=0),
        prediction=golden.predict(results[-1].output),
        input_cycles=input_cycles,
        model_input_cycles=input_cycles,
        cycles=tuple(layer.cycles for layer in predicted),
        counters=tuple(
            {**expected_steps(layer, expected, program), **one.counters}
            for layer, one in zip(program.layers, predicted, strict=True)
        ),
        accumulates=tuple(int(result.filter_accumulates[name].sum()) for name, result in parts),
        input_zeros=tuple(seen.size - int(seen.sum()) for seen in inputs),
        inputs=tuple(seen.size for seen in inputs),
        rtl_s=0.0,
        model=tuple(predicted),
    )


def run_images(
    rtl: Rtl,
    programs: Sequence[Loaded],
    images: np.ndarray,
    *,
    dump: Path | None = None,
    jobs: int | None = None,
    done: Callable[[], None] = lambda: None,
) -> list[tuple[ImageResult, ...]]:
    """Every image through every program; `done` is called after each.

    dump: a folder for what the RTL produced of the first program. jobs: processes, by default one a
    core if there are several images; one runs everything in this process, on `rtl`.
    Raises RtlError if the RTL errs or hangs.
    """
    if dump is not None:
        dump.mkdir(parents=True, exist_ok=True)

    def target(p: int, i: int) -> Path | None:
        return dump / f"image_{i:03}.npz" if dump is not None and p == 0 else None

    results: dict[tuple[int, int], ImageResult] = {}
    tasks = [(p, i) for p in range(len(programs)) for i in range(len(images))]
    jobs = jobs or min(cores(), len(images))
    if jobs == 1:
        for p, i in tasks:
            results[p, i] = run_image(rtl, programs[p], images[i], target(p, i))
            done()
    else:
        workers: list[BaseProcess] = []
        try:
            with processes(jobs, _open, rtl.config, programs) as pool:
                futures = {pool.submit(_work, p, images[i], target(p, i)): (p, i) for p, i in tasks}
                workers.extend(pool._processes.values())
                for future in as_completed(futures):
                    results[futures[future]] = future.result()
                    done()
        except BrokenProcessPool:
            raise RtlError(f"a process that ran the RTL died{_of_what(workers)}") from None
    return [tuple(results[p, i] for i in range(len(images))) for p in range(len(programs))]


def tracing_rtl(config: Config) -> Rtl:
    """The array with waveforms. Raises BadInput, naming the package, where a header is missing."""
    try:
        return Rtl(config, trace=True)
    except BadInput as error:
        for header, package in (("lz4", "liblz4-dev"), ("zlib", "zlib1g-dev")):
            if header in str(error):
                raise BadInput(
                    f"--trace: {header} is missing; on Debian: apt-get install {package}"
                ) from None
        raise


def trace_layer(rtl: Rtl, loaded: Loaded, image: np.ndarray, layer: str, path: Path) -> None:
    """Write the FST waveform of one layer of one image; `rtl` is from `tracing_rtl`."""
    names = [compiled.name for compiled in loaded.program.layers]
    spikes = golden.first_layer_spikes(loaded.network, image[None])[0]
    predicted = loaded.predict(spikes, golden.run(loaded.network, spikes))
    limit = max_cycles(cycles.input_cycles(loaded.program, spikes), predicted)
    path.parent.mkdir(parents=True, exist_ok=True)
    rtl.run(loaded.program, spikes, max_cycles=limit, trace=(path, names.index(layer)))


def _dumped(program: Program, maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A shortcut convolution has an input and no output: its sums are in its host's."""
    arrays = {}
    for layer in program.layers:
        for part in layer.integer.learned:
            arrays[f"{part.name}.input"] = maps[part.source.map]
        arrays[f"{layer.name}.output"] = maps[layer.name]
    return arrays


def _accumulates(
    program: Program, expected: dict[str, golden.LayerResult], run: RtlRun
) -> list[int]:
    result = []
    for layer, done in zip(program.layers, run.layers, strict=True):
        total = int(done.counters["accumulates"].sum())
        for part in layer.integer.learned[:-1]:
            share = int(expected[layer.name].filter_accumulates[part.name].sum())
            result.append(share)
            total -= share
        result.append(total)
    return result


def _of_what(workers: Sequence[BaseProcess]) -> str:
    """Of the process that ended by itself: the pool, which is closed, has ended and reaped the others."""
    for worker in workers:
        code = worker.exitcode
        if code not in (None, 0, -signal.SIGTERM):
            why = f"status {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
            memory = ", as the kernel does where memory is short" if code == -signal.SIGKILL else ""
            return f" of {why}{memory}"
    return ""


# Of a worker process: its own model of the library that is built already, and the programs; or why not.
_worker: tuple[Rtl, Sequence[Loaded]] | Exception | None = None


def _open(config: Config, programs: Sequence[Loaded]) -> None:
    global _worker
    try:
        _worker = Rtl(config), programs
    except (OSError, ValueError) as error:  # a full disk: for the first task to raise
        _worker = error


def _work(program: int, image: np.ndarray, dump: Path | None) -> ImageResult:
    if _worker is None:
        raise RuntimeError("the process was not opened")
    if isinstance(_worker, Exception):
        raise _worker
    rtl, programs = _worker
    return run_image(rtl, programs[program], image, dump)
