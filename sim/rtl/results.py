"""What the RTL did with an image: read out of its results and of the spike buffer after each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hw.config import BANKS, Config
from hw.counters import BEATS, counter_names, cycle_names
from hw.results import beats_a_result
from hw.tiling import Storage
from sw.compile import CompiledLayer, Program
from sw.placement import Region


@dataclass(frozen=True)
class LayerRun:
    """What the RTL did in one layer, in the network's own channel order."""

    output: np.ndarray  # uint8 (T, K, H, W) after pooling; of a classifier int32 (T, K)
    counters: dict[str, np.ndarray]  # int64 (n_pe,) each, hw.counters.COUNTERS
    cycles: int
    read: dict[str, np.ndarray] = field(default_factory=dict)
    """Of a layer that runs for a batch of images: the maps that it reads, as they lie in the buffer when it begins."""


@dataclass(frozen=True)
class RtlRun:
    """One image through the array, or a program of a batch; of several images the ticks of one are behind those of the other."""

    input: np.ndarray  # uint8 (T, C, H, W), as the APU stored it
    input_spikes: int
    input_cycles: int
    layers: tuple[LayerRun, ...]

    @property
    def cycles(self) -> int:
        """Of the whole program, the input included."""
        return self.input_cycles + sum(layer.cycles for layer in self.layers)


@dataclass(frozen=True)
class Passing:
    """One image in a row of them, each one's input coming while the one before runs."""

    run: RtlRun
    """Its `input_cycles` go from the end of the image before to the beginning of its layers, but for the first."""
    latency: int
    """Cycles from the first beat of its input to its end."""


def read_run(
    program: Program, results: np.ndarray, buffers: Sequence[np.ndarray], config: Config
) -> RtlRun:
    """An image's run out of its results, uint64 (beats,), and the spike buffer after its input and after each layer."""
    at, ticks, lanes = 1, program.ticks, config.ticks
    layers = []
    made = {layer.name: layer for layer in program.layers}
    for number, layer in enumerate(program.layers):
        if layer.output is None:
            size = layer.descriptor.filters * layer.descriptor.rounds * beats_a_result(config)
            output = _unsort(read_sums(results[at : at + size], layer, config), layer)
            at += size
        else:
            output = _unsort(read_map(buffers[number + 1], layer.output, config), layer)
        read = {}
        if layer.descriptor.anew:
            for source, region in zip(layer.integer.layer.sources, layer.inputs, strict=True):
                stored = shown(read_map(buffers[number], region, config), ticks, lanes)
                maker = made.get(source.map)
                read[source.map] = _unsort(stored, maker) if maker else stored
        block = results[at : at + BEATS * config.n_pe]
        at += BEATS * config.n_pe
        names = counter_names(config.machine)
        values = block.view("<u4").reshape(config.n_pe, len(names)).astype(np.int64)
        counters = {name: values[:, k] for k, name in enumerate(names)}
        cycles = int(accounted_cycles(counters, config)[0])
        layers.append(LayerRun(shown(output, ticks, lanes), counters, cycles, read))
    return RtlRun(
        input=shown(read_map(buffers[0], program.input, config), ticks, lanes),
        input_spikes=int(results[0] & 0xFFFFFFFF),
        input_cycles=int(results[0] >> 32),
        layers=tuple(layers),
    )


def shown(values: np.ndarray, ticks: int, lanes: int) -> np.ndarray:
    """Of rounds of so many lanes, (rounds * lanes, ...), the network's ticks: of one image, or, in one round each, of several."""
    if ticks > lanes:
        return values[:ticks]
    images = values.reshape(-1, lanes, *values.shape[1:])
    return images[:, :ticks].reshape(-1, *values.shape[1:])


def accounted_cycles(counters: dict[str, np.ndarray], config: Config) -> np.ndarray:
    """Cycles of a layer that each PE accounts for, int64 (n_pe,): the same of all, if the RTL is right."""
    return np.sum([counters[name] for name in cycle_names(config.machine)], axis=0)


def read_map(buffer: np.ndarray, region: Region, config: Config) -> np.ndarray:
    """A map out of a spike buffer's content (banks, depth, bytes): uint8 (T, C, H, W), all ticks of all rounds."""
    rounds = [_read_round(buffer, region, k, config) for k in range(region.rounds)]
    return np.concatenate(rounds)


def read_sums(beats: np.ndarray, layer: CompiledLayer, config: Config) -> np.ndarray:
    """A classifier's results, int32 (T, K): group after group, in each the rounds, filter after filter."""
    filters, rounds = layer.descriptor.filters, layer.descriptor.rounds
    rows = beats.view("<i4").reshape(filters * rounds, -1)[:, : config.ticks]
    sums = np.zeros((rounds, config.ticks, filters), np.int32)
    for first in range(0, filters, config.n_pe):
        count = min(config.n_pe, filters - first)
        own = rows[first * rounds : (first + count) * rounds].reshape(rounds, count, -1)
        sums[..., first : first + count] = own.swapaxes(1, 2)
    return sums.reshape(-1, filters)


def _read_round(buffer: np.ndarray, region: Region, number: int, config: Config) -> np.ndarray:
    base = region.base + number * region.round_words
    storage = Storage(config, region.side, region.side)
    side, channel = storage.word_side, np.arange(region.channels)
    bits = np.unpackbits(buffer, axis=-1, bitorder="little")[..., : config.word_bits]
    down, across = storage.words_down, storage.words_across
    whole = np.zeros((config.ticks, len(channel), down * side, across * side), np.uint8)
    for y, x in np.ndindex(down, across):
        bank, address, quarter = storage.place(channel, y, x)
        word = bits[bank, base + address]
        if quarter is not None:
            word = word.reshape(len(channel), BANKS, -1)[channel, quarter]
        cells = word.reshape(-1, side, side, config.ticks).transpose(3, 0, 1, 2)
        whole[..., y * side : (y + 1) * side, x * side : (x + 1) * side] = cells
    return whole[..., : region.height, : region.width].copy()


def _unsort(values: np.ndarray, layer: CompiledLayer) -> np.ndarray:
    """(T, K, ...) from the loaded order to the network's own."""
    result = np.empty_like(values)
    result[:, layer.order] = values
    return result
