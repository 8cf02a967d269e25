"""NIR files (neuromorphs/NIR), read with `nir` alone; shapes are inferred in sw/importers/lower.py.

LIF: tau v' = (v_leak - v) + r I    forward Euler: v += dt / tau (v_leak - v + r I)
IF:  v' = r I                       forward Euler: v += dt r I
fires at v > v_threshold, then v = v_reset
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sw.importers.graph import (
    ASSUMED,
    FILE,
    GIVEN,
    INPUT,
    Add,
    Choice,
    Conv,
    Flatten,
    Graph,
    Linear,
    Node,
    Operation,
    Options,
    Pooling,
    Refused,
    Scale,
    finite,
    ordered,
    refuse,
)
from sw.importers.neurons import leak_choice, reset_choice, shown, spiking, start_choice

KNOWN = (
    "Affine, AvgPool2d, Conv2d, Flatten, IF, Input, LIF, Linear, Output, Scale, SumPool2d"  # sorted
)
EULER = Choice("integration", "forward Euler", ASSUMED)


def read(path: Path, options: Options) -> Graph:
    """A file's graph. Raises Refused of one line for whatever cannot be imported."""
    try:
        import nir
    except ImportError:
        raise Refused(
            "NIR files need the package nir; .venv/bin/pip install -e '.[import]'"
        ) from None
    if not path.is_file():
        raise Refused(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers that are refused by name
            graph = nir.read(path, type_check=False)
    except Exception as error:  # of h5py or nir, whatever a damaged file makes them raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise Refused(f"{path.name}: not a NIR file, or a damaged one ({reason})") from None
    return from_graph(graph, options)


def from_graph(graph: Any, options: Options) -> Graph:
    """A `nir.NIRGraph` as a graph of plain nodes."""
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    for name, kind in kinds.items():
        if kind == "NIRGraph":
            refuse(name, "a graph inside a graph; allowed: a flat graph")
        if kind not in KNOWN.split(", "):
            refuse(name, f"{kind}; allowed: {KNOWN}")
    inputs = [name for name, kind in kinds.items() if kind == "Input"]
    outputs = [name for name, kind in kinds.items() if kind == "Output"]
    for what, names in (("inputs", inputs), ("outputs", outputs)):
        if len(names) != 1:
            raise Refused(f"the graph has {len(names)} {what} ({', '.join(names)}); allowed: 1")
    shape = graph.nodes[inputs[0]].input_type["input"]
    if shape is not None and _sides(shape) != _sides(options.shape):
        text = f"the file has {_sides(shape)}, --input {options.shape}; allowed: the file's"
        refuse(inputs[0], text)
    sources: dict[str, list[str]] = {name: [] for name in kinds}
    for first, second in graph.edges:
        for end in (first, second):
            if end not in kinds:
                refuse(end, "is the end of an edge, and is not in the graph")
        sources[second].append(first)
    nodes: dict[str, Node] = {}
    merged: dict[str, str] = {}
    for name, kind in kinds.items():
        if name in inputs:
            continue
        reads = [INPUT if source in inputs else source for source in sources[name]]
        if not reads:
            refuse(name, "has no input")
        if len(reads) > 1:  # edges that meet are a sum
            merged[name] = f"{name}.sum"
            nodes[merged[name]] = Node(merged[name], "sum of edges", tuple(reads), Add())
            reads = [merged[name]]
        if name not in outputs:
            operation, choices = _operation(name, kind, graph.nodes[name], options)
            nodes[name] = Node(name, kind, tuple(reads), operation, choices)
        else:
            last = reads[0]
    if last == INPUT:
        raise Refused("the graph's output is its input; allowed: at least one layer")
    return Graph(ordered(nodes, last), last)


def _sides(shape: Any) -> tuple[int, ...]:
    """Without sides of 1 at the end: (C,) is (C, 1, 1)."""
    sides = [int(side) for side in np.reshape(shape, -1)]
    while len(sides) > 1 and sides[-1] == 1:
        sides.pop()
    return tuple(sides)


def _operation(
    name: str, kind: str, node: Any, options: Options
) -> tuple[Operation, tuple[Choice, ...]]:
    if kind in ("Affine", "Linear"):
        bias = node.bias if kind == "Affine" else None
        finite(name, weight=node.weight, bias=bias)
        if node.weight.ndim != 2:
            refuse(name, f"weight of shape {node.weight.shape}; allowed: (outputs, inputs)")
        return Linear(node.weight, None if bias is None else np.reshape(bias, -1)), ()
    if kind == "Conv2d":
        return _conv(name, node), ()
    if kind == "Scale":
        finite(name, scale=node.scale)
        return Scale(np.asarray(node.scale, np.float64)), ()
    if kind in ("AvgPool2d", "SumPool2d"):
        sizes = (_pair(name, w, getattr(node, w)) for w in ("kernel_size", "stride", "padding"))
        return Pooling("mean" if kind == "AvgPool2d" else "sum", *sizes), ()
    if kind == "Flatten":
        return Flatten(), ()
    return _neuron(name, kind, node, options)


def _conv(name: str, node: Any) -> Conv:
    finite(name, weight=node.weight, bias=node.bias)
    if node.weight.ndim != 4:
        refuse(name, f"weight of shape {node.weight.shape}; allowed: (outputs, inputs, kh, kw)")
    stride, dilation = _pair(name, "stride", node.stride), _pair(name, "dilation", node.dilation)
    padding = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
    if isinstance(padding, str):
        spans = [d * (k - 1) for d, k in zip(dilation, node.weight.shape[2:], strict=True)]
        if padding == "same" and (stride != (1, 1) or any(span % 2 for span in spans)):
            refuse(name, "padding 'same' with a stride or an even kernel; allowed: numbers")
        pads = tuple(span // 2 for span in spans) if padding == "same" else (0, 0)
    else:
        pads = _pair(name, "padding", padding)
    bias = None if node.bias is None else np.reshape(node.bias, -1)
    return Conv(node.weight, bias, stride, (pads[0], pads[1]), dilation, int(node.groups))


def _pair(name: str, what: str, value: Any) -> tuple[int, int]:
    """(down, across)."""
    numbers = np.broadcast_to(np.asarray(value).reshape(-1), 2)
    least = 0 if what == "padding" else 1
    if (numbers != numbers.astype(int)).any() or (numbers < least).any():
        refuse(name, f"{what} = {numbers.tolist()}; allowed: whole numbers, at least {least}")
    return int(numbers[0]), int(numbers[1])


def _neuron(
    name: str, kind: str, node: Any, options: Options
) -> tuple[Operation, tuple[Choice, ...]]:
    parts = ("r", "v_threshold", "v_reset") + (("tau", "v_leak") if kind == "LIF" else ())
    values = {part: np.asarray(getattr(node, part), np.float64) for part in parts}
    finite(name, **values)
    if options.dt is None:
        form = "tau v' = v_leak - v + r I" if kind == "LIF" else "v' = r I"
        refuse(name, f"{kind}, {form}: dt is missing; give --dt, in the unit of the file's times")
    if (values["v_reset"] != 0).any():
        refuse(name, f"v_reset = {shown(values['v_reset'])}; allowed: 0")
    why = "v_reset = 0 says zero, and is what snnTorch writes for subtract and late as well"
    reset = reset_choice(name, options, None, why)
    dt = options.dt
    if kind == "LIF":
        tau = np.unique(values["tau"])
        if len(tau) > 1 or tau[0] <= 0:
            refuse(name, f"tau = {shown(values['tau'])}; allowed: one number above 0 for a layer")
        step = dt / float(tau[0])
        leak, gain = 1 - step, step * values["r"]
        offset = step * values["v_leak"]
    else:
        leak, gain, offset = 1.0, dt * values["r"], np.zeros(())
    one = spiking(
        name,
        options,
        leak=leak,
        gain=gain,
        threshold=values["v_threshold"],
        above=True,
        reset=reset.value,
        offset=offset,
    )
    given = "from the file and --dt"
    choices = (
        Choice("dt", f"{dt:g}", GIVEN),
        EULER,
        leak_choice(one, leak, given if kind == "LIF" else FILE),
        Choice("gain", shown(gain), given),
        Choice("threshold", f"v > {shown(values['v_threshold'])}", FILE),
        reset,
        start_choice(options, "0", ASSUMED),
        *([Choice("v_leak", shown(values["v_leak"]), FILE)] if np.any(offset) else []),
    )
    return one, choices
