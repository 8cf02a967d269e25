"""The streams of a run as files: a program, and the results that the models expect of it, a beat a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hw.config import Config
from hw.counters import counter_names
from hw.results import beats_a_result
from sim.models.cycles import LayerCycles, input_cycles
from sim.rtl.checks import expected_steps
from sim.rtl.rows import Modelled
from sim.rtl.runner import Loaded
from support.files import atomic_write
from sw import golden
from sw.compile import CompiledLayer, Program
from sw.event.program import in_a_row


def expected_results(loaded: Loaded, spikes: np.ndarray) -> np.ndarray:
    """Beats of the result stream, uint64 (beats,), in the order of hw.results, while nothing stalls.

    spikes: an image's, uint8 (T, C, H, W). The golden and the cycle model say what comes.
    """
    program, expected = loaded.program, golden.run(loaded.network, spikes)
    predicted = loaded.predict(spikes, expected)
    return _results(program, expected, input_cycles(program, spikes), predicted)


def row_streams(model: Modelled) -> list[tuple[np.ndarray, np.ndarray]]:
    """The stream of each program, and its `expected_results`. model: of `rows.model_row` or `batches.model_batches`."""
    streams, _ = in_a_row(model.programs, model.inputs)
    results = [
        _results(program, made, one.waited, one.layers)
        for program, made, one in zip(model.programs, model.expected, model.passed, strict=True)
    ]
    return list(zip(streams, results, strict=True))


def _results(
    program: Program,
    expected: dict[str, golden.LayerResult],
    waited: int,
    layers: Sequence[LayerCycles],
) -> np.ndarray:
    """Of what the golden and the cycle model say. waited: cycles of the input, as its beat says them."""
    config, first = program.config, program.layers[0].integer.own.name
    spikes = int(expected[first].inputs[first].sum())
    beats = [np.array([spikes | waited << 32], np.uint64)]
    for layer, predicted in zip(program.layers, layers, strict=True):
        if layer.output is None:
            beats.append(_sums(layer, expected[layer.name].output, config))
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


def _sums(layer: CompiledLayer, output: np.ndarray, config: Config) -> np.ndarray:
    """A classifier's results, of its output (T, K): group after group of its filters as loaded, in each the rounds of ticks.

    Of a batch (images * T, K): in each the images. Lanes behind the network's last tick saw no spike: their sums are the bias.
    """
    images = layer.descriptor.rounds if layer.descriptor.anew else 1
    each = np.stack(np.split(output, images))
    silent = -each.shape[1] % config.ticks
    bias = np.broadcast_to(layer.integer.bias, (images, silent, output.shape[1]))
    ticks = np.concatenate([each, bias], axis=1)[..., layer.order]
    rounds = ticks.reshape(-1, config.ticks, output.shape[1])
    parts = []
    for first in range(0, rounds.shape[2], config.n_pe):
        for sums in rounds[..., first : first + config.n_pe]:
            row = np.zeros((sums.shape[1], 2 * beats_a_result(config)), "<i4")
            row[:, : config.ticks] = sums.T
            parts.append(row.view("<u8").ravel())
    return np.concatenate(parts)
