"""The sequencer against a list of what it waits for."""

from typing import Any

import cocotb

from hw.config import PRESETS
from hw.program import LAYER
from hw.sequencer import Sequencer
from tb.helpers import lockstep, run


class Steps:
    """Programs one after the other, some of which are there before the one before has ended; every output in every cycle."""

    def __init__(self):
        self.state, self.left, self.layer, self.start = "INPUT", 0, 0, 0
        self.since: Any = None  # cycles since the program's first beat
        self.offered: Any = None
        self.programs = self.early = 0
        self.waits = False  # the next program's input is there, and its header was read

    def inputs(self, rng):
        idle = self.state == "INPUT" and not self.waits
        first = idle and self.since is None and rng.random() < 0.3
        done = idle and (self.since or 0) > 3 and rng.random() < 0.3
        if self.state in ("START", "RUN") and self.left == 1 and not self.waits:
            done = rng.random() < 0.1
        if done or not self.waits:  # of the program that is read
            self.count = rng.randint(1, 4)
        if self.offered is None and rng.random() < 0.2:
            self.offered = rng.getrandbits(LAYER.size)
        return {
            "i__valid": self.offered is not None,
            "i__payload": self.offered or 0,
            "first": first,
            "layers": self.count,
            "begin": done,
            "all_done": rng.random() < 0.3,
            "results_idle": rng.random() < 0.5,
        }

    def _ends(self, i):
        return self.state == "RUN" and i["all_done"] and i["results_idle"]

    def _begins(self, i):
        return self.state == "INPUT" and (i["begin"] or self.waits)

    def outputs(self, i):
        ends = self._ends(i)
        return {
            "begun": self._begins(i),
            "i__ready": self.state == "WAIT",
            "layer": self.layer if self.state in ("START", "RUN") else None,
            "layer_start": self.state == "START",
            "layer_active": self.state == "RUN",
            "counting": self.left > 0,
            "capture": ends,
            "last_layer": self.left == 1,
            "finished": ends and self.left == 1,
            "input_cycles": self.since + 1 if self._begins(i) else None,
        }

    def edge(self, i):
        if self.since is not None:
            self.since += 1
        if i["first"]:
            self.since = 1
        if i["begin"] and self.state != "INPUT":
            self.waits = True
        if self._ends(i):
            self.left -= 1
            self.state = "WAIT" if self.left else "INPUT"
            if not self.left:
                self.since = 0 if self.waits else None
                self.programs += 1
                self.early += self.waits
        elif self.state == "START":
            self.state = "RUN"
        elif self.state == "WAIT" and i["i__valid"]:
            self.layer, self.offered, self.state = self.offered, None, "START"
        elif self._begins(i):
            self.left, self.state, self.waits = self.count, "WAIT", False


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def steps(dut):
    model = Steps()
    await lockstep(dut, model, 4000)
    assert model.programs - model.early > 20
    assert model.early > 20


def test_sequencer():
    run(Sequencer(PRESETS["tiny"]), "sequencer", "steps")
