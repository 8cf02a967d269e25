"""A ticket on hardware: what the commands, the reports and a notebook share; docs/library.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from hw.config import LANES, Config
from sim.catalog import Method, Model, load_model
from sim.images import first_images, own_images, read_images
from sim.models import cycles, workload
from sim.models.cycles import LayerCycles
from sim.models.workload import Totals, Workload
from sim.rtl import runner
from sim.rtl.harness import Rtl
from sim.rtl.runner import ImageResult, Loaded
from support.errors import BadInput, ToldWhole
from support.files import checksum_of_file
from sw import golden
from sw.compile import Program
from sw.datasets import STATISTICS
from sw.floats import FLOAT_PASSES
from sw.importers.fit import lacks
from sw.integers import IntegerNetwork
from sw.lowering import Steps, finish, together
from sw.machines import compiling, passes
from sw.order import sort_orders
from sw.quantize import quantizing
from sw.ticket import Ticket


@dataclass(frozen=True, kw_only=True, eq=False)
class Deployment:
    """A ticket on hardware. Everything is computed once, when it is first asked for.

    Each property raises ValueError for a ticket that the hardware cannot run.
    """

    ticket: Ticket
    config: Config
    method: str
    """Its name, in reports."""
    sort: bool = False
    """Whether filters are loaded in order of their non-zero weights."""
    data: Path | None = None
    """The file of its data set, where that is one of the user's own."""
    twin: Deployment | None = None
    """Another one of the same ticket and hardware, with the same integer network."""
    sha256: str | None = None
    """Of the ticket's file; None where it has none."""

    @classmethod
    def load(
        cls, model: str, method: str | None = None, config: Config | None = None
    ) -> Deployment:
        """The ticket of a MODEL: a name of tickets/, a YAML, or a ticket file.

        method: by default the model's first. config: instead of the model's hardware.
        Raises BadInput for an unknown model or method.
        """
        chosen = load_model(model)
        (one,) = deployments(chosen, [chosen.method(method)], config or chosen.hardware)
        return one

    @cached_property
    def network(self) -> IntegerNetwork:
        """Integers, without the float weights, which the array does not see."""
        return self.twin.network if self.twin else finish(self._quantizing())

    def _quantizing(self) -> Steps[IntegerNetwork]:
        ticks = self.ticket.metadata["ticks"]
        if self.config.machine == "sweep" and ticks > LANES:
            why = lacks(self.ticket.network, ticks, "sweep")
            raise ToldWhole(
                f"the sweep machine cannot run this ticket: {why}; allowed: machine event"
            )
        if self.config.machine == "sweep" and ticks != self.config.ticks:
            raise BadInput(f"the ticket has {ticks} ticks, the hardware {self.config.ticks}")
        network, nothing = (yield from quantizing(self.ticket, self.config)), np.zeros(0)
        lean = []
        for layer in network.array:
            sources = tuple(replace(source, float_weight=nothing) for source in layer.sources)
            lean.append(replace(layer, sources=sources, float_bias=nothing))
        return replace(network, array=tuple(lean))

    @cached_property
    def orders(self) -> dict[str, np.ndarray] | None:
        """The loaded order of each layer's filters; None for the network's own."""
        return sort_orders(self.network) if self.sort else None

    @cached_property
    def program(self) -> Program:
        """The program stream. Raises DoesNotFit for what the hardware cannot run."""
        return finish(self._compiling())

    def _compiling(self) -> Steps[Program]:
        return compiling(self.network, self.config, self.orders)

    @cached_property
    def cycles(self) -> list[LayerCycles]:
        """What the cycle model says of each layer, whatever the image.

        Raises BadInput on the event machine, where each image has its own: `ImageResult.model`.
        """
        if self.config.machine == "event":
            raise BadInput("machine = 'event': its cycles are an image's; allowed here: sweep")
        return cycles.predict(self.program)

    @cached_property
    def workload(self) -> list[Workload]:
        """Of each row of the report, its filters in the order in which they are loaded."""
        return workload.of_program(self.program)

    @property
    def totals(self) -> Totals:
        """Of the workload."""
        return workload.totals(self.workload)

    @property
    def loaded(self) -> Loaded:
        """What the array gets, and the cycles it must take."""
        fixed = None if self.config.machine == "event" else self.cycles
        return Loaded(network=self.network, program=self.program, cycles=fixed)

    def test_images(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first of its data set: uint8 (count, C, H, W), and labels, int64 (count,)."""
        if self.data:
            return own_images(self.data, count)
        name = self.ticket.metadata.get("dataset")
        if name is None:
            raise BadInput(
                "this ticket names no data set; give --images FILE.npz (in Python images=)"
            )
        if name not in STATISTICS:
            raise BadInput(
                f"the ticket's dataset = {name!r}, of which there are no test images; known: "
                f"{', '.join(STATISTICS)}; of your own: --images FILE.npz (in Python images=)"
            )
        return first_images(name, count)

    def images(self, given: int | Path) -> tuple[np.ndarray, np.ndarray | None]:
        """So many of the first test images, or those of a user's file, with labels if it has any.

        Raises BadInput, see `sim.images.read_images`.
        """
        if isinstance(given, int):
            return self.test_images(given)
        return read_images(given, self.ticket.network, self.ticket.metadata["ticks"])

    def spikes(self, images: np.ndarray) -> np.ndarray:
        """What the array gets of images, uint8 (N, C, H, W): uint8 (N, T, C, H, W)."""
        return golden.first_layer_spikes(self.network, images)

    def run(self, images: np.ndarray, *, rtl: Rtl | None = None, jobs: int | None = None) -> Run:
        """Images, uint8 (N, C, H, W), through the RTL, every spike and counter compared.

        rtl: by default built, or taken from the cache. jobs: processes, by default one a core.
        Raises RtlError if the RTL errs or hangs.
        """
        if rtl is None:
            with Rtl(self.config) as built:
                return self.run(images, rtl=built, jobs=jobs)
        (run,) = run_all([self], images, rtl=rtl, jobs=jobs)
        return run

    def predict(self, images: np.ndarray) -> Run:
        """What `run` would give, by the models alone: no RTL is built, nothing is compared."""
        loaded = self.loaded
        results = tuple(runner.model_image(loaded, image) for image in images)
        return Run(deployment=self, images=results, build_s=0.0)


LOWERING = len(FLOAT_PASSES) + 1 + len(passes(Config()))  # passes that `lower` tells


def lower(deployed: Sequence[Deployment], tell: Callable[[str], object]) -> None:
    """From tickets to programs, side by side; `tell` is told each pass before it runs.

    Raises ValueError for a ticket that the hardware cannot run.
    """
    originals = [one for one in deployed if one.twin is None]
    networks = together([one._quantizing() for one in originals], tell)
    for one, network in zip(originals, networks, strict=True):
        vars(one)["network"] = network  # as the cached property keeps it
    programs = together([one._compiling() for one in deployed], tell)
    for one, program in zip(deployed, programs, strict=True):
        vars(one)["program"] = program


@dataclass(frozen=True, kw_only=True)
class Run:
    """Images through the array, compared."""

    deployment: Deployment
    images: tuple[ImageResult, ...]
    build_s: float
    """Wall time to build the RTL, or to take it from the cache, in seconds."""

    @property
    def mismatch(self) -> str | None:
        """The first difference between RTL and models, in one line; None where all agreed."""
        name = self.deployment.method
        found = ((i, image.comparison.first) for i, image in enumerate(self.images))
        told = next((f"{name}, image {i}: {text}" for i, text in found if text), None)
        return told or (f"{name}: {self.uneven}" if self.uneven else None)

    @property
    def uneven(self) -> str | None:
        """The first layer whose cycles differ between two images, which data must not do on a sweep."""
        if self.deployment.config.machine == "event":
            return None
        for k, layer in enumerate(self.deployment.program.layers):
            counts = [image.cycles[k] for image in self.images]
            other = next((i for i, count in enumerate(counts) if count != counts[0]), None)
            if other is not None:
                return (
                    f"{layer.integer.layer.name}, cycles: image 0 takes {counts[0]}, "
                    f"image {other} takes {counts[other]}"
                )
        return None


def deployments(model: Model, methods: Sequence[Method], config: Config) -> list[Deployment]:
    """The methods of a model; a ticket that two of them share is read and quantized once."""
    first: dict[Path, Deployment] = {}
    made = []
    for method in methods:
        twin = first.get(method.ticket)
        one = Deployment(
            ticket=twin.ticket if twin else model.ticket(method),
            config=config,
            method=method.name,
            sort=method.sort,
            data=model.data,
            twin=twin,
            sha256=twin.sha256 if twin else checksum_of_file(method.ticket),
        )
        first.setdefault(method.ticket, one)
        made.append(one)
    return made


def run_all(
    deployed: Sequence[Deployment],
    images: np.ndarray,
    *,
    rtl: Rtl,
    modelled: Sequence[Deployment] = (),
    dump: Path | None = None,
    jobs: int | None = None,
    done: Callable[[], None] = lambda: None,
) -> list[Run]:
    """Every image through every deployment of the same hardware; see `sim.rtl.runner.run_images`.

    modelled: of these the models alone say what the RTL would; their runs come last.
    """
    loaded = [one.loaded for one in deployed]
    loaded += [replace(one.loaded, simulated=False) for one in modelled]
    results = runner.run_images(rtl, loaded, images, dump=dump, jobs=jobs, done=done)
    return [
        Run(deployment=d, images=r, build_s=rtl.build_s)
        for d, r in zip([*deployed, *modelled], results, strict=True)
    ]
