"""The neurons of hw/neuron.py in floats, for training (Eq. 1 of the paper has the leaky one).

    v[t] = factor * left[t-1] + gain * x[t],   s[t] = v[t] >= 1,   left[t] = reset(v[t]) where it fired

The reset's choice is not differentiated; the step's derivative is replaced by a surrogate. All ticks
of a layer are one autograd node, so that only the potentials are kept, and one pass over memory where
`torch.compile` fuses them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from hw.neuron import Neuron, Shift

TRAINED = Shift(2)  # leak 0.25, gain 0.75
THRESHOLD = 1.0


def _forward(current: torch.Tensor, neuron: Neuron, spikes: torch.Tensor, v: torch.Tensor) -> None:
    """Fill `spikes` and the potentials `v` before reset, all (T, neurons); sums are in float32."""
    kept = torch.zeros_like(current[0], dtype=torch.float32)
    for t in range(current.shape[0]):
        now = kept * neuron.factor + current[t].float() * neuron.gain
        fires = now >= THRESHOLD
        v[t] = now
        spikes[t] = fires
        kept = torch.where(fires, neuron.reset(now, THRESHOLD), now)


def _backward(v: torch.Tensor, neuron: Neuron, grad: torch.Tensor, out: torch.Tensor) -> None:
    """Fill `out`, the gradient of the currents, from `grad`, that of the spikes, all (T, neurons)."""
    carried = torch.zeros_like(v[0], dtype=torch.float32)
    for t in reversed(range(v.shape[0])):
        # arctan surrogate, alpha = 2: d s / d v = 1 / (1 + (pi (v - 1))^2)
        distance = (v[t].float() - THRESHOLD) * torch.pi
        grad_v = grad[t].float() / (1 + distance * distance) + carried
        out[t] = grad_v * neuron.gain
        if t:
            slope = torch.where(v[t - 1] < THRESHOLD, 1.0, float(neuron.reset_slope))
            carried = grad_v * neuron.factor * slope


@functools.cache
def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    # One version for each number of ticks serves layers of all sizes.
    return torch.compile(function, dynamic=True)


class _LIF(torch.autograd.Function):
    """Of currents (T, neurons)."""

    @staticmethod
    def forward(ctx, current: torch.Tensor, neuron: Neuron, fused: bool) -> torch.Tensor:  # noqa: ANN001
        spikes, v = (torch.empty_like(current, memory_format=torch.contiguous_format) for _ in "sv")
        (_compiled(_forward) if fused else _forward)(current.detach(), neuron, spikes, v)
        ctx.save_for_backward(v)
        ctx.neuron, ctx.fused = neuron, fused
        return spikes

    @staticmethod
    def backward(ctx, grad: torch.Tensor):  # noqa: ANN001, ANN205
        (v,) = ctx.saved_tensors
        out = torch.empty_like(v)
        (_compiled(_backward) if ctx.fused else _backward)(v, ctx.neuron, grad, out)
        return out, None, None


def lif(current: torch.Tensor, neuron: Neuron = TRAINED, *, fused: bool = False) -> torch.Tensor:
    """Spikes (T, B, ...) of neurons driven by `current` of the same shape, v = 0 before tick 0.

    fused: compiled into one pass over all ticks (see `can_fuse`).
    """
    if current.ndim != 5:
        return _LIF.apply(current.flatten(1), neuron, fused).view_as(current)
    inner = current.permute(0, 1, 3, 4, 2)  # channels last, as convolutions leave them
    spikes = _LIF.apply(inner.reshape(len(current), -1), neuron, fused)
    return spikes.view(inner.shape).permute(0, 1, 4, 2, 3)


def can_fuse(device: torch.device) -> str | None:
    """Compile both passes for `device`: None, or one line on why that cannot be done there."""
    try:
        current = torch.rand(2, 64, device=device, requires_grad=True)
        lif(current, fused=True).sum().backward()
    except Exception as error:  # whatever a compiler may raise
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return None
