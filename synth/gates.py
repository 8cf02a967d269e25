"""A flat netlist as arrays, simulated by gates.cpp: outputs compared, changes of every net counted.

A clock-gating cell passes the edge at a cycle's end where its enable is 1 before it; flip-flops behind it
load then alone, and such edges are counted, too.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.errors import BadInput
from sim.native import library as native
from synth import clocks
from synth.liberty import Library, truth_table
from synth.netlist import Instance, Module
from synth.recording import Ports

WIDTH = 6  # inputs of a gate, at most


class _Netlist(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("nets", "gates", "flops")),
        *((name, ctypes.c_void_p) for name in ("gate_inputs", "gate_tables", "gate_outputs")),
        *((name, ctypes.c_void_p) for name in ("flop_inputs", "flop_tables", "flop_outputs")),
        ("flop_clocks", ctypes.c_void_p),
        ("clock_gates", ctypes.c_int64),
        ("clock_gate_enables", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("address_bits", "data_bits")),
        *(
            (name, ctypes.c_void_p)
            for name in ("read_address", "read_data", "write_address", "write_data")
        ),
        *((name, ctypes.c_int32) for name in ("read_enable", "write_enable")),
        *((name, ctypes.c_int64) for name in ("inputs", "outputs")),
        *((name, ctypes.c_void_p) for name in ("input_nets", "output_nets")),
    ]


@dataclass(frozen=True)
class Switching:
    """Changes of each net, and edges of each gated clock, in each window of cycles; the macro's accesses."""

    nets: dict[str, int]
    """Its index in `changes`."""
    changes: np.ndarray  # uint32 (windows, nets)
    clock_gates: dict[str, int]
    """Of a clock-gating cell, by its name, its index in `passed`."""
    passed: np.ndarray  # uint32 (windows, clock gates)
    reads: np.ndarray  # int64 (windows,)
    writes: np.ndarray


def simulate(
    module: Module,
    library: Library,
    ports: Ports,
    rows: list[tuple[str, str]],
    *,
    window: int,
    macro: str = "",
) -> Switching:
    """Replay a recording (synth.recording). macro: the kind of the one memory in the netlist.

    Raises BadInput where an output differs from the recording, or for a cell it cannot simulate.
    """
    nets: dict[str, int] = {"1'h0": 0, "1'h1": 1}

    def net(name: str) -> int:
        return nets.setdefault(name, len(nets))

    gates: list[tuple[list[int], int, int]] = []
    flops: list[tuple[list[int], int, list[int], int]] = []
    gated = clocks.clock_gates(module, library)
    index = {name: k for k, name in enumerate(gated)}
    roots = {gate.clock for gate in gated.values()}
    memory: Instance | None = None
    for instance in module.instances:
        cell = library.cells.get(instance.kind)
        if cell is None:
            if instance.kind != macro or memory:
                raise BadInput(f"{instance.name}: {instance.kind} is no cell of {library.name}")
            memory = instance
            continue
        if cell.clock_gate:
            continue
        wired = [name for name in cell.inputs if name in instance.pins]
        data = [name for name in wired if not cell.pins[name].clock]
        inputs = [net(instance.pins[name][0]) for name in data]
        if len(data) > WIDTH or (cell.sequential and not cell.next_state):
            raise BadInput(f"{instance.name}: {instance.kind} is not simulated")
        if cell.sequential:
            driven = {
                cell.pins[out].function: instance.pins[out][0]
                for out in cell.outputs
                if out in instance.pins
            }
            state = [net(driven[name]) if name in driven else -1 for name in cell.state]
            clock = clocks.clock(instance, library)
            if clock not in gated:
                roots.add(clock)
            table = truth_table(cell.next_state, data)
            flops.append((inputs, table, [*state, -1, -1][:2], index.get(clock, -1)))
            continue
        for out in cell.outputs:
            if out in instance.pins:
                table = truth_table(cell.pins[out].function, data)
                gates.append((inputs, table, net(instance.pins[out][0])))
    if len(roots) > 1:
        raise BadInput(f"several clocks are not simulated: {', '.join(sorted(roots))}")
    gates = _in_order(gates)
    bits = {
        "inputs": [net(name) for name in _port_bits(ports.inputs)],
        "outputs": [net(module.aliases.get(name, name)) for name in _port_bits(ports.outputs)],
    }
    reset = net("rst")
    windows = -(-len(rows) // window)
    arrays = {
        "gate_inputs": _filled([g[0] for g in gates]),
        "gate_tables": _tables([(g[0], g[1]) for g in gates]),
        "gate_outputs": np.array([g[2] for g in gates], np.int32),
        "flop_inputs": _filled([f[0] for f in flops]),
        "flop_tables": _tables([(f[0], f[1]) for f in flops]),
        "flop_outputs": np.array([f[2] for f in flops], np.int32).reshape(-1, 2),
        "flop_clocks": np.array([f[3] for f in flops], np.int32),
        "clock_gate_enables": np.array([net(gate.enable) for gate in gated.values()], np.int32),
        "input_nets": np.array(bits["inputs"], np.int32),
        "output_nets": np.array(bits["outputs"], np.int32),
    }
    numbers = {
        "gates": len(gates),
        "flops": len(flops),
        "clock_gates": len(gated),
        "inputs": len(bits["inputs"]),
        "outputs": len(bits["outputs"]),
        "address_bits": 0,
        "data_bits": 0,
    }
    if memory:
        pins = {name: [net(bit) for bit in _expand(names)] for name, names in memory.pins.items()}
        for name in ("read_address", "read_data", "write_address", "write_data"):
            arrays[name] = np.array(pins[name][::-1], np.int32)
        numbers |= {
            "address_bits": len(pins["read_address"]),
            "data_bits": len(pins["read_data"]),
            "read_enable": pins["read_enable"][0],
            "write_enable": pins["write_enable"][0],
        }
    fields = {name: array.ctypes.data for name, array in arrays.items()} | numbers
    netlist = _Netlist(nets=len(nets), **fields)
    stimuli = _bytes([row[0] for row in rows], numbers["inputs"])
    expected = _bytes([row[1] for row in rows], numbers["outputs"])
    changes = np.zeros((windows, len(nets)), np.uint32)
    passed = np.zeros((windows, len(gated)), np.uint32)
    reads, writes = np.zeros(windows, np.int64), np.zeros(windows, np.int64)
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
        cycle, bit = divmod(wrong, numbers["outputs"])
        name = _port_bits(ports.outputs)[bit]
        raise BadInput(
            f"the netlist differs from the RTL in cycle {cycle} of the recording: {name}"
        )
    names = {gate.name: k for k, gate in enumerate(gated.values())}
    return Switching(nets, changes, names, passed, reads, writes)


def _in_order(gates: list[tuple[list[int], int, int]]) -> list[tuple[list[int], int, int]]:
    """Each gate after those that drive it. Raises BadInput for a loop."""
    driver = {gate[2]: k for k, gate in enumerate(gates)}
    waits = [len({n for n in gate[0] if n in driver}) for gate in gates]
    users: dict[int, list[int]] = {}
    for k, gate in enumerate(gates):
        for n in {n for n in gate[0] if n in driver}:
            users.setdefault(n, []).append(k)
    ready = [k for k, count in enumerate(waits) if count == 0]
    order = []
    while ready:
        k = ready.pop()
        order.append(gates[k])
        for user in users.get(gates[k][2], []):
            waits[user] -= 1
            if waits[user] == 0:
                ready.append(user)
    if len(order) != len(gates):
        raise BadInput(f"{len(gates) - len(order)} gates of the netlist are in or behind a loop")
    return order


def _filled(inputs: list[list[int]]) -> np.ndarray:
    """(n, WIDTH) net numbers; what a gate lacks is constant 0."""
    return np.array([[*row, *[0] * (WIDTH - len(row))] for row in inputs], np.int32).reshape(
        -1, WIDTH
    )


def _tables(gates: list[tuple[list[int], int]]) -> np.ndarray:
    return np.array([table for _, table in gates], np.uint64)


def _port_bits(ports: dict[str, int]) -> list[str]:
    """Names of all bits, the first port's highest first: as a recording has them."""
    return [
        name if width == 1 else f"{name}[{bit}]"
        for name, width in ports.items()
        for bit in range(width - 1, -1, -1)
    ]


def _expand(names: list[str]) -> list[str]:
    """A macro's pin: whole buses of the module's own ports become their bits."""
    if names == ["weights__payload"]:
        return _port_bits({names[0]: 64})
    return names


def _bytes(rows: list[str], bits: int) -> np.ndarray:
    """Hexadecimal numbers as a byte a bit, highest first."""
    digits = -(-bits // 8) * 2
    packed = np.frombuffer(bytes.fromhex("".join(row.zfill(digits) for row in rows)), np.uint8)
    unpacked = np.unpackbits(packed.reshape(len(rows), -1), axis=1)
    return np.ascontiguousarray(unpacked[:, unpacked.shape[1] - bits :])
