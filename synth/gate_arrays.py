"""A flat netlist as the arrays that gates.cpp reads: gates in order, flip-flops, gated clocks, a memory."""

from __future__ import annotations

import ctypes

import numpy as np

from sim.errors import BadInput
from synth import clocks
from synth.functions import truth_table
from synth.liberty import Cell, Library
from synth.netlist import Instance, Module
from synth.recording import Ports

WIDTH = 6  # inputs of a gate, at most


class Netlist(ctypes.Structure):
    """`Netlist` of gates.cpp, field by field."""

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


class GateArrays:
    """Cells of a netlist by the numbers of their nets. Raises BadInput for what cannot be simulated."""

    def __init__(self, module: Module, library: Library, *, macro: str = "") -> None:
        """macro: the kind of the one memory in the netlist."""
        self.module, self.library = module, library
        self.nets: dict[str, int] = {"1'h0": 0, "1'h1": 1}
        self.gated = clocks.clock_gates(module, library)
        self._gate_number = {clock: k for k, clock in enumerate(self.gated)}
        self.memory: Instance | None = None
        self._gates: list[tuple[list[int], int, int]] = []  # inputs, truth table, output
        self._flops: list[
            tuple[list[int], int, list[int], int]
        ] = []  # the same, two, and its clock
        self._roots = {gate.clock for gate in self.gated.values()}
        for instance in module.instances:
            cell = library.cells.get(instance.kind)
            if cell is None:
                if instance.kind != macro or self.memory:
                    raise BadInput(f"{instance.name}: {instance.kind} is no cell of {library.name}")
                self.memory = instance
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
            "address_bits": 0,
            "data_bits": 0,
        }
        if self.memory:
            pins = {
                name: [self.net(bit) for bit in _expand(names)]
                for name, names in self.memory.pins.items()
            }
            for name in ("read_address", "read_data", "write_address", "write_data"):
                arrays[name] = np.array(pins[name][::-1], np.int32)
            numbers |= {
                "address_bits": len(pins["read_address"]),
                "data_bits": len(pins["read_data"]),
                "read_enable": pins["read_enable"][0],
                "write_enable": pins["write_enable"][0],
            }
        self._arrays = arrays  # the structure has their addresses alone
        fields = {name: array.ctypes.data for name, array in arrays.items()} | numbers
        return Netlist(nets=len(self.nets), **fields)


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


def _expand(names: list[str]) -> list[str]:
    """A macro's pin: whole buses of the module's own ports become their bits."""
    if names == ["weights__payload"]:
        return port_bits({names[0]: 64})
    return names
