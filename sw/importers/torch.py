"""Live PyTorch modules, traced by torch.fx: a module call is a node; a loop over ticks calls it again.

A second call of a module with the same inputs is its next tick. With other inputs it is a shared or
recurrent one, which is refused.
"""

from __future__ import annotations

import importlib.util
import operator
import pickle
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from sw.importers.graph import (
    ASSUMED,
    INPUT,
    Add,
    Choice,
    Flatten,
    Graph,
    Ignored,
    Live,
    Node,
    Operation,
    Options,
    Pooling,
    Refused,
    ordered,
    refuse,
)
from sw.importers.modules import library, operation, pair

TIME = {"unsqueeze", "repeat", "expand", "mean", "sum", "stack", "float", "contiguous"}
"""Methods and functions that only add or take away the axis of ticks, or copy."""
FLAT = {"view", "reshape", "flatten"}
NUMBERS = {"size", "dim", "shape", "zeros_like", "zeros"}  # no part of the network's sums


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Whatever a library made, but for containers of others; a user's own module is looked into."""
        if library(module) is None or ".model." in f"{type(module).__module__}.":
            return False  # the user's own, or a whole network, such as spikingjelly.activation_based.model has
        return type(module) not in (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def from_module(module: nn.Module, options: Options) -> Graph:
    """A module's graph. Raises Refused of one line for what cannot be traced or is not known."""
    if not isinstance(module, nn.Module):
        raise Refused(f"{type(module).__name__}; allowed: a torch.nn.Module")
    module = module.eval()
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            refuse(name, "on device meta, without values; allowed: numbers")
    try:
        traced = _Tracer().trace(chained(module))
    except Exception as error:  # whatever a user's forward() raises
        reason = str(error).partition("\n")[0]
        raise Refused(f"{type(module).__name__} cannot be traced: {reason}") from None
    return _Reader(module, options).graph(traced)


def chained(module: nn.Module) -> nn.Module:
    """Norse's SequentialState, whose forward hands states on, as the chain that it is."""
    if library(module) == "norse" and isinstance(module, nn.Sequential):
        return nn.Sequential(OrderedDict(module.named_children()))
    return module


class _Reader:
    def __init__(self, module: nn.Module, options: Options) -> None:
        self.module, self.options = module, options
        self.nodes: dict[str, Node] = {}
        self.names: dict[fx.Node, str | None] = {}  # None: no part of the network's sums
        self.inputs: list[str] = []
        self.calls: Counter[str] = Counter()  # of modules: a loop in forward is as many ticks
        self.last: str | None = None
        self.choices: tuple[Choice, ...] = ()
        self.indexed = self.repeats = False  # forward takes ticks from its input, or repeats it

    def graph(self, traced: fx.Graph) -> Graph:
        for node in traced.nodes:
            if node.op == "output":
                self.output(node.args[0])
            else:
                self.names[node] = self.name(node)
        if len(self.inputs) != 1:
            raise Refused(f"forward has {len(self.inputs)} inputs; allowed: 1")
        if self.last is None or self.last == INPUT:
            raise Refused("forward returns no layer's output; allowed: one")
        name, count = max(self.calls.items(), key=lambda item: item[1], default=("", 1))
        if count > 1 and count != self.options.ticks:
            refuse(
                name, f"forward calls it {count} times, a tick each; --ticks {self.options.ticks}"
            )
        live = Live(self.module, count > 1, self.indexed, self.repeats)
        return Graph(ordered(self.nodes, self.last), self.last, self.choices, live)

    def output(self, value: Any) -> None:
        while isinstance(value, tuple | list) and value:
            if len(value) > 1:
                text = f"the first of {len(value)} values that forward returns"
                self.choices = (Choice("result", text, ASSUMED),)
            value = value[0]
        self.last = self.names.get(value) if isinstance(value, fx.Node) else None

    def name(self, node: fx.Node) -> str | None:
        """The plain node that an fx node's value is."""
        if node.op == "placeholder":
            if node.args or node.name in ("mem", "state"):  # a default, or a state
                return None
            self.inputs.append(node.name)
            return INPUT
        if node.op == "get_attr":
            return None
        if node.op == "call_module":
            return self.call(node)
        what = node.target if isinstance(node.target, str) else node.target.__name__
        return self.function(node, what)

    def given(self, node: fx.Node) -> list[str]:
        """Plain nodes among the arguments, in lists too."""
        found = []
        for one in node.all_input_nodes:
            name = self.names[one]
            if name is not None:
                found.append(name)
        return found

    def call(self, node: fx.Node) -> str:
        target = str(node.target)
        module = self.module.get_submodule(target)
        first = self.names.get(node.args[0]) if node.args else None
        if first is None:
            refuse(target, "its input is no layer's output")
        if isinstance(module, nn.Sequential):  # of a library, with a forward of its own
            for child, part in module.named_children():
                first = self.add(f"{target}.{child}", part, first)
            return first
        return self.add(target, module, first)

    def add(self, name: str, module: nn.Module, source: str) -> str:
        self.calls[name] += 1
        if name in self.nodes:
            if self.nodes[name].inputs != (source,):
                text = (
                    "is called again with another input, shared or recurrent; allowed: once a tick"
                )
                refuse(name, text)
            return name
        made, choices = operation(name, module, self.options)
        kind = type(module).__name__
        self.nodes[name] = Node(name, kind, (source,), made, choices)
        return name

    def function(self, node: fx.Node, what: str) -> str | None:
        given = self.given(node)
        if what in NUMBERS or not given or (what == "getattr" and node.args[1] != "T"):
            return None
        if what == "getitem":
            return self.item(node, given[0])
        if what in ("add", "iadd") or node.target in (operator.add, operator.iadd, torch.add):
            if len(given) == 2:
                return self.plain(node, "addition", tuple(given), Add())
            refuse(node.name, "adds a number; allowed: sums of two layers")
        if what in TIME:
            return self.time(node, what, given)
        if what in FLAT:
            return self.plain(node, what, (given[0],), Flatten())
        functions: dict[str, Callable[[], Operation]] = {
            "max_pool2d": lambda: self.pool("max", node),
            "avg_pool2d": lambda: self.pool("mean", node),
            "boolean_dispatch": lambda: self.pool("max", node),
            "dropout": lambda: Ignored("dropout does nothing after training"),
        }
        if what in functions:
            return self.plain(node, what, (given[0],), functions[what]())
        known = "add, " + ", ".join(sorted(FLAT | set(functions) - {"boolean_dispatch"}))
        return refuse(node.name, f"{what}; allowed: modules, and {known}")

    def plain(self, node: fx.Node, kind: str, inputs: tuple[str, ...], made: Operation) -> str:
        """A node that is no module; one that a later tick repeats is the first one."""
        for other in self.nodes.values():
            if (
                other.kind == kind
                and other.inputs == inputs
                and repr(other.operation) == repr(made)
            ):
                return other.name
        self.nodes[node.name] = Node(node.name, kind, inputs, made)
        return node.name

    def item(self, node: fx.Node, given: str) -> str | None:
        index = node.args[1]
        if given == INPUT:  # x[t]
            self.indexed = True
            return INPUT
        source = node.args[0]
        if isinstance(source, fx.Node) and source.op == "call_module" and isinstance(index, int):
            return given if index == 0 else None  # spikes, not the potentials beside them
        return refuse(node.name, f"takes [{index}] of a layer's output; allowed: all of it")

    def time(self, node: fx.Node, what: str, given: list[str]) -> str:
        if len(set(given)) > 1:
            refuse(node.name, f"{what} of several layers; allowed: of one layer's ticks")
        axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        if what in ("mean", "sum") and axis not in (0, [0], (0,)):
            refuse(node.name, f"{what} over axis {axis}; allowed: 0, the ticks")
        if what in ("unsqueeze", "repeat", "expand") and given[0] != INPUT:
            refuse(node.name, f"{what} of a layer's output; allowed: of the input")
        self.repeats |= given[0] == INPUT and what in ("repeat", "expand", "stack")
        return given[0]

    def pool(self, kind: str, node: fx.Node) -> Pooling:
        values = dict(zip(("kernel_size", "stride", "padding"), node.args[1:], strict=False))
        values |= {k: v for k, v in node.kwargs.items() if v is not None}
        extra = set(values) - {"kernel_size", "stride", "padding"}
        wrong = sorted(k for k in extra if values[k] not in (False, 1, True))
        if wrong or values.get("ceil_mode"):
            refuse(
                node.name, f"{(wrong or ['ceil_mode'])[0]}; allowed: kernel_size, stride, padding"
            )
        kernel = pair(values["kernel_size"])
        stride = pair(values.get("stride") or kernel)
        return Pooling(kind, kernel, stride, pair(values.get("padding") or 0))


def read(
    path: Path, attribute: str, options: Options, *, weights: Path | None, trust: bool
) -> Graph:
    """The graph of what `attribute` of a Python file is, or returns: a module, with a state dict's weights."""
    return from_module(module_of(path, attribute, weights=weights, trust=trust), options)


def module_of(path: Path, attribute: str, *, weights: Path | None, trust: bool) -> nn.Module:
    """The module. Raises Refused of one line for whatever goes wrong in the user's file."""
    if not path.is_file():
        raise Refused(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(f"uticket_{path.stem}", path)
    assert spec is not None  # noqa: S101 - a .py file has one
    assert spec.loader is not None  # noqa: S101
    code = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(code)
        found = getattr(code, attribute, None)
        if found is None:
            raise Refused(f"{path} has no {attribute!r}; allowed: a function that returns a module")
        module = found if isinstance(found, nn.Module) else found()
    except Refused:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's file raises
        reason = str(error).partition("\n")[0]
        raise Refused(f"{path}:{attribute}: {type(error).__name__}: {reason}") from None
    if weights is not None:
        load_weights(module, weights, trust=trust)
    return module


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:120]


def load_weights(module: nn.Module, path: Path, *, trust: bool) -> None:
    """Fill a module from .safetensors or from a state dict that torch.save wrote."""
    if not path.is_file():
        raise Refused(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pickles that are refused anyway
                state = torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        if trust:
            raise Refused(f"{path.name}: no weights, or damaged ({_first_line(error)})") from None
        text = "no state dict of tensors alone; a pickle that can run code needs --trust"
        raise Refused(f"{path.name}: {text}") from None
    except Exception as error:  # of a damaged file
        raise Refused(f"{path.name}: no weights, or damaged ({_first_line(error)})") from None
    if isinstance(state, nn.Module):
        state = state.state_dict()
    if not isinstance(state, dict):
        raise Refused(f"{path.name}: {type(state).__name__}; allowed: a state dict")
    state = state.get("state_dict", state)
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise Refused(f"{path.name}: {reason[:200]}") from None
