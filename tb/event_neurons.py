"""What the neurons of a tile do, in Python's integers: the recurrence that the event machine's tests compare with."""

from __future__ import annotations

from hw.config import Config
from hw.neuron import Neuron

Sums = dict[tuple[int, int], list[int]]
"""Of each position (y, x) of a tile: a current a tick."""


def averaged(sums: Sums) -> Sums:
    """One neuron, which gets the sums of all."""
    return {(0, 0): [sum(column) for column in zip(*sums.values(), strict=True)]}


def fire(
    config: Config,
    sums: Sums,
    potentials: dict[tuple[int, int], int],
    neuron: Neuron,
    threshold: int,
    *,
    last_tick: int,
    pool: int,
    at: tuple[int, int],
) -> int:
    """The bits of an output word that a tile sets, whose first position stands at `at` (y, x).

    potentials: by position; those that are there go on, and each position's new one is put there.
    last_tick: spikes behind it are dropped. pool: 1 where 2x2 positions share a place.
    """
    word = 0
    for (y, x), currents in sums.items():
        u = potentials.get((y, x), neuron.initial(threshold))
        place = (at[0] + (y >> pool)) * config.tile_side + at[1] + (x >> pool)
        for t, current in enumerate(currents):
            fires, u = neuron.step(u, current, threshold)
            word |= (fires and t <= last_tick) << place * config.ticks + t
        potentials[y, x] = u
    return word
