"""Batches of images through the RTL, their late layers' weights loaded once (sw/event/batch.py), each compared with the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.models import golden
from sim.models.event_cycles import EventModel, Passed
from sim.models.golden import LayerResult
from sim.rtl.checks import Comparison, compare, number
from sim.rtl.harness import Rtl
from sim.rtl.runner import MARGIN, Loaded, stored_maps
from sw.event.batch import Batch, batched
from sw.event.program import EventProgram


def batch_of(loaded: Loaded, size: int) -> Batch:
    """The programs of a batch of `size` images. Raises DoesNotFit, or ValueError for another size, as `batched` does."""
    return batched(event_program(loaded), size)


def event_program(loaded: Loaded) -> EventProgram:
    """Raises TypeError for a program of the other machine."""
    if not isinstance(loaded.program, EventProgram):
        raise TypeError("a program of the other machine")
    return loaded.program


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """Images in batches, one behind the other."""

    batch: Batch
    cycles: tuple[int, ...]
    """Of each batch: from the end of the one before to its own, inputs included, as the RTL counted them."""
    comparisons: tuple[Comparison, ...]
    """Of each program."""

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


def run_batches(rtl: Rtl, loaded: Loaded, batch: Batch, images: np.ndarray) -> BatchResult:
    """Images, uint8 (N, C, H, W), in whole batches through the RTL, every spike, counter and cycle compared.

    batch: of `batch_of`. Raises RtlError if the RTL errs or hangs.
    """
    spikes = list(golden.first_layer_spikes(loaded.network, images))
    expected = [golden.run(loaded.network, each) for each in spikes]
    maps = [stored_maps(loaded, *pair) for pair in zip(spikes, expected, strict=True)]
    model = predict_batches(batch, maps)
    found = rtl.run_batches(batch, spikes, max_cycles=MARGIN * sum(one.period for one in model))
    comparisons = []
    wanted = program_results(batch, expected)
    for k, (one, golden_says, predicted) in enumerate(zip(found, wanted, model, strict=True)):
        program = batch.programs[k % len(batch.programs)]
        same = compare(
            program, golden_says, one.run, predicted.layers, input_cycles=predicted.waited
        )
        late = number("input to end", "cycles", one.latency, predicted.latency)
        comparisons.append(replace(same, cycles=same.cycles or late))
    return BatchResult(
        batch=batch,
        cycles=batch_cycles(batch, [one.run.cycles for one in found]),
        comparisons=tuple(comparisons),
    )
