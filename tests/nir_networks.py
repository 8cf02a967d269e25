"""Small NIR networks, made with `nir` itself, for the tests of sw/importers."""

from __future__ import annotations

import itertools

import nir
import numpy as np


def dyadic(rng: np.random.Generator, *shape: int, step: float = 1 / 64) -> np.ndarray:
    """float32 weights on a grid, so that integers can keep them exactly; a third are zeros."""
    values = rng.integers(-24, 40, shape) * step * (rng.random(shape) < 0.67)
    return values.astype(np.float32)


def conv(weight, *, bias=None, stride=1, padding=1, groups=1, dilation=1):
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    return nir.Conv2d(None, weight, stride, padding, dilation, groups, bias)


def lif(*shape, tau=4 / 3, r=1.0, v_leak=0.0, threshold=1.0, v_reset=0.0):
    values = (np.full(shape, value) for value in (tau, r, v_leak, threshold, v_reset))
    return nir.LIF(*values)


def integrate(*shape, r=1.0, threshold=1.0):
    return nir.IF(np.full(shape, r), np.full(shape, threshold))


def pool(kind, size=2, stride=None):
    stride = size if stride is None else stride
    return kind(np.array([size, size]), np.array([stride, stride]), np.array([0, 0]))


def flatten():
    return nir.Flatten({"input": None}, 0, -1)


def chain(inputs, *nodes):
    """A graph of nodes one after the other, called by their kind and place."""
    named = {"input": nir.Input(np.array(inputs))}
    named |= {f"{type(node).__name__.lower()}{k}": node for k, node in enumerate(nodes)}
    named["output"] = nir.Output(None)
    names = list(named)
    edges = list(itertools.pairwise(names))
    return nir.NIRGraph(named, edges, type_check=False)


def save(path, graph):
    """Nir does not write shapes that are None; what stands there instead is not read (sides are inferred)."""
    for node in graph.nodes.values():
        if isinstance(node, nir.Conv2d) and node.input_shape is None:
            node.input_shape = (1, 1)
        elif isinstance(node, nir.Flatten | nir.Output):
            node.input_type, node.output_type = {"input": np.ones(1)}, {"output": np.ones(1)}
    nir.write(path, graph)
    return path
