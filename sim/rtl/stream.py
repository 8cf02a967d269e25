"""The streams of a run as files: a program, and the results that the models expect of it, a beat a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hw.config import Config
from hw.counters import counter_names
from hw.files import atomic_write
from hw.results import beats_a_result
from sim.models import golden
from sim.models.cycles import input_cycles
from sim.rtl.checks import expected_steps
from sim.rtl.runner import Loaded
from sw.event.program import in_rounds


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
            beats.append(_sums(expected[layer.name].output[:, layer.order], config))
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


def _sums(loaded: np.ndarray, config: Config) -> np.ndarray:
    """A classifier's results (T, K), filters as loaded: group after group, in each the rounds of ticks."""
    rounds = in_rounds(loaded, config.ticks)
    parts = []
    for first in range(0, loaded.shape[1], config.n_pe):
        for sums in rounds[..., first : first + config.n_pe]:
            row = np.zeros((sums.shape[1], 2 * beats_a_result(config)), "<i4")
            row[:, : config.ticks] = sums.T
            parts.append(row.view("<u8").ravel())
    return np.concatenate(parts)
