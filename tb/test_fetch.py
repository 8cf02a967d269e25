"""The fetch stage against a queue of one: values, and when each handshake may happen."""

from typing import Any

import cocotb

from hw.config import PRESETS
from hw.fetch import REQUEST, Fetch
from hw.window import LATENCY
from hw.wsp import weight_layout
from tb.helpers import bits, lockstep, run


class Slot:
    """One weight is held; its window comes LATENCY cycles after the request was taken."""

    def __init__(self, config):
        self.config, self.layout = config, weight_layout(config)
        self.offered: Any = None
        self.held: Any = None  # the weight
        self.window = None
        self.coming = [None] * LATENCY  # windows on the way
        self.passed = 0

    def inputs(self, rng):
        if self.offered is None and rng.random() < 0.7:
            self.offered = {
                name: rng.getrandbits(field.width) for name, field in self.layout if name != "empty"
            }
            self.offered["empty"] = rng.random() < 0.2
        arriving = self.coming[0]
        return {
            "i__valid": self.offered is not None,
            "i__payload": bits(self.layout, self.offered or {}),
            "request__ready": rng.random() < 0.4,
            "window_valid": arriving is not None,
            "window": rng.getrandbits(self.config.word_bits) if arriving is None else arriving,
            "o__ready": rng.random() < 0.5,
            "next_window": rng.getrandbits(self.config.word_bits),
        }

    def _asks(self):
        return self.offered is not None and not self.offered["empty"] and self.held is None

    def _ready(self, i):
        empty = self.offered is not None and self.offered["empty"]
        return self.held is None and bool(i["request__ready"] or empty)

    def _full(self):
        return self.held is not None and (self.held["empty"] or self.window is not None)

    def outputs(self, i):
        asks = self._asks()
        request = None
        if asks:
            request = bits(REQUEST, {name: self.offered[name] for name, _ in REQUEST})
        full = self._full()
        return {
            "request__valid": asks,
            "request__payload": request,
            "i__ready": self._ready(i) if self.offered is not None else None,
            "busy": self.offered is not None or self.held is not None,
            "o__valid": full,
            "o__payload": bits(self.layout, self.held) if full else None,
            "spikes": self.window if full and not self.held["empty"] else None,
        }

    def edge(self, i):
        asked = self._asks() and i["request__ready"]
        taken = self.offered is not None and self._ready(i)
        if self._full() and i["o__ready"]:
            self.held = self.window = None
            self.passed += 1
        if i["window_valid"]:
            self.window = i["window"]
        self.coming = [*self.coming[1:], i["next_window"] if asked else None]
        if taken:
            self.held, self.offered = self.offered, None


class Driven(Slot):
    """The same, its inputs without what only the model needs."""

    def inputs(self, rng):
        self.extra = super().inputs(rng)
        return {name: value for name, value in self.extra.items() if name != "next_window"}

    def edge(self, i):
        super().edge(self.extra)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def slot(dut):
    model = Driven(PRESETS["tiny"])
    await lockstep(dut, model, 4000)
    assert model.passed > 400


def test_fetch():
    run(Fetch(PRESETS["tiny"]), "fetch", "slot")
