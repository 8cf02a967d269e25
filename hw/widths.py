"""How wide the numbers are that components pass on to each other, and that programs hold."""

from __future__ import annotations

CHANNEL_BITS = 11
"""Of a channel, a filter or a group of filters, and of how many there are: up to 1024."""
LENGTH_BITS = 11
"""Of the words of a filter: up to 1024, a whole scratchpad."""
SIDE_BITS = 7
"""Of a map's side in positions: up to 64."""
ADDRESS_BITS = 12
"""Of a word in a bank of the spike buffer: up to 4096 words."""
BLOCK_BITS = 6
"""Of a tile's coordinates: up to 32 tiles along a side, and where the one behind the last would be."""
WORD_COORDINATE_BITS = 4
"""Of a word's coordinates in an output map, where they are compared: up to 16 words along a side."""
ROUND_BITS = 6
"""Of a round of ticks, as many as there are lanes: up to 64 rounds."""
KERNEL = 9
"""Positions of a 3x3 kernel, in row order."""
POSITION_BITS = 4
"""Of a position in the kernel, 0 to 8."""
