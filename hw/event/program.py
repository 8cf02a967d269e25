"""Layouts of the event machine's program stream, where they differ from hw/program.py.

A beat has `stream_bits`; headers of the program and the input, activations and layer descriptors are in its
lowest 64. A layer is then a number of segments, each a group of n_pe filters or a part of one: one beat with the
segment's header; its list, 16-bit words over the whole beat; then for each `stream_bits` / 64 PEs side by side, a lane of
64 bits each: a beat of filter headers, the rows of slice headers, the rows of values; as many as the longest of these PEs has.

Behind the header of any segment may stand a part of the next program's input: an input header, and the activations of its
channels. A program whose input came within the one before begins with its layers.

A list names, in any order, the beats of the caster that some PE of the segment needs. A PE's slice headers name places in
that list. docs/event.md has examples.
"""

from __future__ import annotations

from amaranth import signed
from amaranth.lib import data

from hw.config import STREAM_BITS, Config

VERSION = 0xA1
"""Of a 64-bit stream; one more for each doubling: programs of other machines and widths are refused. 0x91: the input
comes before the layers; 0x81: without late resets."""
LIST_WORDS = 1024
"""Places of the caster's list, a ring."""
POSITION_BITS = 11
"""Of a place in a list, and of its length."""
SUBS = 4
"""Channels of a packed beat."""
SKIP_BITS = 4
MAX_SKIP = (1 << SKIP_BITS) - 1
"""Places that a slice header can skip; a word without positions skips up to MAX_GAP."""
MAX_GAP = 127

SEGMENT_HEADER = data.StructLayout(
    {
        "length": POSITION_BITS,  # of the list
        "close": 1,  # the tile is complete after the segment
        "all_tiles": 1,  # the segment stays for every tile of the map
        "end": 1,  # the last segment of the layer
        "reserved": 49,
        "input": 1,  # a part of the next program's input comes behind this beat; the loader's alone
    }
)
LIST_ENTRY = data.StructLayout(
    {
        "index": 12,  # of the source's beat: channel, with its phase if strided; packed: docs/event.md
        "shortcut": 1,  # of the second source
        "reserved": 3,
    }
)
SLICE_HEADER = data.StructLayout(
    {
        "wsp": 9,  # positions of the 3x3 kernel with a weight, bit 0 = top left
        "sub": 2,  # channel of a packed beat
        "last": 1,  # of this PE's headers for the beat
        "skip": SKIP_BITS,  # places of the list between this and the PE's beat before
    }
)
FILTER_HEADER = data.StructLayout(
    {"header_rows": 8, "value_rows": 8, "bias": signed(24), "threshold": signed(24)}
)


def version(config: Config) -> int:
    """What the program header says of the format."""
    return VERSION + (config.stream_bits // STREAM_BITS).bit_length() - 1


def stream_lanes(config: Config) -> int:
    """PEs side by side in a beat."""
    return config.stream_bits // STREAM_BITS


def ring_rows(config: Config) -> int:
    """Rows of 64 bits of each of a PE's two rings, of slice headers and of values."""
    return config.scratchpad_rows // 2
