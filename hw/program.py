"""Layouts of the program stream: what a beat of 64 bits means, for the RTL and for the compiler.

A program is, in this order: one program header; one input header and the CSR activations of the
input map (apu.py); then for each layer its two-beat descriptor and its segments. A segment is one
part of each PE's filter in turn, PE 0 first: a filter header, then its WSP words, four a beat,
padded with zeros to a whole beat. The last beat of the last segment carries `last`.

A WSP word, 16 bits, is a header of a slice (bits 15..9: channels to skip; bits 8..0: which of the nine
kernel positions have a weight) or one of the weights that follow it, in the order of these bits. After a
slice the next channel is the cursor's; a header without positions only skips (docs/formats.md).
"""

from __future__ import annotations

from amaranth import signed
from amaranth.lib import data

from hw.config import Config
from hw.widths import ADDRESS_BITS, CHANNEL_BITS, LENGTH_BITS, ROUND_BITS, SIDE_BITS

MAGIC = 0x746B5475  # "uTkt", little-endian
VERSION = 2

PROGRAM_HEADER = data.StructLayout(
    {"magic": 32, "version": 8, "n_pe": 8, "layers": 8, "ticks": 4, "tile_side": 4}
)
INPUT_HEADER = data.StructLayout(
    {
        "base": ADDRESS_BITS,
        "side": SIDE_BITS,
        "channels": CHANNEL_BITS,  # up to the last that follows
        "first": CHANNEL_BITS,  # that follows; machine `event` alone, as what follows
        "more": 1,  # another part of the input comes later
        "reserved": 22,
    }
)
"""What is told of the input's channels that follow: all of them, but where the input comes in parts."""

SOURCE = data.StructLayout({"base": ADDRESS_BITS, "side": SIDE_BITS, "strided": 1})
"""A map that is read: address of its region in a bank, its side, and whether its stride is 2."""

NEURON = data.StructLayout(
    {
        "share": 9,  # a tick leaves (share * u + carry) >> 8 of a potential u
        "carry": 8,
        "subtract": 1,  # firing takes the threshold away; else it resets to zero, or late
        "start": 1,  # at half the threshold; else at zero
        "above": 1,  # the threshold in the filter headers is one more than what is taken away, and halved
        "late": 1,  # the tick after firing takes the threshold away, behind its leak
    }
)
"""What the neurons of a layer do, hw/neuron.py; machine `event` alone."""

_LAYER = {
    "filters": CHANNEL_BITS,
    "channels": CHANNEL_BITS,  # of the input; channels from here on are the shortcut's
    "side": SIDE_BITS,  # of the map of neurons, before pooling
    "half": 1,  # tiles of half the side, because a source is strided; machine `sweep` alone
    "pool": 1,  # 2x2 OR-pooling
    "raw": 1,  # accumulators are read out instead of spikes
    "fast": 1,  # every source is packed small: a window each n_pe / 4 cycles
    "padded": 1,  # one position of padding around the input
    "output_base": ADDRESS_BITS,
    "output_side": SIDE_BITS,  # after pooling
    "identity": 1,  # the shortcut's weights are an identity: no work, no accumulates
    "average": 1,  # sums of the map are added up before the neurons: one a filter
    "more_rounds": ROUND_BITS,  # of ticks, beside the first; machine `event` alone, as what follows
    "last_tick": 2,  # number of the last round's last
    "extended": 1,  # a third beat follows
    "input": SOURCE,
    "shortcut": SOURCE,
    "neuron": NEURON,
    "tall": 1,  # maps that are no squares are wide, else tall; sides are the longer ones
    "blocks": 2,  # log2 of the 3x3 blocks along a side of the kernel of the first source; machine `event`
}
LAYER = data.StructLayout(_LAYER)
"""A layer's descriptor, two beats."""
EXTENSION = data.StructLayout(
    {
        "input_words": ADDRESS_BITS,  # of each bank, that a round of the map takes
        "shortcut_words": ADDRESS_BITS,
        "output_words": ADDRESS_BITS,
        "short": SIDE_BITS,  # the shorter side of the map of neurons, 0: a square
        "input_short": SIDE_BITS,
        "shortcut_short": SIDE_BITS,
        "output_short": SIDE_BITS,
    }
)
"""The third beat of a descriptor, zeros where it is left out."""
EXTENDED_LAYER = data.StructLayout(
    {
        **{"anew" if name == "half" else name: shape for name, shape in _LAYER.items()},
        "extension": EXTENSION,
    }
)
"""What the event machine knows of a layer. Its tiles are never halved; instead of `half` it has
anew: each round is another image of a batch, whose neurons start anew."""


def layer_layout(config: Config) -> data.StructLayout:
    """What the machine knows of a layer."""
    return EXTENDED_LAYER if config.machine == "event" else LAYER


FILTER_HEADER = data.StructLayout(
    {
        "length": LENGTH_BITS,  # WSP words that follow, before padding to a beat
        "open": 1,  # the first part: accumulators start from the bias
        "close": 1,  # the last part: the tile is complete after it
        "all_tiles": 1,  # the words stay in the ring for every tile of the map
        "end": 1,  # the last segment of the layer
        "reserved": 1,
        "bias": signed(24),
        "threshold": signed(24),
    }
)


def pack(layout: data.StructLayout, **values: int | dict) -> int:
    """The bits of a layout. Raises ValueError for a value that its field cannot hold."""
    bits = 0
    for name, value in values.items():
        field = layout[name]
        if isinstance(value, dict):
            number = pack(field.shape, **value)
        else:
            number = int(value)
            low = -(1 << (field.width - 1)) if getattr(field.shape, "signed", False) else 0
            if not low <= number < low + (1 << field.width):
                raise ValueError(f"{name} = {number} does not fit its {field.width} bits")
        bits |= (number & ((1 << field.width) - 1)) << field.offset
    return bits


def unpack(layout: data.StructLayout, bits: int) -> dict[str, int]:
    """The unsigned fields of a layout that hold no other layout (of those, the bits)."""
    return {name: (bits >> field.offset) & ((1 << field.width) - 1) for name, field in layout}
