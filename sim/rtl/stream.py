"""The streams of a run as files: a program, and the results that the models expect of it, a beat a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hw.counters import COUNTERS
from hw.results import beats_a_result
from sim.files import atomic_write
from sim.models.cycles import LayerCycles
from sim.models.golden import LayerResult
from sim.rtl.checks import expected_steps
from sw.compile import Program


def expected_results(
    program: Program,
    golden: dict[str, LayerResult],
    model: Sequence[LayerCycles],
    *,
    input_spikes: int,
    input_cycles: int,
) -> np.ndarray:
    """Beats of the result stream, uint64 (beats,), in the order of hw.results, while nothing stalls.

    golden, model: what the golden and the cycle model say of each layer.
    """
    config = program.config
    beats = [np.array([input_spikes | input_cycles << 32], np.uint64)]
    for layer, predicted in zip(program.layers, model, strict=True):
        if layer.output is None:
            sums = golden[layer.integer.layer.name].output[:, layer.order].T  # (K, T), as loaded
            row = np.zeros((len(sums), 2 * beats_a_result(config)), "<i4")
            row[:, : config.ticks] = sums
            beats.append(row.view("<u8").ravel())
        counts = {**expected_steps(layer, golden, program), **predicted.counters}
        row = np.stack([counts[name] for name in COUNTERS], axis=1).astype("<u4")
        beats.append(row.view("<u8").ravel())
    return np.concatenate(beats)


def write_beats(path: Path, beats: np.ndarray) -> None:
    """A beat a line, 16 hexadecimal digits: what Verilog's $readmemh reads."""
    with atomic_write(path) as file:
        file.write("".join(f"{int(beat):016x}\n" for beat in beats).encode())
