"""One call of harness.cpp, as C++ and Python see it."""

from __future__ import annotations

import ctypes

WORDS = ctypes.POINTER(ctypes.c_uint64)
BYTES = ctypes.POINTER(ctypes.c_uint8)


class Run(ctypes.Structure):
    """One call of harness.cpp: what goes in, and from `cycles` on what comes back.

    lasts: of each program, index of the beat that carries `last`. reset_at: assert reset in this cycle and stop (0: never).
    program_stall, result_stall: of 65536. buffers: the spike buffer after the input and after each layer, and
    captured_at: in which cycle. taken_at: of each beat the cycle in which it is taken.
    trace_path: of an FST file, or null; trace_layer: the layer's number.
    """

    _fields_ = [
        ("program", WORDS),
        ("beats", ctypes.c_uint64),
        ("beat_words", ctypes.c_uint64),
        ("lasts", WORDS),
        ("programs", ctypes.c_uint64),
        ("max_cycles", ctypes.c_uint64),
        ("reset_at", ctypes.c_uint64),
        ("stall_seed", ctypes.c_uint64),
        ("program_stall", ctypes.c_uint32),
        ("result_stall", ctypes.c_uint32),
        ("results", WORDS),
        ("max_results", ctypes.c_uint64),
        ("buffers", BYTES),
        ("max_buffers", ctypes.c_uint64),
        ("captured_at", WORDS),
        ("taken_at", WORDS),
        ("word_bits", ctypes.c_uint32),
        ("word_bytes", ctypes.c_uint32),
        ("banks", ctypes.c_uint32),
        ("depth", ctypes.c_uint32),
        ("granules", ctypes.c_uint32),
        ("trace_path", ctypes.c_char_p),
        ("trace_layer", ctypes.c_uint64),
        ("cycles", ctypes.c_uint64),
        ("result_count", ctypes.c_uint64),
        ("buffer_count", ctypes.c_uint64),
        ("beats_taken", ctypes.c_uint64),
        ("error", ctypes.c_uint32),
        ("finished", ctypes.c_uint32),
    ]
