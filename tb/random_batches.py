"""Random small networks for the array whose late layers' weights are loaded once for a batch of images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.config import Config
from sw.event.batch import Batch, batch_from, batched
from sw.event.program import EventProgram
from sw.integers import IntegerNetwork
from sw.limits import DoesNotFit
from tb.random_programs import Case, Shape, random_case
from tests.random_networks import random_spikes

CHAIN = Shape(filters=8), Shape(filters=8, pool="max2"), Shape(filters=8), Shape(filters=8)
WIDE = (*CHAIN[:3], Shape(filters=32), Shape(filters=8))
"""Layers for maps of 8 channels, 12x12. Behind the third of WIDE three images leave no room beside in 128 words a bank."""


@dataclass(frozen=True)
class Batches:
    """Images in whole batches, their late layers' weights loaded once."""

    name: str
    network: IntegerNetwork
    batch: Batch
    images: list[np.ndarray]  # of each its spikes, uint8 (T, C, H, W)


def batches_of(case: Case, size: int, first: int | None = None, *, count: int = 2) -> Batches:
    """A case's image and others, in `count` batches. first: the first layer whose weights stay, by default the compiler's.

    Raises DoesNotFit where the buffer cannot hold a batch.
    """
    rng = np.random.default_rng(int(case.spikes.sum()))
    rates = rng.choice([0.0, 0.2, 0.5], count * size - 1)
    more = [random_spikes(rng, case.spikes.shape, float(rate)) for rate in rates]
    assert isinstance(case.program, EventProgram)
    batch = batched(case.program, size) if first is None else batch_from(case.program, size, first)
    name = f"{case.name}, {size} images, resident from layer {batch.resident}"
    name += f", early {batch.early}, over {bool(batch.programs[-1].early)}"
    return Batches(name, case.network, batch, [case.spikes, *more])


def random_batches(config: Config, count: int, **kinds: Any) -> Iterator[Batches]:
    """So many of the random cases of `random_case` that have room for a batch, from any layer on."""
    found = 0
    for seed in itertools.count():
        rng = np.random.default_rng(seed)
        case = random_case(config, seed, **kinds)
        size, first = int(rng.integers(2, 5)), int(rng.integers(len(case.program.layers)))
        try:
            batches = batches_of(case, size, first if rng.random() < 0.8 else None)
        except DoesNotFit:
            continue
        yield batches
        found += 1
        if found == count:
            return
