"""Batches of images, their late layers' weights loaded once (sw/event/batch.py): by the models, and through the RTL compared with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.errors import BadInput
from sim.models import golden
from sim.models.event_cycles import EventModel, Passed
from sim.models.golden import LayerResult
from sim.rtl import runner
from sim.rtl.checks import Comparison, compare, expected_steps, number
from sim.rtl.harness import Rtl
from sim.rtl.runner import MARGIN, Loaded, stored_maps
from sw.event.batch import MOST, Batch, batched
from sw.event.program import EventProgram


def check_size(size: int) -> None:
    """Raises BadInput for what is no number of images of a batch."""
    if not 2 <= size <= MOST:
        raise BadInput(f"--batch {size}: allowed: 2 to {MOST}")


def check_counts(images: int, size: int) -> None:
    """Raises BadInput unless so many images are whole batches of `size`, and not too many at once."""
    check_size(size)
    most = runner.MOST_IN_A_ROW
    if images % size or not 0 < images <= most:
        raise BadInput(
            f"--batch {size}: images = {images}, allowed: a multiple of {size} up to {most}, with --images"
        )


def batch_of(loaded: Loaded, size: int) -> Batch:
    """The programs of a batch of `size` images. Raises DoesNotFit, or ValueError for another size, as `batched` does."""
    return batched(event_program(loaded), size)


def event_program(loaded: Loaded) -> EventProgram:
    """Raises TypeError for a program of the other machine."""
    if not isinstance(loaded.program, EventProgram):
        raise TypeError("a program of the other machine")
    return loaded.program


@dataclass(frozen=True)
class ProgramCounts:
    """What a program of a batch took, as the RTL counted it, or the models where none ran."""

    waited: int
    """Cycles from the end of the program before until its layers begin; of the first one those of its input."""
    cycles: tuple[int, ...]
    """Of each layer."""
    counters: tuple[dict[str, np.ndarray], ...]
    """Of each layer, (n_pe,) by name."""


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """Images in batches, one behind the other."""

    batch: Batch
    programs: tuple[ProgramCounts, ...]
    """Of all batches, one behind the other."""
    comparisons: tuple[Comparison, ...] = ()
    """Of each program; none where the models alone ran it."""

    @property
    def cycles(self) -> tuple[int, ...]:
        """Of each batch: from the end of the one before to its own, inputs included."""
        return batch_cycles(self.batch, [one.waited + sum(one.cycles) for one in self.programs])

    @property
    def mismatch(self) -> str | None:
        """The first difference between RTL and models, in one line; None where all agreed."""
        each = len(self.batch.programs)
        found = ((k // each, one.first) for k, one in enumerate(self.comparisons))
        return next((f"in batches, batch {k}: {text}" for k, text in found if text), None)


def program_maps(
    batch: Batch, images: Sequence[Mapping[str, np.ndarray]]
) -> list[dict[str, np.ndarray]]:
    """What `EventModel.predict_row` takes of each program, of images' maps: of the last one of a batch those of all its images."""
    found: list[dict[str, np.ndarray]] = []
    for first in range(0, len(images), batch.size):
        group = images[first : first + batch.size]
        found += [dict(maps) for maps in group[: len(batch.programs) - 1]]
        found.append({name: np.concatenate([maps[name] for maps in group]) for name in group[0]})
    return found


def program_results(
    batch: Batch, images: Sequence[dict[str, LayerResult]]
) -> list[dict[str, LayerResult]]:
    """What each program should make, of what the golden model makes of each image."""
    found: list[dict[str, LayerResult]] = []
    for first in range(0, len(images), batch.size):
        group = images[first : first + batch.size]
        found += group[: len(batch.programs) - 1]
        late = {one.name: together([each[one.name] for each in group]) for one in batch.layers}
        found.append(group[-1] | late)
    return found


def together(results: Sequence[LayerResult]) -> LayerResult:
    """A layer's results of several images: ticks of one behind those of the other, counts added up."""
    first = results[0]
    return LayerResult(
        inputs={
            name: np.concatenate([one.inputs[name] for one in results]) for name in first.inputs
        },
        output=np.concatenate([one.output for one in results]),
        filter_accumulates={
            name: np.sum([one.filter_accumulates[name] for one in results], axis=0)
            for name in first.filter_accumulates
        },
        shortcut_accumulates=np.sum([one.shortcut_accumulates for one in results], axis=0),
    )


def batch_cycles(batch: Batch, periods: Sequence[int]) -> tuple[int, ...]:
    """Of each batch, of its programs' cycles, each from the end of the one before."""
    return tuple(np.reshape(periods, (-1, len(batch.programs))).sum(axis=1).tolist())


def predict_batches(batch: Batch, images: Sequence[Mapping[str, np.ndarray]]) -> list[Passed]:
    """What the cycle model says of each program, for whole batches of images' maps (see `EventModel.predict`)."""
    return EventModel(*batch.programs).predict_row(program_maps(batch, images))


@dataclass(frozen=True)
class Modelled:
    """Images in whole batches, as the models have them."""

    batch: Batch
    spikes: list[np.ndarray]
    """Of each image, uint8 (T, C, H, W)."""
    expected: list[dict[str, LayerResult]]
    """What each program should make."""
    passed: list[Passed]
    """And how long it takes."""

    @property
    def programs(self) -> tuple[EventProgram, ...]:
        """One a run, batch after batch."""
        return self.batch.programs * (len(self.spikes) // self.batch.size)

    @property
    def result(self) -> BatchResult:
        """What the RTL should count."""
        counts = []
        for program, made, one in zip(self.programs, self.expected, self.passed, strict=True):
            counters = tuple(
                {**expected_steps(layer, made, program), **taken.counters}
                for layer, taken in zip(program.layers, one.layers, strict=True)
            )
            cycles = tuple(layer.cycles for layer in one.layers)
            counts.append(ProgramCounts(one.waited, cycles, counters))
        return BatchResult(batch=self.batch, programs=tuple(counts))


def model_batches(loaded: Loaded, batch: Batch, images: np.ndarray) -> Modelled:
    """Images, uint8 (N, C, H, W), in whole batches, by the models alone. batch: of `batch_of`."""
    spikes = list(golden.first_layer_spikes(loaded.network, images))
    expected = [golden.run(loaded.network, each) for each in spikes]
    maps = [stored_maps(loaded, *pair) for pair in zip(spikes, expected, strict=True)]
    passed = predict_batches(batch, maps)
    return Modelled(batch, spikes, program_results(batch, expected), passed)


def run_batches(rtl: Rtl, loaded: Loaded, batch: Batch, images: np.ndarray) -> BatchResult:
    """Images, uint8 (N, C, H, W), in whole batches through the RTL, every spike, counter and cycle compared.

    batch: of `batch_of`. Raises RtlError if the RTL errs or hangs.
    """
    model = model_batches(loaded, batch, images)
    limit = MARGIN * sum(one.period for one in model.passed)
    found = rtl.run_batches(batch, model.spikes, max_cycles=limit)
    comparisons, counts = [], []
    for program, one, wanted, predicted in zip(
        model.programs, found, model.expected, model.passed, strict=True
    ):
        same = compare(program, wanted, one.run, predicted.layers, input_cycles=predicted.waited)
        late = number("input to end", "cycles", one.latency, predicted.latency)
        comparisons.append(replace(same, cycles=same.cycles or late))
        layers = one.run.layers
        counts.append(
            ProgramCounts(
                waited=one.run.input_cycles,
                cycles=tuple(layer.cycles for layer in layers),
                counters=tuple(layer.counters for layer in layers),
            )
        )
    return BatchResult(batch=batch, programs=tuple(counts), comparisons=tuple(comparisons))
