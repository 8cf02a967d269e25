"""Test image 0 of a ticket: what each layer of the array sees of it, how long it takes, what all PEs do in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from hw.counters import COUNTERS, Counter, counter_names
from sim.deployment import Deployment
from sim.models.cycles import LayerCycles, input_cycles
from support.errors import BadInput
from sw import golden
from sw.compile import Program
from sw.integers import IntegerNetwork, part
from sw.layers import Shape
from sw.machines import compile_network
from synth.fit import TERMS

ACCOUNTS: dict[str, dict[str, tuple[Counter, ...]]] = {
    "work": {
        "sweep": (Counter.WORK_CYCLES, Counter.STALL_SHORTCUT),
        "event": (Counter.WORK_CYCLES, Counter.STALL_WINDOW, Counter.STALL_SHORTCUT),
    },
    "drain": {"sweep": (Counter.STALL_LIF,), "event": (Counter.STALL_LIF,)},
}
"""Accounts of a PE's cycles in which it adds, and in which it drains, by machine; `stall_window` is the event machine's `stall_bank`."""
WINDOW = 256
"""Cycles, over which energy is summed."""
LAYERS = 4
"""That are recorded if none is named."""


class Image:
    """Of a ticket on hardware. Computed once, when first asked for."""

    def __init__(self, deployed: Deployment) -> None:
        self.deployed, self.config = deployed, deployed.config

    @cached_property
    def spikes(self) -> np.ndarray:
        """What the array gets, uint8 (T, C, H, W)."""
        (picture,), _ = self.deployed.test_images(1)
        return self.deployed.spikes(picture[None])[0]

    @cached_property
    def _results(self) -> dict[str, golden.LayerResult]:
        return golden.run(self.deployed.network, self.spikes)

    @cached_property
    def predicted(self) -> dict[str, LayerCycles]:
        """What the cycle model says of each layer, by name, in their order."""
        loaded = self.deployed.loaded
        found = loaded.predict(self.spikes, self._results)
        return {layer.name: one for layer, one in zip(loaded.program.layers, found, strict=True)}

    def program_from(self, layer: str) -> tuple[Program, np.ndarray]:
        """A program whose first layer is `layer`, all behind it included, and the spikes into it.

        Raises BadInput for a layer that is none of `recordable`.
        """
        self.check(layer)
        return compile_network(self._rest(layer), self.config), self._seen(layer)

    def check(self, layer: str) -> None:
        """Raises BadInput for a layer that is none of `recordable`."""
        if why := self._lacks(layer):
            raise BadInput(f"--layer {layer}: {why}; allowed: {', '.join(self.recordable())}")

    def recordable(self) -> list[str]:
        """Layers that can be recorded, in their order."""
        return [name for name in self.predicted if not self._lacks(name)]

    def _lacks(self, layer: str) -> str:
        """Why a layer cannot be recorded: it is none, too short, or something needs what is before it."""
        if layer not in self.predicted:
            return "there is no such layer"
        if (cycles := self.predicted[layer].cycles) < 2 * WINDOW:
            return f"it takes {cycles} cycles, {2 * WINDOW} are needed"
        try:
            self._rest(layer)
        except ValueError as error:
            return str(error)
        return ""

    def _seen(self, layer: str) -> np.ndarray:
        """Spikes into a layer, uint8 (T, C, H, W)."""
        return self._results[layer].inputs[layer]

    def _rest(self, layer: str) -> IntegerNetwork:
        """From a layer on. Raises ValueError where something needs what is before it."""
        names = list(self.predicted)
        rest = names[names.index(layer) :]
        return part(self.deployed.network, rest, Shape(*self._seen(layer).shape[1:]))

    def counts(self) -> dict[str, int]:
        """Of fit.TERMS, over all PEs, the input's cycles included."""
        total = sum(one.cycles for one in self.predicted.values())
        total += input_cycles(self.deployed.program, self.spikes)
        names = counter_names(self.config.machine)
        counted = {"cycles": total * self.config.n_pe}
        for term, of in ACCOUNTS.items():
            counters = [names[COUNTERS.index(one)] for one in of[self.config.machine]]
            counted[term] = sum(
                int(one.counters[name].sum())
                for one in self.predicted.values()
                for name in counters
            )
        counted["accumulates"] = sum(
            int(np.sum(list(one.filter_accumulates.values())))
            + int(np.sum(one.shortcut_accumulates))
            for one in self._results.values()
        )
        return {term: counted[term] for term in TERMS}


def early_to_late(images: Sequence[Image]) -> list[str]:
    """LAYERS layers that can be recorded of all, from the first to the last before the classifier.

    images: of one ticket on several machines. Raises BadInput where there is none.
    """
    first, *others = [image.recordable() for image in images]
    *hidden, _ = images[0].predicted
    both = [name for name in first if name in hidden and all(name in other for other in others)]
    if not both:
        raise BadInput(
            f"no layer takes {2 * WINDOW} cycles and needs nothing from before it; allowed: larger networks"
        )
    places = np.linspace(0, len(both) - 1, LAYERS).round().astype(int)
    return [both[k] for k in dict.fromkeys(places.tolist())]
