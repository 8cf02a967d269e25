"""What a layer on the event machine reads and writes in its PEs: rings, and FIFOs of slices; docs/energy.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.config import STREAM_WORDS
from sw.event.encode import LAST
from sw.event.program import EventLayer

PATTERN = (1 << 9) - 1  # of a slice header


@dataclass(frozen=True, kw_only=True)
class RingAccesses:
    """Of all PEs together, whatever the image."""

    reads: float
    """Words of 16 bits: slice headers and values, once a visit of a tile."""
    writes: float
    """Words, in whole rows, once."""
    slices: float
    """That PEs took into their FIFOs."""


def accesses(layer: EventLayer, visits: int) -> RingAccesses:
    """Of a layer. visits: its tiles, each as often as there are rounds of ticks, or images of a batch."""
    reads = writes = slices = 0
    for segment in layer.segments:
        passes = visits if segment.all_tiles else 1
        for words in (*segment.part.headers, *segment.part.values):
            reads += passes * len(words)
            writes += -(-len(words) // STREAM_WORDS) * STREAM_WORDS
        for words in segment.part.headers:
            ends = (words & PATTERN != 0) & (words >> LAST & 1 == 1)
            slices += passes * int(np.count_nonzero(ends))
    return RingAccesses(reads=reads, writes=writes, slices=slices)
