"""The event machine's loader, in every cycle, against a plain reader of beats: who gets each, every error, what follows."""

from typing import Any

import cocotb
import pytest
from amaranth.lib import data

from hw.config import MAX_SIDE, STREAM_BITS, Config
from hw.event.loader import Loader
from hw.event.program import (
    FILTER_HEADER,
    LIST_WORDS,
    SEGMENT_HEADER,
    stream_lanes,
)
from hw.loader import Error
from hw.program import EXTENDED_LAYER, INPUT_HEADER, LAYER, MAGIC, PROGRAM_HEADER
from tb.event_streams import LAYOUTS, Program
from tb.helpers import fields, lockstep, parameters, run


def config_with(**values):
    return Config(machine="event", ticks=3, scratchpad_depth=128, **values)


CONFIGS = {
    "64 bits": config_with(n_pe=3, stream_bits=64),
    "128 bits": config_with(n_pe=5, stream_bits=128, banks=4),
    "256 bits": config_with(n_pe=1, stream_bits=256, banks=1, lifs=1),
}
PROGRAMS = 45
FAULTS: list[
    tuple[str, dict[str, Any], Error | None]
] = [  # where, what is wrong there, and the error it makes
    ("program", {"magic": MAGIC ^ 1 << 31}, Error.HEADER),
    ("program", {"version": 2}, Error.HEADER),
    ("program", {"n_pe": 4}, Error.HEADER),
    ("program", {"ticks": 4}, Error.HEADER),
    ("program", {"tile_side": 4}, Error.HEADER),
    ("program", {"layers": 0}, Error.HEADER),
    ("input", {"side": 0}, Error.DESCRIPTOR),
    ("input", {"side": MAX_SIDE + 1}, Error.DESCRIPTOR),
    ("input", {"channels": 0}, Error.DESCRIPTOR),
    ("layer", {"filters": 0}, Error.DESCRIPTOR),
    ("layer", {"side": 0}, Error.DESCRIPTOR),
    ("layer", {"side": MAX_SIDE + 1}, Error.DESCRIPTOR),
    ("layer", {"raw": 1}, Error.DESCRIPTOR),
    ("layer", {"input": {"side": 0}}, Error.DESCRIPTOR),
    ("layer", {"shortcut": {"side": MAX_SIDE + 1}}, Error.DESCRIPTOR),
    ("layer", {"output_side": MAX_SIDE + 1}, Error.DESCRIPTOR),
    ("segment", {"length": LIST_WORDS + 1}, Error.DESCRIPTOR),
    ("segment", {"all_tiles": 1, "close": 0}, Error.SEGMENT),
    ("segment", {"end": 1, "all_tiles": 0, "close": 0}, Error.SEGMENT),
    ("filter", {"header_rows": 17}, Error.DESCRIPTOR),
    ("filter", {"value_rows": 17}, Error.DESCRIPTOR),
    ("end", {"last": -2}, Error.LAST_EARLY),
    ("end", {"last": 0}, Error.LAST_EARLY),
    ("end", {"last": None}, Error.LAST_LATE),
]
ANYTHING = [(where, name) for where, wrong, _ in FAULTS for name in wrong if where != "end"]
ANYTHING += [("input", "more"), ("layer", "extended"), ("segment", "input")]
"""Fields that change what the loader does, for programs that are wrong at random."""


DONE = object()
"""What a reader that waits is told."""


class Chip:
    """Offers programs, takes what the loader hands out, each receiver at its own pace, and knows who gets what.

    `read` is the loader as a reader: it says who must have room for the next beat, and is sent the beat.
    """

    def __init__(self, config):
        self.config = config
        self.faults = list(FAULTS)
        self.programs = PROGRAMS
        self.seen: dict[Error, int] = {}
        self.finished = 0
        self._reset()

    def _reset(self):
        self.beats, self.offered, self.carries = [], None, False
        self.wrong = self.wanted = None
        self.layer = None  # the descriptor that is offered
        self.layers, self.error, self.begins = 0, Error.NONE, False
        self.apu = 0  # beats that the APU still takes
        self.idle = 0
        self.reader = self.read()
        self.need, self.pes = next(self.reader)

    # --- the loader, read as a text ---

    def read(self):
        there = False
        while True:
            program = fields(PROGRAM_HEADER, (yield "program", 0))
            self.after["layers"] = layers = program["layers"]
            if not self._is_ours(program):
                self._fail(Error.HEADER)
            if there:
                self.after["begins"] = True
                there = False
            else:
                self.now["first"] = 1
                yield from self._read_input()
                self.now["begin"] = 1
            for left in range(layers, 0, -1):
                yield from self._read_layer()
                end = False
                while not end:
                    segment = fields(SEGMENT_HEADER, (yield "segment", 0))
                    end = segment["end"]
                    if (segment["all_tiles"] or end) and not segment["close"]:
                        self._fail(Error.SEGMENT)
                    if segment["length"] > 1024:
                        self._fail(Error.DESCRIPTOR)
                    if segment["input"]:
                        there = not (yield from self._read_input())
                    yield from self._read_rows(segment["length"])
                    self.now["loaded"] = 1
                self.ends = left == 1
            if not there:
                while (yield "end", 0) is not DONE:
                    pass

    def _is_ours(self, program):
        config = self.config
        wide = {64: 0xA1, 128: 0xA2, 256: 0xA3}[config.stream_bits]
        ours = {"magic": 0x746B5475, "version": wide, "n_pe": config.n_pe, "ticks": config.ticks,
                "tile_side": config.tile_side}  # fmt: skip
        return program["layers"] and all(program[name] == value for name, value in ours.items())

    def _read_input(self):
        """An input, or a part; whether another part comes."""
        header = fields(INPUT_HEADER, (yield "input", 0))
        self.now["input_start"] = 1
        if not 1 <= header["side"] <= MAX_SIDE or header["channels"] == 0:
            self._fail(Error.DESCRIPTOR)
        self.after["apu"] = header["channels"] % 8
        while (yield "activations", 0) is not DONE:
            pass
        return header["more"]

    def _read_layer(self):
        number = (yield "layer", 0) & (1 << STREAM_BITS) - 1
        number |= ((yield "layer end", 0) & (1 << STREAM_BITS) - 1) << STREAM_BITS
        layer = fields(LAYER, number)
        sides = layer["side"], layer["output_side"], layer["input"]["side"]
        if (
            not all(1 <= side <= MAX_SIDE for side in sides)
            or layer["shortcut"]["side"] > MAX_SIDE
            or layer["filters"] == 0
            or (layer["raw"] and layer["side"] != 1)
        ):
            self._fail(Error.DESCRIPTOR)
        if layer["extended"]:
            extension = (yield "layer more", 0) & (1 << STREAM_BITS) - 1
            number |= extension << EXTENDED_LAYER["extension"].offset
        self.after["layer"] = number & (1 << EXTENDED_LAYER.size) - 1

    def _read_rows(self, length):
        """A segment's list, and what its PEs get."""
        config = self.config
        lanes = stream_lanes(config)
        for _ in range(-(-length * 16 // config.stream_bits)):
            yield "list", 0
        for first in range(0, config.n_pe, lanes):
            team = range(first, min(first + lanes, config.n_pe))
            beat = yield "header", sum(1 << pe for pe in team)
            headers = [fields(FILTER_HEADER, beat >> STREAM_BITS * k) for k in range(lanes)]
            for kind in ("headers", "values"):
                rows = [header[f"{kind.removesuffix('s')}_rows"] for header in headers]
                if max(rows) > config.scratchpad_depth // 8:
                    self._fail(Error.DESCRIPTOR)
            for kind in ("headers", "values"):
                rows = [header[f"{kind.removesuffix('s')}_rows"] for header in headers]
                for row in range(max(rows)):
                    yield kind, sum(1 << pe for pe in team if rows[pe - first] > row)

    def _fail(self, error):
        self.after["error"] = error

    # --- cycle by cycle ---

    def _next_program(self, rng):
        assert not self.wanted, f"{self.wrong} is no error"
        self.rate = rng.choice([0, 0.4])
        self.layer_takes = rng.choice([0.05, 0.5, 1])  # a layer runs for long
        wrong: tuple[str, dict[str, Any], Error | None] | None = None
        if self.faults and rng.random() < 0.7:
            wrong = self.faults.pop(0)
            if wrong[0] == "input" and self.carries:  # this one has no input of its own
                self.faults.insert(0, wrong)
                wrong = None
        elif not self.faults and rng.random() < 0.5:
            where, name = rng.choice(ANYTHING)
            value = rng.getrandbits(7)
            nested = isinstance(LAYOUTS[where][name].shape, data.StructLayout)
            wrong = where, {name: {"side": value} if nested else value}, None
        self.wrong, self.wanted = wrong, wrong and wrong[2]
        program = Program(self.config, rng, there=self.carries, wrong=wrong)
        self.beats, self.carries = program.beats, program.carries
        self.programs -= 1

    def inputs(self, rng):
        config = self.config
        gone = self.offered is None and not self.beats
        self.idle += bool(self.error) or (gone and self.need not in ("end", "program"))
        if self.need == "program" and gone and not self.error:
            self._next_program(rng)
        go = lambda: rng.random() >= self.rate  # noqa: E731
        if self.offered is None and self.beats and go():
            self.offered = self.beats.pop(0)
        done = self.need == "activations" and self.apu == 0
        everyone = range(config.n_pe)
        return {
            "rst": self.idle > 5,
            "i__valid": self.offered is not None,
            "i__payload": rng.getrandbits(config.stream_bits)
            if self.offered is None
            else self.offered,
            "activations__ready": self.apu > 0 and go(),
            "input_done": done and not self.error and go(),
            "layer__ready": rng.random() < self.layer_takes,
            "list__ready": go(),
            "segment__ready": go(),
            "header_ready": sum(go() << k for k in everyone),
            "headers_ready": sum(go() << k for k in everyone),
            "values_ready": sum(go() << k for k in everyone),
            "finished": rng.random() < 0.2,  # of the program before, too
        }

    def _room(self, i):
        """Whether all who get the next beat take it."""
        if self.need in ("header", "headers", "values"):
            return not self.pes & ~i[f"{self.need}_ready"]
        if self.need in ("activations", "segment", "list"):
            return bool(i[f"{self.need}__ready"])
        return self.layer is None if self.need == "layer end" else self.need != "end"

    def outputs(self, i):
        ready = self._room(i) and not self.error
        shown = {"error": self.error, "layers": self.layers, "layer__valid": self.layer is not None}
        if self.layer is not None:
            shown["layer__payload"] = self.layer
        taken = bool(i["i__valid"] and ready)
        need, pes = self.need, self.pes
        self.now: dict[str, int] = {}
        self.after: dict[str, Any] = {"begins": False}
        self.ends = False
        if i["layer__ready"]:
            self.after["layer"] = None
        beat = i["i__payload"] & (1 << self.config.stream_bits) - 1
        last = i["i__payload"] >> self.config.stream_bits
        begins = self.begins
        if taken:
            self.offered = None
            self.apu -= need == "activations"
            self.need, self.pes = self.reader.send(beat)
            if last != self.ends:
                self._fail(Error.LAST_LATE if self.ends else Error.LAST_EARLY)
        elif (need == "activations" and i["input_done"]) or (need == "end" and i["finished"]):
            self.need, self.pes = self.reader.send(DONE)
        result = {name: self.now.get(name, 0) for name in ("first", "input_start", "loaded")}
        result |= shown | {"i__ready": ready, "begin": begins or self.now.get("begin", 0)}
        for kind in ("header", "headers", "values"):
            result[f"{kind}_valid"] = pes if taken and need == kind else 0
        for kind in ("segment", "list"):
            result[f"{kind}__valid"] = taken and need == kind
        result["activations__valid"] = (
            need == "activations" and bool(i["i__valid"]) and not self.error
        )
        low = beat & (1 << STREAM_BITS) - 1
        payloads = {"list": ("list__payload", beat), "segment": ("segment__payload", low),
                    "input": ("input_header", low), "activations": ("activations__payload", low)}  # fmt: skip
        if taken:
            name, value = payloads.get(need, ("lanes", beat))
            result[name] = value
        return result

    def edge(self, i):
        for name, value in self.after.items():
            setattr(self, name, value)
        if "error" in self.after:
            assert self.wrong, f"a good program ends in {self.error.name}"
            assert self.wanted in (None, self.error), f"{self.wrong} ends in {self.error.name}"
            self.seen[self.error] = self.seen.get(self.error, 0) + 1
        self.finished += self.ends and not self.error
        if i["rst"]:
            assert self.error or self.wanted is None, f"{self.wrong} is no error"
            self._reset()

    def done(self):
        return (
            not self.faults
            and self.programs <= 0
            and self.need == "program"
            and not self.beats
            and not self.offered
        )


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def reads(dut):
    model = Chip(CONFIGS[parameters()["config"]])
    await lockstep(dut, model, 30_000, done=model.done)
    assert not model.faults, model.faults
    assert model.seen.keys() == set(Error) - {Error.NONE}, model.seen
    assert model.finished > PROGRAMS // 6


@pytest.mark.parametrize("config", CONFIGS)
def test_loader(config):
    run(Loader(CONFIGS[config]), "loader", "reads", config, file="event_loader", config=config)
