"""Frames: offers stay as they are under any reset, and a frame that a reset breaks ends with one more beat."""

from collections import deque

import cocotb

from hw.frames import Frames
from hw.loader import beat_layout
from tb.helpers import bits, lockstep, run

BEAT = beat_layout()
END = bits(BEAT, {"last": 1})


class Model:
    """A queue of at most one beat, then the end of a broken frame."""

    def __init__(self):
        self.queue: deque[tuple[int, int]] = deque()  # (beat, stale)
        self.in_frame = self.broken = False  # a frame was begun; it will not go on
        self.offer: int | None = None

    def inputs(self, rng):
        if self.offer is None and rng.random() < 0.7:
            self.offer = bits(BEAT, {"data": rng.getrandbits(64), "last": rng.random() < 0.2})
        return {
            "i__valid": self.offer is not None,
            "i__payload": self.offer or 0,
            "o__ready": rng.random() < 0.6,
            "reset": rng.random() < 0.1,
        }

    def ready(self, i):
        return (not self.queue or i["o__ready"]) and not self.broken and not i["reset"]

    def outputs(self, i):
        beat, stale = self.queue[0] if self.queue else (None, None)
        return {
            "o__valid": len(self.queue),
            "o__payload": beat,
            "stale": stale,
            "i__ready": self.ready(i),
        }

    def edge(self, i):
        takes, closes = self.ready(i) and i["i__valid"], self.broken
        if i["o__ready"] and self.queue:
            self.queue.popleft()
        if i["reset"]:
            self.queue = deque((beat, 1) for beat, _ in self.queue)
            self.broken = self.in_frame
            self.offer = None
        if closes and not self.queue:
            self.queue.append((END, 1))
            self.in_frame = self.broken = False
        if takes and self.offer is not None:
            self.in_frame = not self.offer & END
            self.queue.append((self.offer, 0))
            self.offer = None


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def frames(dut):
    await lockstep(dut, Model(), 5000)


def test_frames():
    run(Frames(), "frames", "frames")
