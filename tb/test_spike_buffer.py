"""The four banks against dictionaries."""

import cocotb

from hw.config import BANKS, PRESETS
from hw.spike_buffer import SpikeBuffer, granules, write_layout
from tb.helpers import bits, lockstep, run

ADDRESSES = 12  # few, so that writes and reads meet


class Banks:
    """A read in the next cycle, of what was there before this cycle's write."""

    def __init__(self, config):
        self.config = config
        self.words = [dict.fromkeys(range(ADDRESSES), 0) for _ in range(BANKS)]
        self.expected = 0

    def inputs(self, rng):
        config = self.config
        self.addresses = [rng.randrange(ADDRESSES) for _ in range(BANKS)]
        self.write = {
            "banks": rng.getrandbits(BANKS),
            "address": rng.randrange(ADDRESSES),
            "enable": rng.getrandbits(granules(config)),
            "data": [rng.getrandbits(config.word_bits) for _ in range(2)],
        }
        return {
            "address": sum(a << (12 * b) for b, a in enumerate(self.addresses)),
            "write": bits(write_layout(config), self.write),
        }

    def outputs(self, i):
        return {"words": self.expected}

    def edge(self, i):
        width, write = self.config.word_bits, self.write
        self.expected = sum(self.words[b][a] << (b * width) for b, a in enumerate(self.addresses))
        size = width // granules(self.config)
        part = (1 << size) - 1
        mask = sum(
            part << (k * size) for k in range(granules(self.config)) if write["enable"] >> k & 1
        )
        for b in range(BANKS):
            if write["banks"] >> b & 1:
                old = self.words[b][write["address"]]
                self.words[b][write["address"]] = old & ~mask | write["data"][b % 2] & mask


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def banks(dut):
    await lockstep(dut, Banks(PRESETS["tiny"]), 2000)


def test_spike_buffer():
    run(SpikeBuffer(PRESETS["tiny"]), "spike_buffer", "banks")
