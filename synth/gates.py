"""A flat netlist, simulated by gates.cpp: outputs compared, changes of every net counted.

A clock-gating cell passes the edge at a cycle's end where its enable is 1 before it; flip-flops behind it
load then alone, and such edges are counted, too.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from support.errors import BadInput
from support.native import library as native
from synth.gate_arrays import GateArrays, port_bits
from synth.liberty import Library
from synth.netlist import Instance, Module
from synth.recording import Ports


@dataclass(frozen=True)
class Switching:
    """Changes of each net, and edges of each gated clock, in each window of cycles; the memories' accesses."""

    nets: dict[str, int]
    """Its index in `changes`."""
    changes: np.ndarray  # uint32 (windows, nets)
    clock_gates: dict[str, int]
    """Of a clock-gating cell, by its name, its index in `passed`."""
    passed: np.ndarray  # uint32 (windows, clock gates)
    memories: list[Instance]
    reads: np.ndarray  # int64 (windows, memories)
    writes: np.ndarray


def simulate(
    module: Module,
    library: Library,
    ports: Ports,
    rows: list[tuple[str, str]],
    *,
    window: int,
    macros: Collection[str] = (),
) -> Switching:
    """Replay a recording (synth.recording). macros: kinds of the memories in the netlist.

    Raises BadInput where an output differs from the recording, or for a cell it cannot simulate.
    """
    arrays = GateArrays(module, library, macros=macros)
    reset = arrays.net("rst")
    netlist = arrays.structure(ports)
    outputs = port_bits(ports.outputs)
    stimuli = _bytes([row[0] for row in rows], netlist.inputs)
    expected = _bytes([row[1] for row in rows], netlist.outputs)
    windows = -(-len(rows) // window)
    changes = np.zeros((windows, netlist.nets), np.uint32)
    passed = np.zeros((windows, len(arrays.gated)), np.uint32)
    reads, writes = (np.zeros((windows, len(arrays.memories)), np.int64) for _ in range(2))
    run = native(Path(__file__).with_name("gates.cpp")).simulate
    run.restype = ctypes.c_int64
    wrong = run(
        ctypes.byref(netlist),
        ctypes.c_int32(reset),
        *(ctypes.c_void_p(array.ctypes.data) for array in (stimuli, expected)),
        ctypes.c_int64(len(rows)),
        ctypes.c_int64(window),
        *(ctypes.c_void_p(array.ctypes.data) for array in (changes, passed, reads, writes)),
    )
    if wrong >= 0:
        cycle, bit = divmod(wrong, len(outputs))
        name = outputs[bit]
        raise BadInput(
            f"the netlist differs from the RTL in cycle {cycle} of the recording: {name}"
        )
    names = {gate.name: k for k, gate in enumerate(arrays.gated.values())}
    return Switching(arrays.nets, changes, names, passed, arrays.memories, reads, writes)


def _bytes(rows: list[str], bits: int) -> np.ndarray:
    """Hexadecimal numbers as a byte a bit, highest first."""
    digits = -(-bits // 8) * 2
    packed = np.frombuffer(bytes.fromhex("".join(row.zfill(digits) for row in rows)), np.uint8)
    unpacked = np.unpackbits(packed.reshape(len(rows), -1), axis=1)
    return np.ascontiguousarray(unpacked[:, unpacked.shape[1] - bits :])
