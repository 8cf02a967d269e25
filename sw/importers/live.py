"""The framework itself: the user's own module run over images, and what its neurons fire."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import nn

from sw.importers.door import Imported
from sw.importers.graph import Live, Refused, Spiking
from sw.importers.modules import LIBRARIES, library
from sw.layers import Pool


def framework(live: Live) -> str:
    """Its name and version: that of the library whose neurons a module has."""
    found = {library(part) for part in live.module.modules()} - {None, "torch"}
    name = next((one for one in LIBRARIES if one in found), "torch")
    return f"{name} {version(name)}"


@torch.no_grad()
def spikes(network: Imported, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """What each layer hands on by its framework, by node, (N, T, ...): spikes, or the last one's sums.

    inputs: float (N, C, H, W), an image, or spikes (N, T, C, H, W).
    Raises Refused, naming a node, where forward takes its ticks in a way that is not known.
    """
    live = network.graph.live
    if live is None:
        raise Refused("a file has no framework of its own; allowed: FILE.py:FUNCTION")
    module = copy.deepcopy(live.module).eval()
    count, ticks = len(inputs), network.options.ticks
    sources = _sources(network, module)
    with _watched(module, set(sources.values())) as outputs:
        reset(module, count, ticks)
        feed(module, live, torch.tensor(inputs, dtype=torch.float32), ticks)
    found = {}
    for layer, row in zip(network.lowered.network.layers, network.lowered.rows, strict=True):
        if row.node not in sources:
            continue
        values = _in_ticks(sources[row.node], outputs[sources[row.node]], count, ticks)
        if layer.pool is Pool.MAX2:
            values = nn.functional.max_pool2d(values.flatten(0, 1), 2).unflatten(0, (count, ticks))
        found[row.node] = values.numpy()
    return found


def _sources(network: Imported, module: nn.Module) -> dict[str, str]:
    """By row's node, the module whose output it is: of neurons, or of the last layer's sums."""
    known = {name for name, _ in module.named_modules()}
    spiking = {n.name for n in network.graph.nodes if isinstance(n.operation, Spiking)}
    found = {}
    for layer, row in zip(network.lowered.network.layers, network.lowered.rows, strict=True):
        names = [node.partition(" ")[0] for node in row.nodes]
        own = [name for name in names if name in spiking] if layer.neuron else [row.node]
        if own[-1] in known:
            found[row.node] = own[-1]
    return found


@contextmanager
def _watched(module: nn.Module, names: set[str]) -> Iterator[dict[str, list[torch.Tensor]]]:
    """What modules return, call after call; of neurons that return a state, too, the spikes."""
    outputs: dict[str, list[torch.Tensor]] = {name: [] for name in names}

    def hook(keep: list[torch.Tensor]) -> Any:
        return lambda _, __, out: keep.append(out[0] if isinstance(out, tuple) else out)

    for name, keep in outputs.items():
        module.get_submodule(name).register_forward_hook(hook(keep))
    yield outputs


def reset(module: nn.Module, count: int, ticks: int) -> None:
    """Potentials as before the first tick, for a batch of `count`."""
    for part in module.modules():
        kind = library(part)
        if kind == "spikingjelly" and hasattr(part, "reset"):
            part.reset()
        elif kind == "snntorch" and hasattr(part, "reset_mem"):
            part.reset_mem()
        elif kind == "sinabs" and hasattr(part, "reset_states"):
            part.reset_states()
            if hasattr(part, "num_timesteps"):
                part.batch_size, part.num_timesteps = count, ticks


def feed(module: nn.Module, live: Live, x: torch.Tensor, ticks: int) -> None:
    """One forward pass, or one a tick. x: (N, C, H, W), or (N, T, C, H, W)."""
    image = x.ndim == 4
    series = x.unsqueeze(1).expand(-1, ticks, -1, -1, -1) if image else x
    parts = list(module.modules())
    squeezed = any(type(part).__name__.endswith("Squeeze") for part in parts)
    multiple = any(getattr(part, "step_mode", "s") == "m" for part in parts)
    try:
        if live.repeats or (live.loops and not live.indexed):
            if not image:
                raise Refused("forward repeats an image; allowed: images, not spikes")
            module(x)
        elif squeezed:
            module(series.flatten(0, 1))
        elif live.loops or multiple:
            module(series.transpose(0, 1))
        elif type(module).__name__ == "SequentialState":  # of Norse, which keeps no state
            state = None
            for tick in series.unbind(1):
                _, state = module(tick, state)
        else:
            for tick in series.unbind(1):
                module(tick)
    except Refused:
        raise
    except Exception as error:  # whatever a user's forward() raises
        reason = str(error).partition("\n")[0]
        raise Refused(f"{type(module).__name__}: forward fails: {reason}") from None


def _in_ticks(name: str, calls: list[torch.Tensor], count: int, ticks: int) -> torch.Tensor:
    """(N, T, ...) of one call for all ticks, or of a call for each."""
    if len(calls) == ticks and len(calls[0]) == count:
        return torch.stack(calls, dim=1)
    if len(calls) == 1 and calls[0].shape[:2] == (ticks, count):
        return calls[0].transpose(0, 1)
    if len(calls) == 1 and len(calls[0]) == count * ticks:  # sinabs: one image after the other
        return calls[0].unflatten(0, (count, ticks))
    shape = tuple(calls[0].shape) if calls else None
    text = f"called {len(calls)} times, for {shape}; allowed: {ticks} ticks of {count} images"
    raise Refused(f"node {name}: {text}", name)
