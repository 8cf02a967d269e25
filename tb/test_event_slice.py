"""The slice reader against slices cut out of the maps: every shape of source, all tiles, all passes."""

import random

import cocotb
import numpy as np
import pytest
from amaranth.lib import data
from cocotb.triggers import FallingEdge, ReadOnly

from hw.config import BANKS, Config
from hw.event.planes import slice_side
from hw.event.program import LIST_ENTRY
from hw.event.slice import SliceReader
from hw.program import EXTENDED_LAYER
from hw.widths import ADDRESS_BITS
from tb import maps
from tb.helpers import bits, fields, parameters, run
from tb.streams import start

CONFIG = Config(machine="event", tile_side=4, ticks=2, buffer_depth=512)
ADDRESSES = data.ArrayLayout(ADDRESS_BITS, BANKS)
WORDS = data.ArrayLayout(CONFIG.word_bits, BANKS)
SHAPES = {  # side of the input, its stride, padding; side of the shortcut's source, its stride, or None
    "tiles": (11, 1, 1, (11, 1)),
    "unpadded": (10, 1, 0, None),
    "strided": (11, 2, 1, (11, 2)),
    "strided, unpadded": (13, 2, 0, None),
    "one tile": (4, 1, 1, (4, 1)),
    "small": (2, 1, 1, (2, 1)),
    "small, strided shortcut": (2, 1, 1, (4, 2)),
    "phases": (4, 2, 1, (3, 2)),
    "small, unpadded": (2, 1, 0, None),
    "to small, strided": (3, 2, 0, None),
    "5x5": (11, 1, 2, (11, 1)),
    "7x7": (14, 1, 3, None),
    "linear": (10, 1, 0, None),
    "6x6, strided": (19, 2, 2, (19, 2)),
    "5x5, strided": (18, 2, 1, None),
    "4x4, strided, unpadded": (18, 2, 0, None),
    "phases of 5x5": (4, 2, 2, None),
}
BLOCKS = {  # log2 of blocks, and the kernel's side
    "5x5": (1, 5),
    "7x7": (2, 7),
    "linear": (2, 10),
    "6x6, strided": (1, 6),
    "5x5, strided": (1, 5),
    "4x4, strided, unpadded": (1, 4),
    "phases of 5x5": (1, 5),
}


def expected(spikes, *, strided, pad, blocks, packed, index, shortcut, tile):
    """The slice (side + 2, side + 2, ticks), from the definition: maps are (C, H, W, T)."""
    config, wide = CONFIG, slice_side(CONFIG)
    result = np.zeros((wide, wide, config.ticks), np.uint8)

    def cell(channel, y, x):
        inside = channel < len(spikes) and 0 <= y < spikes.shape[1] and 0 <= x < spikes.shape[2]
        return spikes[channel, y, x] if inside else np.zeros(config.ticks, np.uint8)

    if packed:
        half = config.small_side
        for sub in range(4):
            four = not strided or shortcut
            channel, phase = (4 * index + sub, 0) if four else (index, sub)
            step = 2 if strided else 1
            for y in range(half):
                for x in range(half):
                    at = 1 + y + (sub // 2) * (half + 1), 1 + x + (sub % 2) * (half + 1)
                    place = step * y + phase // 2, step * x + phase % 2
                    result[at] = cell(channel, *place)
        return result
    channel, phase = divmod(index, 4) if strided else (index >> 2 * blocks, 0)
    block = divmod(index % (1 << 2 * blocks), 1 << blocks)
    for r in range(wide):
        for c in range(wide):
            y, x = (
                t * config.tile_side + k + 3 * along - pad
                for t, k, along in zip(tile, (r, c), block, strict=True)
            )
            if strided:
                y, x = 2 * y + phase // 2, 2 * x + phase % 2
            result[r, c] = cell(channel, y, x)
    return result


def used(strided, padded, large, index, shortcut):
    """Rows and columns of an unpacked slice that some tap can need: (slices of) y, x."""
    wide, first = slice_side(CONFIG), int(padded or strided)
    centre = slice(first, wide - 2 + first)
    if shortcut:
        return centre, centre
    if not strided or large:
        return slice(0, wide), slice(0, wide)
    low, high = slice(0, wide - 1), slice(1, wide)
    one = slice(1, wide - 1)
    pick = {(1, 1): low, (0, 1): one, (1, 0): one, (0, 0): high}
    return pick[index % 4 // 2, padded], pick[index % 2, padded]


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def slices(dut):
    for shape in parameters()["shapes"]:
        await slices_of(dut, shape)


async def slices_of(dut, shape):
    side, stride, padding, second = SHAPES[shape]
    rng, numbers = random.Random(1), np.random.default_rng(1)
    banks: list[dict[int, int]] = [{} for _ in range(BANKS)]
    channels = 8  # all of the last packed beat are there
    sources = [(0, side, stride)] + ([(256, *second)] if second else [])
    content = []
    for base, of, _ in sources:
        spikes = (numbers.random((channels, of, of, CONFIG.ticks)) < 0.5).astype(np.uint8)
        maps.store(CONFIG, banks, spikes, base)
        content.append(spikes)
    blocks, kernel = BLOCKS.get(shape, (0, 3))
    out = (side + 2 * padding - kernel) // stride + 1
    flags = [(of <= CONFIG.tile_side, s == 2, of <= CONFIG.small_side) for _, of, s in sources]
    packed = all(single if strided else small and padding for single, strided, small in flags)
    layer = {
        "side": out,
        "channels": channels,
        "padded": padding > 0,
        "blocks": blocks,
        "fast": packed,
        "input": {"base": 0, "side": side, "strided": stride == 2},
        "shortcut": {"base": 256, "side": sources[-1][1], "strided": sources[-1][2] == 2},
    }
    dut.layer.value = bits(EXTENDED_LAYER, layer)
    dut.input_base.value, dut.shortcut_base.value = 0, 256
    await start(dut)
    seen = set()
    for number, (_, _, step) in enumerate(sources):
        strided = step == 2
        four = packed and (not strided or number)
        count = -(-channels // 4) if four else channels * (4 if strided and not packed else 1)
        log = 0 if number or strided else blocks
        for index in range(count << 2 * log):
            for tile in np.ndindex(*(-(-out // CONFIG.tile_side),) * 2):
                entry = {"index": index, "shortcut": number}
                found = np.zeros((slice_side(CONFIG), slice_side(CONFIG), CONFIG.ticks), np.uint8)
                for second_pass in range(4):
                    dut.entry.value = bits(LIST_ENTRY, entry)
                    dut.tile_y.value, dut.tile_x.value = (int(t) for t in tile)
                    dut.second.value = second_pass
                    await ReadOnly()
                    twice = int(dut.twice.value)
                    if second_pass & ~twice:
                        await FallingEdge(dut.clk)
                        continue
                    seen.add(twice)
                    read, address = int(dut.read.value), fields(ADDRESSES, int(dut.address.value))
                    await FallingEdge(dut.clk)
                    rubbish = [rng.getrandbits(CONFIG.word_bits) for _ in range(BANKS)]
                    words = [
                        banks[b].get(address[b], rubbish[b]) if read >> b & 1 else rubbish[b]
                        for b in range(BANKS)
                    ]
                    dut.words.value = bits(WORDS, words)
                    await ReadOnly()
                    raw = int(dut.slice.value)
                    cells = np.array([raw >> k & 1 for k in range(found.size)]).reshape(found.shape)
                    found |= cells.astype(np.uint8)
                    await FallingEdge(dut.clk)
                wanted = expected(
                    content[number],
                    strided=strided,
                    pad=1 if strided or (number and padding) else padding,
                    blocks=log,
                    packed=packed,
                    index=index,
                    shortcut=number,
                    tile=tile,
                )
                window = (slice(None),) * 2
                if not packed:
                    window = used(strided, padding > 0, blocks > 0, index, number)
                where = f"{shape}: source {number}, index {index}, tile {tile}"
                assert np.array_equal(found[window], wanted[window]), where
    both = "tiles", "strided", "strided, unpadded", "7x7", "linear"
    large = "6x6, strided", "5x5, strided", "4x4, strided, unpadded"
    assert (3 in seen) == (shape in (*both, *large)), shape


@pytest.mark.parametrize("large", [False, True])
def test_slice(large):
    shapes = [shape for shape in SHAPES if (shape in BLOCKS) == large]
    case = "large" if large else "small"
    run(SliceReader(CONFIG), "slice_reader", "slices", case, file="event_slice", shapes=shapes)
