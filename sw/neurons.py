"""Leaky integrate-and-fire neurons for training (Eq. 1 of the paper, with the input gain folded out).

    v[t] = leak * v[t-1] * (1 - s[t-1]) + (1 - leak) * x[t],   s[t] = v[t] >= 1

The reset to zero is not differentiated; the step's derivative is replaced by a surrogate. All ticks
of a layer are one autograd node, so that only the potentials are kept, and one pass over memory where
`torch.compile` fuses them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

LEAK = 0.25
THRESHOLD = 1.0


def _forward(current: torch.Tensor, leak: float, spikes: torch.Tensor, v: torch.Tensor) -> None:
    """Fill `spikes` and the potentials `v` before reset, all (T, neurons); sums are in float32."""
    kept = torch.zeros_like(current[0], dtype=torch.float32)
    for t in range(current.shape[0]):
        now = kept * leak + current[t].float() * (1 - leak)
        v[t] = now
        spikes[t] = now >= THRESHOLD
        kept = now * (now < THRESHOLD)


def _backward(v: torch.Tensor, leak: float, grad: torch.Tensor, out: torch.Tensor) -> None:
    """Fill `out`, the gradient of the currents, from `grad`, that of the spikes, all (T, neurons)."""
    carried = torch.zeros_like(v[0], dtype=torch.float32)
    for t in reversed(range(v.shape[0])):
        # arctan surrogate, alpha = 2: d s / d v = 1 / (1 + (pi (v - 1))^2)
        distance = (v[t].float() - THRESHOLD) * torch.pi
        grad_v = grad[t].float() / (1 + distance * distance) + carried
        out[t] = grad_v * (1 - leak)
        if t:
            carried = grad_v * leak * (v[t - 1] < THRESHOLD)


@functools.cache
def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    # One version for each number of ticks serves layers of all sizes.
    return torch.compile(function, dynamic=True)


class _LIF(torch.autograd.Function):
    """Of currents (T, neurons)."""

    @staticmethod
    def forward(ctx, current: torch.Tensor, leak: float, fused: bool) -> torch.Tensor:  # noqa: ANN001
        spikes, v = (torch.empty_like(current, memory_format=torch.contiguous_format) for _ in "sv")
        (_compiled(_forward) if fused else _forward)(current.detach(), leak, spikes, v)
        ctx.save_for_backward(v)
        ctx.leak, ctx.fused = leak, fused
        return spikes

    @staticmethod
    def backward(ctx, grad: torch.Tensor):  # noqa: ANN001, ANN205
        (v,) = ctx.saved_tensors
        out = torch.empty_like(v)
        (_compiled(_backward) if ctx.fused else _backward)(v, ctx.leak, grad, out)
        return out, None, None


def lif(current: torch.Tensor, leak: float = LEAK, *, fused: bool = False) -> torch.Tensor:
    """Spikes (T, B, ...) of LIF neurons driven by `current` of the same shape, v = 0 before tick 0.

    fused: compiled into one pass over all ticks (see `can_fuse`).
    """
    if current.ndim != 5:
        return _LIF.apply(current.flatten(1), leak, fused).view_as(current)
    inner = current.permute(0, 1, 3, 4, 2)  # channels last, as convolutions leave them
    spikes = _LIF.apply(inner.reshape(len(current), -1), leak, fused)
    return spikes.view(inner.shape).permute(0, 1, 4, 2, 3)


def can_fuse(device: torch.device) -> str | None:
    """Compile both passes for `device`: None, or one line on why that cannot be done there."""
    try:
        current = torch.rand(2, 64, device=device, requires_grad=True)
        lif(current, fused=True).sum().backward()
    except Exception as error:  # whatever a compiler may raise
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return None
