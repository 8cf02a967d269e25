"""A ticket through quantizer, compiler, golden model, cycle model and RTL, image by image."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hw.config import Config
from sim.catalog import Method, Model
from sim.errors import BadInput
from sim.files import write_npz
from sim.models import cycles, golden
from sim.models.cycles import LayerCycles
from sim.rtl.checks import Comparison, compare
from sim.rtl.harness import Rtl, RtlError, RtlRun
from sw.compile import Program, compile_network, sort_orders
from sw.quantize import IntegerNetwork, quantize
from sw.ticket import Ticket

MARGIN = 2  # a run that takes so many times the predicted cycles has hung


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A method's network as the array gets it, and what the cycle model says of it."""

    method: Method
    metadata: dict
    """Of the ticket."""
    network: IntegerNetwork
    program: Program
    cycles: list[LayerCycles]


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


@dataclass(frozen=True, kw_only=True)
class MethodRun:
    """All images of one method."""

    prepared: Prepared
    images: tuple[ImageResult, ...]

    @property
    def uneven(self) -> str | None:
        """The first layer whose cycles differ between two images, which data must not do."""
        for k, layer in enumerate(self.prepared.program.layers):
            counts = [image.cycles[k] for image in self.images]
            other = next((i for i, count in enumerate(counts) if count != counts[0]), None)
            if other is not None:
                return (
                    f"{layer.integer.layer.name}, cycles: image 0 takes {counts[0]}, "
                    f"image {other} takes {counts[other]}"
                )
        return None


def load_tickets(model: Model, methods: Sequence[Method]) -> list[Ticket]:
    """The methods' tickets; the same file is read once."""
    files: dict[Path, Ticket] = {}
    for method in methods:
        if method.ticket not in files:
            files[method.ticket] = model.ticket(method)
    return [files[method.ticket] for method in methods]


def quantize_tickets(tickets: Sequence[Ticket], config: Config) -> list[IntegerNetwork]:
    """Their integer networks, without the float weights, which the array does not see.

    Raises ValueError for a ticket that the hardware cannot run.
    """
    done: dict[int, IntegerNetwork] = {}
    nothing = np.zeros(0)
    for ticket in tickets:
        ticks = ticket.metadata["ticks"]
        if ticks != config.ticks:
            raise BadInput(f"the ticket has {ticks} ticks, the hardware {config.ticks}")
        if id(ticket) not in done:
            network = quantize(ticket, config)
            lean = (replace(i, float_weight=nothing, float_bias=nothing) for i in network.array)
            done[id(ticket)] = replace(network, array=tuple(lean))
    return [done[id(ticket)] for ticket in tickets]


def sort_networks(
    methods: Sequence[Method], networks: Sequence[IntegerNetwork]
) -> list[dict[str, np.ndarray] | None]:
    """The loaded order of each method's filters, None for the network's own."""
    return [
        sort_orders(network) if method.sort else None
        for method, network in zip(methods, networks, strict=True)
    ]


def compile_programs(
    networks: Sequence[IntegerNetwork],
    orders: Sequence[dict[str, np.ndarray] | None],
    config: Config,
    *,
    image_side: int,
) -> list[Program]:
    """Their program streams. Raises DoesNotFit for what the hardware cannot run."""
    return [
        compile_network(
            network,
            config,
            input_side=network.layers[0].pooled_side(image_side),
            orders=order,
        )
        for network, order in zip(networks, orders, strict=True)
    ]


def run_image(
    rtl: Rtl, prepared: Prepared, image: np.ndarray, dump: Path | None = None
) -> ImageResult:
    """Run one image, uint8 (C, H, W), and compare; `dump` is the .npz that keeps the RTL's maps.

    Raises RtlError if the RTL errs or hangs.
    """
    program = prepared.program
    spikes = golden.first_layer_spikes(prepared.network, image[None])[0]
    expected = golden.run(prepared.network, spikes)
    input_cycles = cycles.input_cycles(program, spikes)
    started = time.perf_counter()
    run = rtl.run(program, spikes, max_cycles=max_cycles(prepared, input_cycles))
    rtl_s = time.perf_counter() - started
    maps = {program.layers[0].integer.layer.input: run.input}
    for layer, done in zip(program.layers, run.layers, strict=True):
        maps[layer.integer.layer.name] = done.output
    sources = [maps[part.layer.input] for layer in program.layers for part in layer.sources]
    if dump is not None:
        write_npz(dump, _dumped(program, maps))
    return ImageResult(
        comparison=compare(program, expected, run, prepared.cycles, input_cycles=input_cycles),
        prediction=golden.predict(run.layers[-1].output),
        input_cycles=run.input_cycles,
        model_input_cycles=input_cycles,
        cycles=tuple(layer.cycles for layer in run.layers),
        counters=tuple(layer.counters for layer in run.layers),
        accumulates=tuple(_accumulates(program, expected, run)),
        input_zeros=tuple(source.size - int(source.sum()) for source in sources),
        inputs=tuple(source.size for source in sources),
        rtl_s=rtl_s,
    )


def max_cycles(prepared: Prepared, input_cycles: int) -> int:
    """Cycles after which the RTL is taken to hang."""
    return MARGIN * (input_cycles + sum(layer.cycles for layer in prepared.cycles))


def run_images(
    rtl: Rtl,
    methods: Sequence[Prepared],
    images: np.ndarray,
    *,
    dump: Path | None = None,
    jobs: int | None = None,
    done: Callable[[], None] = lambda: None,
) -> list[MethodRun]:
    """Every image through every method's program; `done` is called after each.

    dump: a folder for what the RTL produced of the first method. jobs: processes, by default one a
    core if there are several images; one runs everything in this process, on `rtl`.
    Raises RtlError if the RTL errs or hangs.
    """
    if dump is not None:
        dump.mkdir(parents=True, exist_ok=True)
    tasks = [(m, i) for m in range(len(methods)) for i in range(len(images))]
    if jobs is None:
        jobs = min(cores(), len(images))

    def target(m: int, i: int) -> Path | None:
        return dump / f"image_{i:03}.npz" if dump is not None and m == 0 else None

    results: dict[tuple[int, int], ImageResult] = {}
    if jobs == 1:
        for m, i in tasks:
            results[m, i] = run_image(rtl, methods[m], images[i], target(m, i))
            done()
    else:
        with _workers(rtl, methods, jobs) as pool:
            futures = {pool.submit(_work, m, images[i], target(m, i)): (m, i) for m, i in tasks}
            try:
                for future in as_completed(futures):
                    results[futures[future]] = future.result()
                    done()
            except BrokenProcessPool:
                raise RtlError("a process that ran the RTL died") from None
            finally:
                pool.shutdown(cancel_futures=True)
    return [
        MethodRun(prepared=prepared, images=tuple(results[m, i] for i in range(len(images))))
        for m, prepared in enumerate(methods)
    ]


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


def trace_layer(rtl: Rtl, prepared: Prepared, image: np.ndarray, layer: str, path: Path) -> None:
    """Write the FST waveform of one layer of one image; `rtl` is from `tracing_rtl`."""
    names = [compiled.integer.layer.name for compiled in prepared.program.layers]
    spikes = golden.first_layer_spikes(prepared.network, image[None])[0]
    limit = max_cycles(prepared, cycles.input_cycles(prepared.program, spikes))
    path.parent.mkdir(parents=True, exist_ok=True)
    rtl.run(prepared.program, spikes, max_cycles=limit, trace=(path, names.index(layer)))


def _dumped(program: Program, maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A shortcut convolution has an input and no output: its sums are in its host's."""
    arrays = {}
    for layer in program.layers:
        for part in layer.sources:
            arrays[f"{part.layer.name}.input"] = maps[part.layer.input]
        name = layer.integer.layer.name
        arrays[f"{name}.output"] = maps[name]
    return arrays


def _accumulates(
    program: Program, expected: dict[str, golden.LayerResult], run: RtlRun
) -> list[int]:
    result = []
    for layer, done in zip(program.layers, run.layers, strict=True):
        total = int(done.counters["accumulates"].sum())
        if layer.convolution is not None:
            part = expected[layer.convolution.layer.name].accumulates
            result.append(part)
            total -= part
        result.append(total)
    return result


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Of a worker process: its own model of the library that is built already, and the programs.
_worker: tuple[Rtl, Sequence[Prepared]] | None = None


@contextmanager
def _workers(rtl: Rtl, methods: Sequence[Prepared], jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that start afresh: a fork would share the threads of BLAS and of the progress bar."""
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process a core
    try:
        with ProcessPoolExecutor(
            jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_open,
            initargs=(rtl.config, methods),
        ) as pool:
            yield pool
    finally:
        if before is None:
            del os.environ["OPENBLAS_NUM_THREADS"]


def end_with_parent() -> None:
    """End this process as soon as the one that started it is gone, killed without a word or not.

    A worker would wait for its next task for good: it holds both ends of the pipe that brings it.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("this process was not started by multiprocessing")

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _open(config: Config, methods: Sequence[Prepared]) -> None:
    global _worker
    end_with_parent()
    _worker = Rtl(config), methods


def _work(method: int, image: np.ndarray, dump: Path | None) -> ImageResult:
    if _worker is None:
        raise RuntimeError("the process was not opened")
    rtl, methods = _worker
    return run_image(rtl, methods[method], image, dump)
