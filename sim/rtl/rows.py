"""Programs one behind the other, the next one's input coming early: by the models, and through the RTL compared with them.

Images in a row are one program again and again (sw/event/overlap.py). Batches are several in turns (sim/rtl/batches.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.models.event_cycles import EventModel, Passed
from sim.rtl.checks import Comparison, compare, expected_steps, number
from sim.rtl.harness import Rtl
from sim.rtl.results import Passing
from sim.rtl.runner import MARGIN, Loaded, stored_maps
from support.errors import BadInput
from sw import golden
from sw.compile import Program
from sw.event.overlap import overlapped
from sw.event.program import EventProgram
from sw.golden import LayerResult

MOST = 100
"""Images whose maps and streams are in memory at once."""


def check_images(images: int) -> None:
    """Raises BadInput unless so many images are a row with means: there is one that is neither the first nor the last."""
    if not 3 <= images <= MOST:
        raise BadInput(f"--overlap: images = {images}, allowed: 3 to {MOST}, with --images")


def check_length(images: int) -> None:
    """Raises BadInput for what is no number of images of a row."""
    if not 2 <= images <= MOST:
        raise BadInput(f"--overlap {images}: allowed: 2 to {MOST}")


def event_program(program: Program) -> EventProgram:
    """Raises TypeError for a program of the other machine."""
    if not isinstance(program, EventProgram):
        raise TypeError("a program of the other machine")
    return program


def row_program(program: Program) -> EventProgram:
    """What images in a row run. Raises DoesNotFit where the spike buffer has no room for two images."""
    return overlapped(event_program(program))


@dataclass(frozen=True)
class ProgramCounts:
    """What a program took, as the RTL counted it, or the models where none ran."""

    waited: int
    """Cycles from the end of the program before until its layers begin; of the first one those of its input."""
    latency: int
    """Cycles from the first beat of its input to its end."""
    cycles: tuple[int, ...]
    """Of each layer."""
    counters: tuple[dict[str, np.ndarray], ...]
    """Of each layer, (n_pe,) by name."""

    @property
    def period(self) -> int:
        """Cycles from the end of the program before to its own."""
        return self.waited + sum(self.cycles)


@dataclass(frozen=True)
class Modelled:
    """Programs one behind the other, as the models have them."""

    programs: tuple[EventProgram, ...]
    inputs: list[np.ndarray]
    """Spikes of each program's input, uint8 (T, C, H, W)."""
    expected: list[dict[str, LayerResult]]
    """What each program should make."""
    passed: list[Passed]
    """And how long it takes."""

    @property
    def counts(self) -> tuple[ProgramCounts, ...]:
        """What the RTL should count."""
        counts = []
        for program, made, one in zip(self.programs, self.expected, self.passed, strict=True):
            counters = tuple(
                {**expected_steps(layer, made, program), **taken.counters}
                for layer, taken in zip(program.layers, one.layers, strict=True)
            )
            cycles = tuple(layer.cycles for layer in one.layers)
            counts.append(ProgramCounts(one.waited, one.latency, cycles, counters))
        return tuple(counts)

    def run(self, rtl: Rtl) -> tuple[tuple[ProgramCounts, ...], tuple[Comparison, ...]]:
        """What the RTL counted of each program, and every spike, counter and cycle compared.

        Raises RtlError if the RTL errs or hangs.
        """
        limit = MARGIN * sum(one.period for one in self.passed)
        found = rtl.run_programs(self.programs, self.inputs, max_cycles=limit)
        each = zip(self.programs, found, self.expected, self.passed, strict=True)
        return tuple(map(_counted, found)), tuple(_compared(*one) for one in each)


def _counted(one: Passing) -> ProgramCounts:
    layers = one.run.layers
    return ProgramCounts(
        waited=one.run.input_cycles,
        latency=one.latency,
        cycles=tuple(layer.cycles for layer in layers),
        counters=tuple(layer.counters for layer in layers),
    )


def _compared(
    program: EventProgram, one: Passing, wanted: dict[str, LayerResult], predicted: Passed
) -> Comparison:
    same = compare(program, wanted, one.run, predicted.layers, input_cycles=predicted.waited)
    late = number("input to end", "cycles", one.latency, predicted.latency)
    return replace(same, cycles=same.cycles or late)


def golden_images(
    loaded: Loaded, images: np.ndarray
) -> tuple[list[np.ndarray], list[dict[str, LayerResult]], list[dict[str, np.ndarray]]]:
    """Of images, uint8 (N, C, H, W): their spikes, uint8 (T, C, H, W), what the golden model makes of each, and all its maps."""
    spikes = list(golden.first_layer_spikes(loaded.network, images))
    expected = [golden.run(loaded.network, each) for each in spikes]
    maps = [stored_maps(loaded, *pair) for pair in zip(spikes, expected, strict=True)]
    return spikes, expected, maps


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """Images one after the other, the next one's input coming while the one before runs (docs/event.md)."""

    program: EventProgram
    images: tuple[ProgramCounts, ...]
    comparisons: tuple[Comparison, ...] = ()
    """Of each image; none where the models alone ran it."""

    @property
    def mismatch(self) -> str | None:
        """The first difference between RTL and models, in one line; None where all agreed."""
        found = ((i, one.first) for i, one in enumerate(self.comparisons))
        return next((f"in a row, image {i}: {text}" for i, text in found if text), None)


def model_row(loaded: Loaded, program: EventProgram, images: np.ndarray) -> Modelled:
    """Images, uint8 (N, C, H, W), in a row, by the models alone. program: of `row_program`."""
    spikes, expected, maps = golden_images(loaded, images)
    passed = EventModel(program).predict_row(maps)
    return Modelled((program,) * len(images), spikes, expected, passed)


def run_row(rtl: Rtl, loaded: Loaded, program: EventProgram, images: np.ndarray) -> RowResult:
    """Images, uint8 (N, C, H, W), in a row through the RTL, every spike, counter and cycle compared.

    program: of `row_program`. Raises RtlError if the RTL errs or hangs.
    """
    counts, comparisons = model_row(loaded, program, images).run(rtl)
    return RowResult(program=program, images=counts, comparisons=comparisons)
