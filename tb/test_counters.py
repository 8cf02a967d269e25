"""The counters and their chain against plain sums."""

import re
from pathlib import Path

import cocotb

from hw.config import PRESETS, STREAM_BITS
from hw.counters import BEATS, COUNTER_BITS, COUNTERS, CYCLES, Counters
from tb.helpers import lockstep, run


class Accounts:
    """Sums since the last capture; the chain moves a beat at a time, behind it what comes in."""

    def __init__(self, config):
        self.config = config
        self.counts = [0] * len(COUNTERS)
        self.chain = [0] * BEATS
        self.quiet = 0  # cycles until the chain is out: no capture before

    def inputs(self, rng):
        capture = not self.quiet and rng.random() < 0.03
        return {
            "steps": rng.randint(0, self.config.lanes),
            "accumulates": rng.randint(0, self.config.lanes),
            "shortcut_accumulates": rng.randint(0, self.config.lanes),
            "cycle": 1 << rng.randrange(len(CYCLES)),
            "counting": capture or rng.random() < 0.8,
            "capture": capture,
            "shift": not capture and self.quiet > 0 and rng.random() < 0.6,
            "chain_in": rng.getrandbits(STREAM_BITS),
        }

    def outputs(self, i):
        return {"chain_out": self.chain[0]}

    def edge(self, i):
        amounts = [i["steps"], i["accumulates"], i["shortcut_accumulates"]]
        amounts += [i["cycle"] >> k & 1 for k in range(len(CYCLES))]
        if i["counting"]:
            self.counts = [c + a for c, a in zip(self.counts, amounts, strict=True)]
        if i["capture"]:
            pairs = zip(self.counts[::2], self.counts[1::2], strict=True)
            self.chain = [low | high << COUNTER_BITS for low, high in pairs]
            self.counts = [0] * len(COUNTERS)
            self.quiet = BEATS + 3
        if i["shift"]:
            self.chain = [*self.chain[1:], i["chain_in"]]
            self.quiet -= 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def accounts(dut):
    await lockstep(dut, Accounts(PRESETS["tiny"]), 3000)


def test_counters():
    run(Counters(PRESETS["tiny"]), "counters", "accounts")


def test_the_page_lists_the_accounts_in_their_order():
    page = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"
    section = page.read_text().partition("## What a layer costs")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| (\w+_\w+) \|", section, re.MULTILINE)) == CYCLES
