"""The result stream against the order that results.py promises."""

import cocotb
import pytest

from hw.config import STREAM_BITS
from hw.counters import BEATS
from hw.results import RESULT_BITS, Results, beats_a_result
from tb.helpers import config_of, lockstep, parameters, run


class Order:
    """Programs: the input's beat, and for each layer its raw sums, then every PE's counters."""

    def __init__(self, dut, config, stall):
        self.dut, self.config, self.stall = dut, config, stall
        self.plan = []  # what is still to happen in this program
        self.chain = []
        self.expected = []
        self.programs = 0
        self.held = None
        self.fresh = 0  # cycles in which the next beat may still be on its way

    def inputs(self, rng):
        if (
            not self.plan
        ):  # the next one's input may come while results of the one before still wait
            self.programs += 1
            self.plan = ["input"]
            layers = rng.randint(1, 3)
            for k in range(layers):
                results = rng.choice([0, 3, 9])
                self.plan += ["result"] * results + ["last" if k == layers - 1 else "capture"]
        config = self.config
        action = self.plan[0] if self.plan and rng.random() < 0.6 else None
        if action in ("capture", "last") and not self.dut.idle.value:
            action = None
        if action == "result" and not self.dut.room.value:
            action = None
        self.action = action
        width = config.accumulator_bits
        self.sums = [rng.getrandbits(width) for _ in range(config.ticks)]
        self.input = (rng.getrandbits(32), rng.getrandbits(32))
        if action in ("capture", "last"):
            self.next_chain = [rng.getrandbits(STREAM_BITS) for _ in range(BEATS * config.n_pe)]
        return {
            "input_valid": action == "input",
            "input_spikes": self.input[0],
            "input_cycles": self.input[1],
            "result_valid": action == "result",
            "result": sum(s << (width * t) for t, s in enumerate(self.sums)),
            "capture": action in ("capture", "last"),
            "last_layer": action == "last",
            "chain": self.chain[0] if self.chain else 0,
            "o__ready": rng.random() >= self.stall,
        }

    def outputs(self, i):
        # Counters and the input's beat are there in the cycle after they came in; sums go through
        # a queue, two cycles.
        there = self.expected and not self.fresh
        return {"idle": not self.expected, "o__valid": 1 if there else None}

    def edge(self, i):
        config, dut = self.config, self.dut
        offer = int(dut.o__payload.value) if dut.o__valid.value else None
        assert self.held in (None, offer), "a beat changed before it was taken"
        self.held = None if i["o__ready"] else offer
        shift = bool(dut.shift.value)
        if offer is not None and i["o__ready"]:
            assert self.expected, "a beat too many"
            seen = (offer & ((1 << STREAM_BITS) - 1), offer >> STREAM_BITS)
            assert seen == self.expected.pop(0)
        if shift:
            self.chain = self.chain[1:]
        self.fresh = max(self.fresh - 1, 0)
        if self.action is None:
            return
        if self.action == "result" and not self.expected:
            self.fresh = 1
        self.plan = self.plan[1:]
        if self.action == "input":
            self.expected.append((self.input[0] | self.input[1] << 32, 0))
        elif self.action == "result":
            wide, width = 0, config.accumulator_bits
            for t, value in enumerate(self.sums):
                sign = value >> (width - 1)
                extended = value | sign * ((1 << RESULT_BITS) - (1 << width))
                wide |= extended << (RESULT_BITS * t)
            for k in range(beats_a_result(config)):
                self.expected.append((wide >> (STREAM_BITS * k) & ((1 << STREAM_BITS) - 1), 0))
        else:
            self.chain = self.next_chain
            last = len(self.chain) - 1
            ends = self.action == "last"
            self.expected += [(beat, int(ends and k == last)) for k, beat in enumerate(self.chain)]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def order(dut):
    case = parameters()
    model = Order(dut, config_of(case["preset"]), case["stall"])
    await lockstep(dut, model, 5000)
    assert model.programs > 3


@pytest.mark.parametrize(("preset", "stall"), [("tiny", 0), ("tiny", 0.5), ("paper", 0.2)])
def test_results(preset, stall):
    component = Results(config_of(preset))
    run(component, "results", "order", f"{preset}-{stall}", preset=preset, stall=stall)
