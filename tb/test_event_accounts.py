"""What each cycle of an event machine's PE counts as, against the table of docs/event.md in words."""

import cocotb
from amaranth.lib import data

from hw.config import Config
from hw.counters import EVENT_CYCLES
from hw.event.accounts import Accounts
from tb.helpers import bits, lockstep, run

CONFIG = Config(machine="event", banks=4, ticks=3, tile_side=4)
FLAGS = (
    *("working", "first", "shortcut", "draining", "pauses", "ending", "done", "layer_active"),
    "loading",
)


class Cycles:
    """Any inputs, those that never meet included. What the banks add is of the cycle before."""

    def __init__(self):
        self.before = dict.fromkeys(FLAGS, 0)

    def inputs(self, rng):
        rate = rng.choice([0.1, 0.3, 0.5])
        i = {name: int(rng.random() < rate) for name in FLAGS}
        every = (1 << CONFIG.banks) - 1
        i["valid"] = rng.choice([every, rng.getrandbits(CONFIG.banks)])
        i["adding"] = rng.choice([every, rng.getrandbits(CONFIG.banks)])
        self.ticks = [rng.getrandbits(CONFIG.ticks) for _ in range(CONFIG.banks)]
        layout = data.ArrayLayout(CONFIG.ticks, CONFIG.banks)
        return {**i, "spikes": bits(layout, self.ticks)}

    def account(self, i):
        """The first row whose condition holds."""
        full = i["valid"] == (1 << CONFIG.banks) - 1
        pausing = self.before["pauses"]
        rows = [
            (i["working"] and i["shortcut"], "stall_shortcut"),
            (i["working"] and (i["first"] or full), "work_cycles"),
            (i["working"], "stall_bank"),
            (i["draining"] or pausing, "stall_lif"),
            (i["done"] and i["layer_active"], "stall_output"),  # others are not done
            (i["done"], "stall_load"),  # for the next layer's descriptor
            (i["ending"], "stall_output"),
            (i["loading"], "stall_load"),
        ]
        return next((name for holds, name in rows if holds), "idle_cycles")

    def outputs(self, i):
        banks = [bank for bank in range(CONFIG.banks) if i["adding"] >> bank & 1]
        added = sum(self.ticks[bank].bit_count() for bank in banks)
        identity = self.before["shortcut"]
        return {
            "cycle": 1 << EVENT_CYCLES.index(self.account(i)),
            "positions": 0 if identity else len(banks),
            "accumulates": 0 if identity else added,
            "shortcut_accumulates": added if identity else 0,
        }

    def edge(self, i):
        self.before = i


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def cycles(dut):
    await lockstep(dut, Cycles(), 2000)


def test_accounts():
    run(Accounts(CONFIG), "accounts", "cycles", file="event_accounts")
