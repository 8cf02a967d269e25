"""Whether the RTL did what the golden and the cycle model say, and the first place where it did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw.counters import cycle_names
from sim.models.cycles import LayerCycles
from sim.rtl.results import RtlRun
from sw.compile import CompiledLayer, Program
from sw.golden import LayerResult


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Of one image: the first mismatch of each kind in one line, or None where all agreed."""

    spikes: str | None
    counters: str | None
    cycles: str | None
    outputs: int
    """Output values compared: spikes after pooling, and the classifier's accumulators."""

    @property
    def first(self) -> str | None:
        """The mismatch that explains most: a wrong spike before a wrong count."""
        return self.spikes or self.counters or self.cycles


def compare(
    program: Program,
    golden: dict[str, LayerResult],
    run: RtlRun,
    model: Sequence[LayerCycles],
    *,
    input_cycles: int,
) -> Comparison:
    """Compare one image's run with the golden model, and with the cycle model's prediction."""
    first = program.layers[0].integer.own
    spikes: list[str | None] = []
    counters: list[str | None] = []
    cycles = [number("input", "cycles", run.input_cycles, input_cycles)]
    outputs = 0
    stored = {first.source.map: run.input}
    for layer, done, predicted in zip(program.layers, run.layers, model, strict=True):
        name = layer.name
        expected = golden[name]
        for part in layer.integer.learned:
            source = (done.read or stored)[part.source.map]
            wanted = expected.inputs[part.name]
            spikes.append(difference(f"input of {part.name} as stored", source, wanted))
        spikes.append(difference(name, done.output, expected.output))
        outputs += expected.output.size
        stored[name] = done.output
        counts = {**expected_steps(layer, golden, program), **predicted.counters}
        counters += [_per_pe(name, c, done.counters[c], want) for c, want in counts.items()]
        accounts = cycle_names(program.config.machine)
        total = np.sum([done.counters[c] for c in accounts], axis=0)
        counters.append(_per_pe(name, "cycles", total, np.full_like(total, done.cycles)))
        cycles.append(number(name, "cycles", done.cycles, predicted.cycles))
    spikes.append(
        number(
            "input", "spikes", run.input_spikes, int(golden[first.name].inputs[first.name].sum())
        )
    )
    return Comparison(
        spikes=next(filter(None, spikes), None),
        counters=next(filter(None, counters), None),
        cycles=next(filter(None, cycles), None),
        outputs=outputs,
    )


def expected_steps(
    layer: CompiledLayer, golden: dict[str, LayerResult], program: Program
) -> dict[str, np.ndarray]:
    """What each PE adds, (n_pe,) by counter: filter k of the loaded order sits on PE k mod n_pe.

    The event machine counts positions instead of steps, which its cycle model predicts.
    """
    n_pe, steps = program.config.n_pe, program.config.ticks * layer.positions
    result_of = golden[layer.name]
    filters = {
        "steps": steps * layer.integer.filter_nnz,
        "accumulates": np.sum(list(result_of.filter_accumulates.values()), axis=0),
        "shortcut_accumulates": result_of.shortcut_accumulates,
    }
    if program.config.machine == "event":
        del filters["steps"]
    pe = np.arange(len(layer.order)) % n_pe
    result = {}
    for name, counts in filters.items():
        result[name] = np.zeros(n_pe, np.int64)
        np.add.at(result[name], pe, counts[layer.order])
    return result


def difference(what: str, rtl: np.ndarray, golden: np.ndarray) -> str | None:
    """The first value in which two maps (T, C, H, W), or results (T, K), differ."""
    if rtl.shape != golden.shape:
        return f"{what}: RTL has the shape {rtl.shape}, golden {golden.shape}"
    if np.array_equal(rtl, golden):
        return None
    unequal = np.argwhere(rtl != golden)
    at = tuple(int(i) for i in unequal[0])
    place = ", ".join(
        f"{axis} {i}" for axis, i in zip(("tick", "channel", "y", "x"), at, strict=False)
    )
    return (
        f"{what}, {place}: RTL {int(rtl[at])}, golden {int(golden[at])} "
        f"({len(unequal)} of {golden.size} values differ)"
    )


def _per_pe(layer: str, counter: str, rtl: np.ndarray, model: np.ndarray) -> str | None:
    unequal = np.flatnonzero(rtl != model)
    if not len(unequal):
        return None
    pe = unequal[0]
    return f"{layer}, PE {pe}, {counter}: RTL {int(rtl[pe])}, model {int(model[pe])}"


def number(what: str, quantity: str, rtl: int, model: int) -> str | None:
    """That a number of the RTL is not the model's, or None."""
    return None if rtl == model else f"{what}, {quantity}: RTL {rtl}, model {model}"
