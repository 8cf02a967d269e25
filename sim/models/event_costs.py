"""How many positions each tap adds to in each bank of a PE of the event machine, from the maps that a layer reads."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from hw.config import Config
from hw.event.planes import position
from hw.event.program import SUBS
from hw.event.slice import PADS
from hw.tiling import Tile as TilePlace
from sim import c_text
from support.native import library
from sw.event.program import EventLayer

CPP = Path(__file__).with_suffix(".cpp")
KERNEL = 9
CELLS = 8
"""Of a tile's row in event_costs.cpp: a byte."""


class Source(ctypes.Structure):
    """A map, and how a layer reads it. padding: rows before a tile that its taps see.

    blocks: of 3x3, along a side of the kernel.
    """

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            *("ticks", "channels", "height", "width", "step", "phases", "blocks", "padding"),
            *("tiles", "tile_side", "banks"),
        )
    ]


class Tile(ctypes.Structure):
    """Of the layer's map: which, and its extent."""

    _fields_ = [(name, ctypes.c_int64) for name in ("y", "x", "height", "width")]


SHARED = c_text.structs(Source, Tile)


@dataclass(frozen=True)
class Costs:
    """Positions of the bank that has most, and least, and of all banks: uint8 (beats, channels a beat, 9, visits)."""

    most: np.ndarray
    least: np.ndarray
    sums: np.ndarray


def costs(
    layer: EventLayer,
    maps: Mapping[str, np.ndarray],
    parts: Sequence[TilePlace],
    config: Config,
    ticks: int,
) -> Costs:
    """Of a layer's taps, the beats of its input, then those of its shortcut.

    maps: spikes of every map by the name of the layer that made it, uint8 (T, C, H, W), or of all images of a batch, (images * T,
    C, H, W), the last of which a layer reads that is none of the batch's. parts: the tiles. Each is visited once a round,
    these one behind the other. ticks: of an image.
    """
    rounds, anew = layer.descriptor.rounds, layer.descriptor.anew
    lanes = ticks if anew else config.ticks
    read = {part.source.map: maps[part.source.map] for part in layer.integer.sources}
    if not anew:
        read = {name: spikes[-ticks:] for name, spikes in read.items()}
    found = []
    for first in range(0, rounds * lanes, lanes):
        seen = {name: spikes[first : first + lanes] for name, spikes in read.items()}
        found.append(_round_costs(layer, seen, parts, config))
    counted = np.stack(found, axis=-1)  # kinds, beats, channels a beat, taps, tiles, rounds
    return Costs(*counted.reshape(*counted.shape[:-2], -1))


def pad_of(layer: EventLayer) -> int:
    """Positions that a slice of a layer's first source starts before its tile."""
    return PADS[layer.descriptor.blocks] if layer.descriptor.padded else 0


def _round_costs(
    layer: EventLayer, maps: Mapping[str, np.ndarray], parts: Sequence[TilePlace], config: Config
) -> np.ndarray:
    """As `costs`, of one round of ticks: uint8 (3, beats, channels a beat, 9, tiles)."""
    tiles = np.array([(t.y, t.x, t.height, t.width) for t in parts], np.int64)
    banks = np.array([cells(config, bank) for bank in range(config.banks)], np.uint64)
    sources = (layer.descriptor.input, layer.descriptor.shortcut)
    names = [part.source.map for part in layer.integer.sources]
    found = []
    for number, (name, source) in enumerate(zip(names, sources, strict=False)):
        read = np.ascontiguousarray(maps[name], np.uint8)
        ticks, channels, height, width = read.shape
        strided = bool(source["strided"])
        phases = (
            4 if strided and not (layer.packed and number) else 1
        )  # phase 0 alone of a shortcut
        blocks = 1 if number or strided else 1 << layer.descriptor.blocks
        beats = channels * phases * blocks**2
        beats = -(-beats // SUBS) if layer.packed else beats
        shape = (3, beats, SUBS if layer.packed else 1, KERNEL, len(parts))
        counted = np.zeros(shape, np.uint8)
        described = Source(
            ticks=ticks,
            channels=channels,
            height=height,
            width=width,
            step=1 + strided,
            phases=phases,
            blocks=blocks,
            padding=1 if strided or (number and layer.descriptor.padded) else pad_of(layer),
            tiles=len(parts),
            tile_side=config.tile_side,
            banks=config.banks,
        )
        arrays = (read, tiles, banks, *counted)
        library(CPP, SHARED).uticket_event_costs(
            ctypes.byref(described), *(ctypes.c_void_p(array.ctypes.data) for array in arrays)
        )
        found.append(counted)
    return np.concatenate(found, axis=1)


@cache
def cells(config: Config, bank: int) -> int:
    """The positions of a tile that a bank has: bit (y * CELLS + x)."""
    places = (position(config, bank, row) for row in range(config.positions // config.banks))
    return sum(1 << (y * CELLS + x) for y, x in places)
