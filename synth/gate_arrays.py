"""A flat netlist as the arrays that gates.cpp reads: gates in order, flip-flops, gated clocks, memories."""

from __future__ import annotations

import ctypes
from collections.abc import Collection

import numpy as np

from support.errors import BadInput
from synth import clocks
from synth.functions import truth_table
from synth.liberty import Cell, Library
from synth.netlist import Instance, Module
from synth.recording import Ports

WIDTH = 6  # inputs of a gate, at most


PINS = ("read_address", "read_data", "write_address", "write_data")


class Memory(ctypes.Structure):
    """`Memory` of gates.cpp, field by field."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("address_bits", "data_bits")),
        *((name, ctypes.c_void_p) for name in PINS),
        *((name, ctypes.c_int64) for name in ("read_enable", "write_enable")),
    ]


class Netlist(ctypes.Structure):
    """`Netlist` of gates.cpp, field by field."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("nets", "gates", "flops")),
        *((name, ctypes.c_void_p) for name in ("gate_inputs", "gate_tables", "gate_outputs")),
        *((name, ctypes.c_void_p) for name in ("flop_inputs", "flop_tables", "flop_outputs")),
        ("flop_clocks", ctypes.c_void_p),
        ("clock_gates", ctypes.c_int64),
        ("clock_gate_enables", ctypes.c_void_p),
        ("memories", ctypes.c_int64),
        ("memory", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("inputs", "outputs")),
        *((name, ctypes.c_void_p) for name in ("input_nets", "output_nets")),
    ]


class GateArrays:
    """Cells of a netlist by the numbers of their nets. Raises BadInput for what cannot be simulated."""

    def __init__(self, module: Module, library: Library, *, macros: Collection[str] = ()) -> None:
        """macros: kinds of memories."""
        self.module, self.library = module, library
        self.nets: dict[str, int] = {"1'h0": 0, "1'h1": 1}
        self.gated = clocks.clock_gates(module, library)
        self._gate_number = {clock: k for k, clock in enumerate(self.gated)}
        self.memories: list[Instance] = []
        self._gates: list[tuple[list[int], int, int]] = []  # inputs, truth table, output
        self._flops: list[
            tuple[list[int], int, list[int], int]
        ] = []  # the same, two, and its clock
        self._roots = {gate.clock for gate in self.gated.values()}
        for instance in module.instances:
            cell = library.cells.get(instance.kind)
            if cell is None:
                if instance.kind not in macros:
                    raise BadInput(f"{instance.name}: {instance.kind} is no cell of {library.name}")
                self.memories.append(instance)
            elif not cell.clock_gate:
                self._add(instance, cell)
        if len(self._roots) > 1:
            raise BadInput(f"several clocks are not simulated: {', '.join(sorted(self._roots))}")
        self._gates = _in_order(self._gates)

    def net(self, name: str) -> int:
        """The number of a net."""
        return self.nets.setdefault(name, len(self.nets))

    def _add(self, instance: Instance, cell: Cell) -> None:
        """A gate, or a flip-flop."""
        wired = [name for name in cell.inputs if name in instance.pins]
        data = [name for name in wired if not cell.pins[name].clock]
        inputs = [self.net(instance.pins[name][0]) for name in data]
        if len(data) > WIDTH or (cell.sequential and not cell.next_state):
            raise BadInput(f"{instance.name}: {instance.kind} is not simulated")
        outputs = [
            (cell.pins[out].function, instance.pins[out][0])
            for out in cell.outputs
            if out in instance.pins
        ]
        if not cell.sequential:
            for function, output in outputs:
                self._gates.append((inputs, truth_table(function, data), self.net(output)))
            return
        driven = dict(outputs)
        state = [self.net(driven[name]) if name in driven else -1 for name in cell.state]
        clock = clocks.clock(instance, self.library)
        if clock not in self.gated:
            self._roots.add(clock)
        table = truth_table(cell.next_state, data)
        self._flops.append((inputs, table, [*state, -1, -1][:2], self._gate_number.get(clock, -1)))

    def structure(self, ports: Ports) -> Netlist:
        """What gates.cpp reads; it holds while this object does."""
        inputs = [self.net(name) for name in port_bits(ports.inputs)]
        aliases = self.module.aliases
        outputs = [self.net(aliases.get(name, name)) for name in port_bits(ports.outputs)]
        gates, flops = self._gates, self._flops
        enables = [self.net(gate.enable) for gate in self.gated.values()]
        arrays = {
            "gate_inputs": _filled([g[0] for g in gates]),
            "gate_tables": np.array([g[1] for g in gates], np.uint64),
            "gate_outputs": np.array([g[2] for g in gates], np.int32),
            "flop_inputs": _filled([f[0] for f in flops]),
            "flop_tables": np.array([f[1] for f in flops], np.uint64),
            "flop_outputs": np.array([f[2] for f in flops], np.int32).reshape(-1, 2),
            "flop_clocks": np.array([f[3] for f in flops], np.int32),
            "clock_gate_enables": np.array(enables, np.int32),
            "input_nets": np.array(inputs, np.int32),
            "output_nets": np.array(outputs, np.int32),
        }
        numbers = {
            "gates": len(gates),
            "flops": len(flops),
            "clock_gates": len(self.gated),
            "inputs": len(inputs),
            "outputs": len(outputs),
            "memories": len(self.memories),
        }
        memories = [self._memory(one, ports) for one in self.memories]
        block = (Memory * len(memories))(*(memory for memory, _ in memories))
        self._held = arrays, block, memories  # the structure has their addresses alone
        fields = {name: array.ctypes.data for name, array in arrays.items()} | numbers
        return Netlist(nets=len(self.nets), memory=ctypes.addressof(block), **fields)

    def _memory(self, one: Instance, ports: Ports) -> tuple[Memory, list[np.ndarray]]:
        """A memory, and the arrays whose addresses it has. A pin on a whole port of the module is that port's bits."""
        pins = {}
        for name, nets in one.pins.items():
            width = ports.inputs.get(nets[0], 1) if len(nets) == 1 else 1
            pins[name] = [
                self.net(bit) for bit in (port_bits({nets[0]: width}) if width > 1 else nets)
            ]
        arrays = [np.array(pins[name][::-1], np.int32) for name in PINS]
        memory = Memory(
            address_bits=len(pins["read_address"]),
            data_bits=len(pins["read_data"]),
            read_enable=pins["read_enable"][0],
            write_enable=pins["write_enable"][0],
            **{name: array.ctypes.data for name, array in zip(PINS, arrays, strict=True)},
        )
        return memory, arrays


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


def port_bits(ports: dict[str, int]) -> list[str]:
    """Names of all bits, the first port's highest first: as a recording has them."""
    return [
        name if width == 1 else f"{name}[{bit}]"
        for name, width in ports.items()
        for bit in range(width - 1, -1, -1)
    ]
