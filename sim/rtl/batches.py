"""Batches of images, their late layers' weights loaded once (sw/event/batch.py): by the models, and through the RTL compared with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sim.models.event_cycles import EventModel, Passed
from sim.rtl.checks import Comparison
from sim.rtl.harness import Rtl
from sim.rtl.rows import MOST as MOST_IMAGES
from sim.rtl.rows import Modelled, ProgramCounts, event_program, golden_images
from sim.rtl.runner import Loaded
from support.errors import BadInput
from sw.event.batch import MOST, Batch, batched
from sw.golden import LayerResult


def check_size(size: int) -> None:
    """Raises BadInput for what is no number of images of a batch."""
    if not 2 <= size <= MOST:
        raise BadInput(f"--batch {size}: allowed: 2 to {MOST}")


def check_counts(images: int, size: int) -> None:
    """Raises BadInput unless so many images are whole batches of `size`, and not too many at once."""
    check_size(size)
    if images % size or not 0 < images <= MOST_IMAGES:
        raise BadInput(
            f"--batch {size}: images = {images}, allowed: a multiple of {size} up to {MOST_IMAGES}, with --images"
        )


def batch_of(loaded: Loaded, size: int) -> Batch:
    """The programs of a batch of `size` images. Raises DoesNotFit, or ValueError for another size, as `batched` does."""
    return batched(event_program(loaded.program), size)


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
        return batch_cycles(self.batch, [one.period for one in self.programs])

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


def model_batches(loaded: Loaded, batch: Batch, images: np.ndarray) -> Modelled:
    """Images, uint8 (N, C, H, W), in whole batches, by the models alone. batch: of `batch_of`."""
    spikes, expected, maps = golden_images(loaded, images)
    programs = batch.programs * (len(images) // batch.size)
    passed = predict_batches(batch, maps)
    return Modelled(programs, batch.inputs(spikes), program_results(batch, expected), passed)


def run_batches(rtl: Rtl, loaded: Loaded, batch: Batch, images: np.ndarray) -> BatchResult:
    """Images, uint8 (N, C, H, W), in whole batches through the RTL, every spike, counter and cycle compared.

    batch: of `batch_of`. Raises RtlError if the RTL errs or hangs.
    """
    counts, comparisons = model_batches(loaded, batch, images).run(rtl)
    return BatchResult(batch=batch, programs=counts, comparisons=comparisons)
