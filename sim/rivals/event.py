"""The event machine, without its loading and waiting for slices: docs/event.md.

A weight visits the active positions of its window tile by tile, one a cycle in each bank, and takes at least a cycle a
tile. With one bank a PE does as much in a cycle as every other rival's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hw.config import Config
from hw.event.planes import SHAPES
from sim.models.technology import ComponentTable
from sim.rivals.base import Load, Operand, Rival, Task, groups, load

TILE = Config().tile_side


class Event(Rival):
    """Skips positions that are silent in every tick, `banks` at a time."""

    name = "event machine"
    style = ("#1b7837", "X-")
    needs_spikes = True
    on_uticket = True
    note = (
        "It skips silent positions. With one bank it adds to one position a cycle, as all others; with more, to as many "
        "as its banks have. It needs no barrier, but has one here, and its loading is left out; docs/event.md has the "
        "cycles of its RTL. Its area is not modelled here."
    )

    def __init__(self, banks: int = 1) -> None:
        self.banks = banks

    def load(self, task: Task, n_pe: int) -> Load:
        """What `n_pe` PEs do in a layer."""
        cost = np.concatenate([task.centred(self.costs(one)) for one in task.operands])
        busy = task.slices.reshape(task.filters, -1).astype(np.int64) @ cost.ravel()
        return load(groups(busy, n_pe), task.parameters)

    def costs(self, one: Operand) -> np.ndarray:
        """Cycles of a weight by channel and kernel position, int64 (C, positions of the kernel)."""
        if one.spikes is None:
            raise ValueError(f"layer {one.source.name}: this rival needs the input's spikes")
        source, fires = one.source, np.asarray(one.spikes.any(axis=0))
        if source.kernel is None:
            fires = fires.reshape(-1, 1, 1)
        by, bx = SHAPES[self.banks]
        tall, wide = source.kernel or (1, 1)
        height, width = source.output(*fires.shape[1:])
        down, across = -(-height // TILE), -(-width // TILE)
        padded = np.pad(fires, ((0, 0), *[(source.padding, source.padding)] * 2))
        whole = np.zeros((len(fires), down * TILE, across * TILE), np.int64)
        result = np.zeros((len(fires), tall * wide), np.int64)
        for position in range(tall * wide):
            y, x = divmod(position, wide)
            window = padded[:, y :: source.stride, x :: source.stride]
            whole[:, :height, :width] = window[:, :height, :width]
            cells = whole.reshape(len(fires), down, TILE // by, by, across, TILE // bx, bx)
            banks = cells.sum(axis=(2, 5))  # channel, tile's row, by, tile's column, bx
            result[:, position] = np.maximum(banks.max(axis=(2, 4)), 1).sum(axis=(1, 2))
        return result

    def added_area(self, table: ComponentTable, n_pe: int) -> float | None:
        """Not modelled by components: docs/event.md has it as synthesized."""
        return None

    @property
    def label(self) -> str:
        """With the banks."""
        return f"{self.name}, {self.banks} bank" + "s" * (self.banks > 1)

    def variants(self) -> Sequence[Rival]:
        """As many positions a cycle as the others, and more."""
        return [Event(banks) for banks in SHAPES]
