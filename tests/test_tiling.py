"""hw/tiling.py against tb/maps.py, which says the same in other words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.config import BANKS, PRESETS
from hw.tiling import Storage, Tiling
from tb import maps

CONFIGS = [PRESETS["paper"], PRESETS["tiny"]]
configs = st.sampled_from(CONFIGS)
sides = st.integers(1, 64)


@given(configs, sides, st.integers(0, 1023), st.data())
def test_a_word_has_its_place(config, side, channel, data):
    storage = Storage(config, side, side)
    y = data.draw(st.integers(0, storage.words_down - 1))
    x = data.draw(st.integers(0, storage.words_across - 1))
    bank, address, quarter = storage.place(channel, y, x)
    banks, where, part = maps.place(config, base=5, side=side, channel=channel, tile_y=y, tile_x=x)
    assert bank in banks
    assert (len(banks) == BANKS) == storage.small
    assert (address + 5, quarter) == (where, part)


@given(configs, st.integers(1, 64), st.integers(1, 64), st.integers(1, 6))
def test_words_do_not_overlap_and_fill_what_is_said(config, height, width, channels):
    storage = Storage(config, height, width)
    places = [
        storage.place(channel, y, x)
        for channel in range(channels)
        for y, x in np.ndindex(storage.words_down, storage.words_across)
    ]
    assert len(set(places)) == len(places)
    addresses = {address for _, address, _ in places}
    assert max(addresses) < storage.bank_words(channels)
    copies = BANKS if storage.small else 1
    assert storage.writes(channels) == copies * len(places)


@pytest.mark.parametrize("config", CONFIGS, ids=["paper", "tiny"])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("pool", [False, True])
def test_tiles_are_those_of_the_plain_list(config, half, pool):
    for side in range(1 + pool, 65):
        output = side // 2 if pool else side
        tiling = Tiling(
            config=config,
            height=side,
            width=side,
            output=Storage(config, output, output),
            half=half,
            pool=pool,
        )
        block = config.tile_side // 2 if half else config.tile_side
        found = list(tiling.tiles())
        expected = maps.tiles(config, side=side, half=half, pool=pool)
        assert len(found) == len(expected) == tiling.count
        assert sum(tile.positions for tile in found) == side * side
        for tile, (y, x, completes) in zip(found, expected, strict=True):
            assert tile.positions == len(range(y * block, min(side, y * block + block))) * len(
                range(x * block, min(side, x * block + block))
            )
            assert completes or not tile.stored
        words = Storage(config, output, output)
        assert sum(tile.stored for tile in found) == words.words_down * words.words_across
