"""Compressed sparse rows of spikes, a channel at a time (docs/formats.md, "Spikes: CSR").

An activation is one position's spikes in all ticks, as four tick bits (bit t = tick t). Silent ones,
without a spike in any tick, are not stored. Two activations share a byte, the earlier in the low
half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_TICKS = 4
MAX_WIDTH = 256  # a column is a byte
MAX_POSITIONS = 65_535  # a row pointer is 16 bits


@dataclass(frozen=True)
class Channel:
    """One channel's spikes. Row y holds activations row_pointers[y] to row_pointers[y + 1] - 1."""

    row_pointers: np.ndarray  # uint16 (H + 1,)
    columns: np.ndarray  # uint8 (n,), ascending in a row
    ticks: np.ndarray  # uint8 (ceil(n / 2),)


def encode(spikes: np.ndarray) -> Channel:
    """CSR of one channel: 0 and 1 (T, H, W).

    Raises ValueError for more than four ticks, 256 columns or 65,535 positions.
    """
    ticks, height, width = spikes.shape
    if ticks > MAX_TICKS or width > MAX_WIDTH or height * width > MAX_POSITIONS:
        raise ValueError(
            f"CSR: spikes {spikes.shape}; allowed: {MAX_TICKS} ticks, {MAX_WIDTH} columns, "
            f"{MAX_POSITIONS} positions"
        )
    bits = np.tensordot(1 << np.arange(ticks), spikes, axes=1).astype(np.uint8)
    rows, columns = np.nonzero(bits)
    halves = np.append(bits[rows, columns], np.zeros(len(rows) % 2, np.uint8))
    return Channel(
        row_pointers=np.searchsorted(rows, np.arange(height + 1)).astype(np.uint16),
        columns=columns.astype(np.uint8),
        ticks=halves[::2] | halves[1::2] << 4,
    )


def decode(channel: Channel, *, ticks: int, width: int) -> np.ndarray:
    """Spikes, uint8 (T, H, W), of one channel."""
    ends = channel.row_pointers.astype(np.int64)
    counts = ends[1:] - ends[:-1]
    halves = np.stack([channel.ticks & 15, channel.ticks >> 4], axis=1).ravel()
    bits = np.zeros((len(counts), width), np.uint8)
    bits[np.repeat(np.arange(len(counts)), counts), channel.columns] = halves[: counts.sum()]
    return bits[None] >> np.arange(ticks, dtype=np.uint8)[:, None, None] & 1
