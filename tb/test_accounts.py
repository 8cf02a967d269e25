"""What each cycle of a PE counts as, against the table of docs/architecture.md in words."""

import cocotb

from hw.accounts import Accounts
from hw.config import PRESETS
from hw.counters import CYCLES
from tb.helpers import lockstep, run

CONFIG = PRESETS["tiny"]
FLAGS = (
    *("active", "identity", "running", "visiting", "flushing", "empty", "at_barrier", "ending"),
    *("done", "blocked", "fetching", "layer_active"),
)


def account(i):
    """The account of a cycle: the first row whose condition holds."""
    sweeps = i["running"] and not i["active"]
    only_drains = i["visiting"] or i["flushing"] or i["empty"]
    rows = [
        (i["active"] and i["identity"], "stall_shortcut"),
        (i["active"], "work_cycles"),
        (sweeps and only_drains, "stall_lif"),
        (sweeps, "stall_window"),  # for the minimum of four cycles
        (i["at_barrier"], "idle_cycles"),
        (i["done"] and i["layer_active"], "stall_output"),  # of other PEs, or the counters'
        (i["done"], "stall_load"),  # for the next layer's descriptor
        (i["ending"] or i["blocked"], "stall_output"),
        (i["fetching"], "stall_window"),
    ]
    return next((name for holds, name in rows if holds), "stall_load")


class Cycles:
    """Any inputs, those that never meet included; spikes come only with an active weight."""

    def inputs(self, rng):
        rate = rng.choice([0.1, 0.3, 0.5])
        i = {name: int(rng.random() < rate) for name in FLAGS}
        return {**i, "spikes": rng.getrandbits(CONFIG.lanes) if i["active"] else 0}

    def outputs(self, i):
        spikes = i["spikes"].bit_count()
        return {
            "cycle": 1 << CYCLES.index(account(i)),
            "steps": CONFIG.lanes if i["active"] and not i["identity"] else 0,
            "accumulates": 0 if i["identity"] else spikes,
            "shortcut_accumulates": spikes if i["identity"] else 0,
        }

    def edge(self, i):
        pass


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def cycles(dut):
    await lockstep(dut, Cycles(), 5000, clocked=False)


def test_accounts():
    run(Accounts(CONFIG), "accounts", "cycles")
