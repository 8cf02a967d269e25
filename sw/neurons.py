"""Leaky integrate-and-fire neurons for training (Eq. 1 of the paper, with the input gain folded out).

    v[t] = leak * v[t-1] * (1 - s[t-1]) + (1 - leak) * x[t],   s[t] = v[t] >= 1

The reset to zero is not differentiated; the step's derivative is replaced by a surrogate.
"""

from __future__ import annotations

import torch

LEAK = 0.25
THRESHOLD = 1.0


class _LIF(torch.autograd.Function):
    """All ticks of a layer in one autograd node, so that only the potentials are kept."""

    @staticmethod
    def forward(ctx, current: torch.Tensor, leak: float) -> torch.Tensor:  # noqa: ANN001
        potentials = torch.empty_like(current)
        v = torch.zeros_like(current[0])
        for t in range(current.shape[0]):
            v = torch.mul(v, leak).add_(current[t], alpha=1 - leak)
            potentials[t] = v
            v = v * (v < THRESHOLD)
        ctx.save_for_backward(potentials)
        ctx.leak = leak
        return (potentials >= THRESHOLD).to(current.dtype)

    @staticmethod
    def backward(ctx, grad_spikes: torch.Tensor):  # noqa: ANN001, ANN205
        (potentials,) = ctx.saved_tensors
        grad_current = torch.empty_like(grad_spikes)
        carried = torch.zeros_like(grad_spikes[0])
        for t in reversed(range(grad_spikes.shape[0])):
            v = potentials[t]
            # arctan surrogate, alpha = 2: d s / d v = 1 / (1 + (pi (v - 1))^2)
            slope = torch.reciprocal((v - THRESHOLD).mul_(torch.pi).square_().add_(1))
            grad_v = slope.mul_(grad_spikes[t]).add_(carried)
            grad_current[t] = grad_v * (1 - ctx.leak)
            if t:
                carried = grad_v.mul_(ctx.leak).mul_(potentials[t - 1] < THRESHOLD)
        return grad_current, None


def lif(current: torch.Tensor, leak: float = LEAK) -> torch.Tensor:
    """Spikes (T, B, ...) of LIF neurons driven by `current` of the same shape, v = 0 before tick 0."""
    return _LIF.apply(current, leak)
