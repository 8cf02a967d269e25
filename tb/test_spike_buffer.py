"""The four banks against dictionaries."""

import cocotb

from hw.config import BANKS, PRESETS
from hw.spike_buffer import SpikeBuffer, granules, write_layout
from tb.helpers import bits, config_of, lockstep, parameters, run

ADDRESSES = 12  # few, so that writes and reads meet


class Banks:
    """A read in the next cycle, of what was there before this cycle's write. First, all is written."""

    def __init__(self, dut, config):
        self.dut, self.config = dut, config
        self.words = [dict.fromkeys(range(ADDRESSES), 0) for _ in range(BANKS)]
        self.unwritten = list(range(ADDRESSES))
        self.expected: list[int | None] = [None] * BANKS
        self.checked = 0

    def inputs(self, rng):
        config, first = self.config, self.unwritten.pop() if self.unwritten else None
        self.addresses = [rng.randrange(ADDRESSES) for _ in range(BANKS)]
        self.read = rng.getrandbits(BANKS) if first is None else 0
        self.write = {
            "banks": rng.getrandbits(BANKS),
            "address": rng.randrange(ADDRESSES),
            "enable": rng.getrandbits(granules(config)),
            "data": [rng.getrandbits(config.word_bits) for _ in range(2)],
        }
        if first is not None:
            self.write |= {"banks": (1 << BANKS) - 1, "address": first}
            self.write["enable"] = (1 << granules(config)) - 1
        for b, address in enumerate(
            self.addresses
        ):  # of a word that is written, a macro may read anything
            if self.write["banks"] >> b & 1 and address == self.write["address"]:
                self.read &= ~(parameters()["forgets"] << b)
        return {
            "read": self.read,
            "address": sum(a << (12 * b) for b, a in enumerate(self.addresses)),
            "write": bits(write_layout(config), self.write),
        }

    def outputs(self, i):
        return {}

    def edge(self, i):
        width, write = self.config.word_bits, self.write
        seen = str(self.dut.words.value)[::-1]
        for b, expected in enumerate(self.expected):
            if expected is not None:
                assert seen[b * width : (b + 1) * width] == f"{expected:0{width}b}"[::-1], (
                    f"bank {b}"
                )
                self.checked += 1
        self.expected = [
            self.words[b][a] if self.read >> b & 1 else None for b, a in enumerate(self.addresses)
        ]
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
    model = Banks(dut, config_of(parameters()["preset"]))
    await lockstep(dut, model, 2000)
    assert model.checked > 3000


def test_spike_buffer():
    run(SpikeBuffer(PRESETS["tiny"]), "spike_buffer", "banks", preset="tiny", forgets=0)
