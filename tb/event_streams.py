"""Program streams of the event machine for its loader: of no network, but with every part that a program can have."""

from __future__ import annotations

from hw.config import MAX_SIDE, STREAM_BITS
from hw.event.program import (
    FILTER_HEADER,
    LIST_WORDS,
    SEGMENT_HEADER,
    ring_rows,
    stream_lanes,
    version,
)
from hw.program import EXTENDED_LAYER, INPUT_HEADER, MAGIC, PROGRAM_HEADER
from tb.helpers import bits, fields

LAYOUTS = {
    "program": PROGRAM_HEADER,
    "input": INPUT_HEADER,
    "layer": EXTENDED_LAYER,
    "segment": SEGMENT_HEADER,
    "filter": FILTER_HEADER,
}


def changed(layout, number, wrong):
    """The bits of a layout with other values in some fields, by name; a dict for a field that has fields itself."""
    known = fields(layout, number)
    for name, value in wrong.items():
        known[name] = known[name] | value if isinstance(value, dict) else value
    return bits(layout, known)


class Program:
    """Beats, with `last`. there: its input came within the program before. carries: the next one's comes within it."""

    def __init__(self, config, rng, *, there, wrong=None):
        self.config, self.rng, self.wrong = config, rng, wrong
        self.beats: list[int] = []
        self.carries = False
        layers = rng.randint(1, 3)
        self._add("program", magic=MAGIC, version=version(config), n_pe=config.n_pe, layers=layers,
                  ticks=config.ticks, tile_side=config.tile_side)  # fmt: skip
        if not there:
            self._input(more=rng.getrandbits(1))  # of a whole input it says nothing
        for layer in range(layers):
            self._layer(last=layer == layers - 1)
        at = wrong[1].get("last", -1) if wrong else -1
        if at is not None:
            self.beats[at] |= 1 << config.stream_bits

    def _beat(self, low, width=STREAM_BITS):
        """What stands above a beat's own bits is of no interest."""
        self.beats.append(low | self.rng.getrandbits(self.config.stream_bits) >> width << width)

    def _faulty(self, where, number):
        if self.wrong and self.wrong[0] == where:
            number = changed(LAYOUTS[where], number, self.wrong[1])
            self.wrong = None  # once in a program
        return number

    def _add(self, where, **values):
        self._beat(self._faulty(where, bits(LAYOUTS[where], values)))

    def _input(self, more):
        rng = self.rng
        channels, side = rng.randint(1, 12), rng.choice([1, 5, MAX_SIDE])
        self._add("input", base=5, side=side, channels=channels, more=more)
        for _ in range(channels % 8):  # as many as `Chip` takes
            self._beat(rng.getrandbits(STREAM_BITS))

    def _layer(self, last):
        rng = self.rng
        extended = rng.getrandbits(1)
        descriptor = {
            "filters": rng.randint(1, 1024),
            "side": rng.choice([2, MAX_SIDE]),
            "output_side": rng.choice([1, MAX_SIDE]),
            "output_base": rng.randrange(4096),
            "input": {"side": rng.choice([1, MAX_SIDE]), "base": rng.randrange(4096)},
            "shortcut": {"side": rng.choice([0, MAX_SIDE])},
            "extended": extended,
            "extension": {"short": 3, "input_words": rng.randrange(4096)} if extended else {},
        }
        number = self._faulty("layer", bits(EXTENDED_LAYER, descriptor))
        for k in range(3 if extended else 2):
            self._beat(number >> STREAM_BITS * k & (1 << STREAM_BITS) - 1)
        count = rng.randint(1, 3)
        for segment in range(count):
            end = segment == count - 1
            self._segment(end=end, carries=last and end and rng.random() < 0.4)

    def _segment(self, *, end, carries):
        config, rng = self.config, self.rng
        words, lanes, room = config.stream_bits // 16, stream_lanes(config), ring_rows(config)
        rows = rng.choice([0, 1, 2, 5]) if rng.random() < 0.98 else LIST_WORDS // words
        length = max(0, words * rows - rng.randrange(words))
        parts = rng.choice([1, 2]) if carries else 0
        whole = (
            rng.random() < 0.7
        )  # else another part should come, and the next program has its own input
        for part in range(parts + 1):  # the last has the segment's list and filters
            close = end or rng.getrandbits(1)
            self._add("segment", length=length if part == parts else 0, close=close,
                      all_tiles=end or (close & rng.getrandbits(1)), end=end and part == parts,
                      input=part > 0)  # fmt: skip
            if part:
                self._input(more=part < parts or not whole)
                self.carries = part == parts and whole
            if part == parts:
                break
            self._teams([[(0, 0)] * lanes for _ in range(-(-config.n_pe // lanes))])
        for _ in range(-(-length // words)):
            self._beat(rng.getrandbits(config.stream_bits), config.stream_bits)
        choices = [0, 0, 0, 1, 1, 2, 3, room]
        teams = [
            [
                (rng.choice(choices), rng.choice(choices)) if pe < config.n_pe else (0, 0)
                for pe in range(first, first + lanes)
            ]
            for first in range(0, config.n_pe, lanes)
        ]
        self._teams(teams)

    def _teams(self, teams):
        width = self.config.stream_bits
        for team in teams:
            headers = [
                bits(FILTER_HEADER, {"header_rows": h, "value_rows": v, "bias": -h})
                for h, v in team
            ]
            headers[0] = self._faulty("filter", headers[0])
            self._beat(sum(h << STREAM_BITS * k for k, h in enumerate(headers)), width)
            for rows in map(max, zip(*team, strict=True)):
                for _ in range(rows):
                    self._beat(self.rng.getrandbits(width), width)
