"""Plain models of how maps are stored and read: what several tests compare the RTL with.

A map is uint8 (C, H, W, T).
"""

from __future__ import annotations

import numpy as np

from hw.config import BANKS, Config


def place(
    config: Config, *, base: int, side: int, channel: int, tile_y: int, tile_x: int
) -> tuple[set[int], int, int | None]:
    """Banks, address and quarter (None: the whole word) of a word of a map: docs/architecture.md, "The spike buffer"."""
    if side <= config.small_side:
        return set(range(BANKS)), base + channel // BANKS, channel % BANKS
    if side <= config.tile_side:
        return {channel % BANKS}, base + channel // BANKS, None
    pairs = -(-side // (2 * config.tile_side))  # of tiles along a side: one tile in each bank
    address = base + (channel * pairs + tile_y // 2) * pairs + tile_x // 2
    return {2 * (tile_y % 2) + tile_x % 2}, address, None


def tiles(
    config: Config, *, side: int, half: bool, pool: bool, width: int | None = None
) -> list[tuple[int, int, bool]]:
    """(y, x, completes a word) of a layer's tiles in the order in which output words complete.

    side: of the map, its height where it has another width.
    """
    width = side if width is None else width
    tile = config.tile_side // 2 if half else config.tile_side
    pooled = tile // 2 if pool else tile
    output = max(side, width) // 2 if pool else max(side, width)
    word = config.small_side if output <= config.small_side else config.tile_side
    along = max(1, word // pooled)
    down, across = (-(-n // tile) for n in (side, width))
    order = []
    for top in range(0, down, along):
        for left in range(0, across, along):
            group = [
                (y, x)
                for y in range(top, min(top + along, down))
                for x in range(left, min(left + along, across))
            ]
            order += [(y, x, (y, x) == group[-1]) for y, x in group]
    return order


def geometry(config: Config, *, side: int, half: bool, pool: bool) -> dict[str, int]:
    """hw.geometry.geometry_layout's fields: counted, not shifted."""
    output = side // 2 if pool else side
    tile = config.tile_side // 2 if half else config.tile_side
    pooled = tile // 2 if pool else tile
    word = config.small_side if output <= config.small_side else config.tile_side
    along = max(1, word // pooled)  # tiles along a side of an output word
    return {
        "block_side": tile,
        "block_shift": tile.bit_length() - 1,
        "sweep_side": min(tile, side),
        "blocks": -(-side // tile) - 1,
        "sub_mask": along - 1,
        "sub_shift": along.bit_length() - 1,
        "pooled_shift": pooled.bit_length() - 1,
        "words": -(-output // word) - 1,
    }


def oblong(config: Config, *, height: int, width: int, pool: bool) -> dict[str, int]:
    """`geometry` of the event machine, whose maps need be no squares."""
    tile, side = config.tile_side, max(height, width)
    word = config.small_side if side >> pool <= config.small_side else tile
    return geometry(config, side=side, half=False, pool=pool) | {
        "height": height,
        "width": width,
        "blocks_down": -(-height // tile) - 1,
        "blocks": -(-width // tile) - 1,
        "words_down": -(-(height >> pool) // word) - 1,
        "words": -(-(width >> pool) // word) - 1,
    }


def square(config: Config, spikes: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """`side` x `side` positions of one channel (H, W, T) from (top, left) on, zeros outside."""
    height, width, ticks = spikes.shape
    result = np.zeros((side, side, ticks), np.uint8)
    for y in range(side):
        for x in range(side):
            if 0 <= top + y < height and 0 <= left + x < width:
                result[y, x] = spikes[top + y, left + x]
    return result


def number(cells: np.ndarray) -> int:
    """The word that holds these cells, the first the lowest bit."""
    return int.from_bytes(np.packbits(cells.ravel(), bitorder="little").tobytes(), "little")


def store(config: Config, banks: list[dict[int, int]], spikes: np.ndarray, base: int) -> None:
    """Put a map into the banks, address -> word, as the compiler's regions have it."""
    channels, side = spikes.shape[:2]
    tile = config.tile_side
    for channel in range(channels):
        for tile_y in range(-(-side // tile)):
            for tile_x in range(-(-side // tile)):
                where, address, quarter = place(
                    config, base=base, side=side, channel=channel, tile_y=tile_y, tile_x=tile_x
                )
                if quarter is None:
                    word = number(
                        square(config, spikes[channel], tile_y * tile, tile_x * tile, tile)
                    )
                else:
                    cells = square(config, spikes[channel], 0, 0, config.small_side)
                    word = number(cells) << (quarter * cells.size)
                for bank in where:
                    old = banks[bank].get(address, 0) if quarter is not None else 0
                    banks[bank][address] = old | word


def window(
    config: Config,
    spikes: np.ndarray,
    *,
    position: int,
    padding: int,
    stride: int,
    block: tuple[int, int, int],
) -> np.ndarray:
    """What a weight at a kernel position sees of one channel (H, W, T), for a block (y, x, side)."""
    ky, kx = divmod(position, 3)
    block_y, block_x, side = block
    big = square(
        config,
        spikes,
        block_y * side * stride + ky - padding,
        block_x * side * stride + kx - padding,
        side * stride,
    )
    return big[::stride, ::stride]
