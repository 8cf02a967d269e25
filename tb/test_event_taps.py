"""A tap's masks and look-ups: every active position of its window exactly once, with its spikes."""

import random

import cocotb
import pytest
from cocotb.triggers import Timer

from hw.config import Config
from hw.event.planes import position, slice_side
from hw.event.taps import TapLookup, TapMasks
from tb.helpers import bits, fields, parameters, run

CONFIGS = {
    "8-banks": Config(machine="event"),
    "4-banks": Config(machine="event", banks=4, tile_side=4, ticks=2),
    "1-bank": Config(machine="event", banks=1, lifs=1, tile_side=4, ticks=3),
}


def random_slice(rng, config, *, packed):
    """Cells by (y, x), some silent; of a packed beat the borders between its channels are."""
    wide, border = slice_side(config), (0, config.small_side + 1)
    cells = {}
    for y in range(wide):
        for x in range(wide):
            silent = rng.random() < 0.6 or (packed and (y in border or x in border))
            cells[y, x] = 0 if silent else rng.getrandbits(config.ticks)
    return cells


def number(cells, config):
    wide = slice_side(config)
    return sum(spikes << (y * wide + x) * config.ticks for (y, x), spikes in cells.items())


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def masks(dut):
    case = parameters()
    config = CONFIGS[case["config"]]
    shape = TapMasks(config).masks.shape()
    start_shape = TapMasks(config).start.shape()
    rng = random.Random(1)
    for _ in range(1500):
        packed = rng.random() < 0.5
        cells = random_slice(rng, config, packed=packed)
        subs = 4 if packed else 1
        taps = rng.choice([rng.getrandbits(9 * subs), 1 << rng.randrange(9 * subs)]) or 1
        most = config.small_side if packed else config.tile_side
        height, width = rng.randint(1, most), rng.randint(1, most)
        dut.taps.value, dut.spikes.value = taps, number(cells, config)
        dut.height.value, dut.width.value = height, width
        await Timer(1, "ns")
        lowest = (taps & -taps).bit_length() - 1
        sub, tap = divmod(lowest, 9)
        jump = config.small_side + 1
        down, right = tap // 3 + jump * (sub // 2), tap % 3 + jump * (sub % 2)
        start = fields(start_shape, int(dut.start.value))
        assert start == {"down": down, "right": right}
        assert int(dut.rest.value) == taps & (taps - 1)
        found = {
            position(config, bank, row)
            for bank, mask in enumerate(fields(shape, int(dut.masks.value)))
            for row in range(config.positions // config.banks)
            if mask >> row & 1
        }
        wanted = {
            (y, x)
            for y in range(height)
            for x in range(width)
            if cells.get((y + down, x + right), 0)
        }
        assert found == wanted


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def lookups(dut):
    case = parameters()
    config = CONFIGS[case["config"]]
    component = TapLookup(config)
    layouts = {
        name: getattr(component, name).shape()
        for name in ("masks", "start", "rows", "at", "ticks", "rest")
    }
    rows = config.positions // config.banks
    rng = random.Random(1)
    for _ in range(1500):
        cells = random_slice(rng, config, packed=False)
        jump = config.small_side + 1
        down, right = (rng.randint(0, 2) + jump * rng.randint(0, 1) for _ in range(2))
        limit = slice_side(config) - max(down, right)  # as far as the slice goes
        masks = []
        for bank in range(config.banks):
            allowed = [r for r in range(rows) if max(position(config, bank, r)) < limit]
            masks.append(sum(1 << r for r in allowed if rng.random() < 0.5))
        dut.masks.value = bits(layouts["masks"], masks)
        dut.start.value = bits(layouts["start"], {"down": down, "right": right})
        dut.spikes.value = number(cells, config)
        await Timer(1, "ns")
        valid = int(dut.valid.value)
        found = fields(layouts["rows"], int(dut.rows.value))
        at = fields(layouts["at"], int(dut.at.value))
        ticks = fields(layouts["ticks"], int(dut.ticks.value))
        rest = fields(layouts["rest"], int(dut.rest.value))
        for bank, mask in enumerate(masks):
            assert bool(valid >> bank & 1) == bool(mask)
            assert rest[bank] == mask & (mask - 1 if mask else 0)
            assert at[bank] == mask & -mask
            if mask:
                row = (mask & -mask).bit_length() - 1
                y, x = position(config, bank, row)
                assert (found[bank], ticks[bank]) == (row, cells[y + down, x + right])


@pytest.mark.parametrize("config", CONFIGS)
def test_masks(config):
    run(TapMasks(CONFIGS[config]), "tap_masks", "masks", config, file="event_taps", config=config)


@pytest.mark.parametrize("config", CONFIGS)
def test_lookups(config):
    run(
        TapLookup(CONFIGS[config]),
        "tap_lookup",
        "lookups",
        config,
        file="event_taps",
        config=config,
    )
