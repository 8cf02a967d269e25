"""What a proof is written in: a component's exported Verilog with any inputs, and what must hold of it.

A bench is an Amaranth module around an instance of the component. Every input is free: it takes any
value in any cycle that an assumption does not exclude. There is no reset: the first state is the one
that reset makes, and a proof by induction starts from any state at all.
"""

from __future__ import annotations

from typing import Any

from amaranth import ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.hdl import Assert, Assume, ValueCastable
from amaranth.hdl._ast import AnyConst, AnySeq
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Elaboratable

ROWS_SHOWN = 8
"""Of a memory with as many rows or fewer, a proof sees each."""


class GhostPorts:
    """A platform that gives every memory more read ports, without a clock, for a proof to look.

    In the Verilog of memory NAME: NAME.ghost_address, driven by Bench.drive, and NAME.ghost_data; and of a small one
    NAME.row_0, NAME.row_1 and so on.
    """

    def get_memory(self, memory: Memory) -> Elaboratable:
        """Amaranth's hook, called for every memory."""
        memory._frozen = False
        port = memory.read_port(domain="comb")
        m = Module()
        address = Signal(len(port.addr), name="ghost_address")
        data = Signal(len(Value.cast(port.data)), name="ghost_data")
        shown = range(memory.depth if memory.depth <= ROWS_SHOWN else 0)
        ports = [memory.read_port(domain="comb") for _ in shown]
        rows = [Signal.like(data, name=f"row_{k}") for k in shown]
        m.submodules.content = memory.elaborate(None)
        m.submodules.driver = Instance("uticket_inside", ("o", "value", address))
        m.d.comb += [port.addr.eq(address), data.eq(Value.cast(port.data))]
        for k in shown:
            m.d.comb += [ports[k].addr.eq(k), rows[k].eq(Value.cast(ports[k].data))]
        return m


class Bench:
    """m: the module, for ghost registers and logic. ports: of the component, by name in the Verilog.

    clocked: the component has registers, and so a clock and a reset. proven: lemmas are assumed, since another proof has them.
    """

    def __init__(
        self, component: wiring.Component, *, clocked: bool = True, proven: bool = False
    ) -> None:
        self.component, self.proven = component, proven
        self.m = Module()
        self.ports: dict[str, Any] = {}
        self.assume(~ResetSignal())
        connections: list[tuple] = []
        if clocked:
            connections = [("i", "clk", ClockSignal()), ("i", "rst", ResetSignal())]
        for path, member, value in component.signature.flatten(component):
            bits = value.as_value() if isinstance(value, ValueCastable) else value
            if not isinstance(bits, Value) or not len(bits):
                continue
            name = "__".join(map(str, path))
            port = self.ports[name] = Signal(member.shape, name=name)
            if member.flow == wiring.In:
                self.m.d.comb += Value.cast(port).eq(AnySeq(len(bits)))
            kind = "i" if member.flow == wiring.In else "o"
            connections.append((kind, name, port))
        self.m.submodules.dut = Instance("dut", *connections)
        self.connections: dict[str, str] = {}  # a wire, and the one that drives it
        self.cuts: list[str] = []
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        """A port."""
        try:
            return self.__dict__["ports"][name]
        except KeyError:
            raise AttributeError(name) from None

    def inside(self, path: str, shape: Any = 1) -> Any:
        """A signal inside the component, by its name in the Verilog, instances joined by dots."""
        name = f"inside_{len(self.connections)}"
        signal = Signal(shape, name=name)
        driver = Instance("uticket_inside", ("o", "value", signal))  # prove.py puts the wire there
        self.m.submodules[f"{name}_driver"] = driver
        self.connections[name] = f"dut.{path}"
        return signal

    def drive(self, path: str, value: Value, name: str) -> None:
        """Drive an input that only a proof has (GhostPorts), by its name in the Verilog."""
        source = Signal(len(value), name=name)
        self.m.d.comb += source.eq(value)
        self.connections[f"dut.{path}"] = name

    def cut(self, path: str) -> None:
        """Let an instance inside give anything in every cycle, where that is enough: what is proven holds all the more."""
        self.cuts.append(path)

    def any(self, shape: Any, name: str) -> Any:
        """A value that is anything in every cycle."""
        signal = Signal(shape, name=name)
        self.m.d.comb += Value.cast(signal).eq(AnySeq(len(Value.cast(signal))))
        return signal

    def constant(self, shape: Any, name: str) -> Any:
        """A value that is anything, but the same in all cycles."""
        signal = Signal(shape, name=name)
        self.m.d.comb += Value.cast(signal).eq(AnyConst(len(Value.cast(signal))))
        return signal

    def past(self, value: Any, name: str, cycles: int = 1) -> Any:
        """What a value was some cycles ago; 0 before the first cycle."""
        for k in range(cycles):
            shape = value.shape() if hasattr(value, "shape") else len(value)
            before = Signal(shape, name=f"{name}_{k + 1}_ago")
            self.m.d.sync += Value.cast(before).eq(Value.cast(value))
            value = before
        return value

    def started(self, cycles: int = 1) -> Signal:
        """High from cycle number `cycles` on, when `past` values are values."""
        count = Signal(range(cycles + 1), name=f"started_{cycles}_{self.count}")
        self.count += 1
        with self.m.If(count != cycles):
            self.m.d.sync += count.eq(count + 1)
        return count == cycles

    def assume(self, condition: Any) -> None:
        """Only inputs, and only what the surroundings promise."""
        self.m.d.comb += Assume(condition, src_loc_at=1)

    def check(self, condition: Any, when: Any = 1) -> None:
        """What must hold, in every cycle in which `when` is true."""
        holds = ~Value.cast(when).bool() | Value.cast(condition).bool()
        self.m.d.comb += Assert(holds, src_loc_at=1)

    def lemma(self, condition: Any, when: Any = 1) -> None:
        """The same of what holds in every state that can be reached, and helps to prove the rest."""
        holds = ~Value.cast(when).bool() | Value.cast(condition).bool()
        self.m.d.comb += (Assume if self.proven else Assert)(holds, src_loc_at=1)

    def keeps_stream_rules(self, name: str, *, check: bool = True) -> None:
        """An offer stays, unchanged, until it is taken. check: prove it, or assume it of an input."""
        payload, valid, ready = (
            self.ports[f"{name}__{part}"] for part in ("payload", "valid", "ready")
        )
        self.keeps_offer(name, payload, valid, ready, check=check)

    def keeps_offer(
        self, name: str, payload: Any, valid: Value, ready: Value, *, check: bool = True
    ) -> None:
        """The same of what is no stream by its name."""
        waiting = Signal(name=f"{name}_waiting")
        offered = Signal(len(Value.cast(payload)), name=f"{name}_offered")
        self.m.d.sync += [waiting.eq(valid & ~ready), offered.eq(Value.cast(payload))]
        holds = ~waiting | (valid & (offered == Value.cast(payload)))
        self.m.d.comb += (Assert if check else Assume)(holds, src_loc_at=1)
