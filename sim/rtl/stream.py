"""The streams of a run as files: a program, and the results that the models expect of it, a beat a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hw.counters import counter_names
from hw.results import beats_a_result
from sim.files import atomic_write
from sim.models import golden
from sim.models.cycles import input_cycles
from sim.rtl.checks import expected_steps
from sim.rtl.runner import Loaded


def expected_results(loaded: Loaded, spikes: np.ndarray) -> np.ndarray:
    """Beats of the result stream, uint64 (beats,), in the order of hw.results, while nothing stalls.

    spikes: an image's, uint8 (T, C, H, W). The golden and the cycle model say what comes.
    """
    program, expected = loaded.program, golden.run(loaded.network, spikes)
    config = program.config
    cycles = input_cycles(program, spikes)
    beats = [np.array([int(spikes.sum()) | cycles << 32], np.uint64)]
    for layer, predicted in zip(program.layers, loaded.predict(spikes, expected), strict=True):
        if layer.output is None:
            sums = expected[layer.name].output[:, layer.order].T  # (K, T), as loaded
            row = np.zeros((len(sums), 2 * beats_a_result(config)), "<i4")
            row[:, : config.ticks] = sums
            beats.append(row.view("<u8").ravel())
        counts = {**expected_steps(layer, expected, program), **predicted.counters}
        row = np.stack([counts[name] for name in counter_names(config.machine)], axis=1).astype(
            "<u4"
        )
        beats.append(row.view("<u8").ravel())
    return np.concatenate(beats)


def write_beats(path: Path, beats: np.ndarray) -> None:
    """A beat a line, 16 hexadecimal digits a lane, the last first: what Verilog's $readmemh reads."""
    lanes = beats.reshape(len(beats), -1)[:, ::-1].tolist()
    with atomic_write(path) as file:
        file.write(
            "".join("".join(f"{lane:016x}" for lane in beat) + "\n" for beat in lanes).encode()
        )
