"""Batch norm, neurons and pooling of a layer as one step of training, forwards and backwards.

Between two convolutions a layer only moves memory: statistics, scale, potentials, spikes, pooling. Done
one operation after the other this costs more than the convolutions. Here each direction is two passes
over memory, compiled by `torch.compile` where that works, and the same in plain PyTorch elsewhere.

With y the sums of a convolution, x = gamma (y - mean) / sqrt(var + eps) + beta (+ what a shortcut adds):

    SPIKE   v[t] = factor * left[t-1] + gain * x[t],   s[t] = v[t] >= 1,   left[t] = reset(v[t]) where it
            fired; left[-1], factor, gain and reset are the neuron's (hw/neuron.py; Eq. 1 of the paper is leaky).
            A late reset takes 1 away from v[t] where s[t-1], and leaves left[t] = v[t]
    CLIP    a = min(max(x, 0), 1): the same network without spikes, which teaches the spiking one
    SUM     x itself: a shortcut convolution, whose sums another layer adds

Whether a neuron resets is not differentiated; the step's derivative is the arctan surrogate
1 / (1 + (pi (v - 1))^2). Pooling is the maximum over 2x2 of the output. Its gradient goes to the largest
potential of the four, which is the one that fires first; equal ones all get it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn

from hw.neuron import Neuron, Shift
from sw.schedule import Output

TRAINED = Shift(2)  # leak 0.25, gain 0.75
THRESHOLD = 1.0


@dataclass(frozen=True)
class Fire:
    """How a layer's sums become its output. fused: compiled (`can_fuse` says whether that works)."""

    output: Output = Output.SPIKE
    pool: bool = False
    neuron: Neuron = TRAINED
    fused: bool = False
    drive: float | None = None  # gain of spiking neurons; None: what the neuron's leak leaves of 1

    @property
    def gain(self) -> float:
        """Factor of the current."""
        if self.output is not Output.SPIKE:
            return 1.0
        return self.neuron.gain if self.drive is None else self.drive

    @property
    def first(self) -> float:
        """What the first tick finds of the potential at the start."""
        return self.neuron.factor * THRESHOLD / 2 if self.neuron.start == "half" else 0.0

    @property
    def level(self) -> float:
        """The current at which the first tick fires."""
        return (THRESHOLD - self.first) / self.gain


def norm_fire(
    y: torch.Tensor,
    norm: nn.BatchNorm2d,
    fire: Fire,
    *,
    added: torch.Tensor | None = None,
    price: float = 0.0,
) -> torch.Tensor:
    """The output (T, B, C, H, W) of a layer; with pooling (T, B, C, H / 2, W / 2).

    y: sums of its convolution, (T, B, C, H, W). norm: its parameters; in training mode the statistics of
    the batch are used, over all processes, and its running statistics follow. added: the shortcut's part
    of the current, of y's shape. price: of the mean output, in the loss; only gradients know it.
    """
    inner = y.permute(0, 1, 3, 4, 2)
    if norm.training:
        mean, var = _statistics(inner, norm, fused=fire.fused)
    else:
        mean, var = norm.running_mean, norm.running_var
    if added is not None:
        added = added.permute(0, 1, 3, 4, 2)
    out = _NormFire.apply(
        inner, norm.weight, norm.bias, added, mean, var, norm.eps, norm.training, fire, price
    )
    return out.permute(0, 1, 4, 2, 3)


@torch.no_grad()
def _statistics(
    y: torch.Tensor, norm: nn.BatchNorm2d, *, fused: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance (C,) of y (T, B, H, W, C) over all processes."""
    source = y[:1] if y.stride(0) == 0 else y  # the first layer's sums are those of every tick
    sums = _call(_moments, fused, source.flatten(0, 3))
    count = _everywhere(sums) * source[..., 0].numel()
    mean = sums[0] / count
    var = (sums[1] / count - mean * mean).clamp(min=0)
    norm.num_batches_tracked += 1
    follow = norm.momentum
    norm.running_mean.lerp_(mean, follow)
    norm.running_var.lerp_(var * count / max(count - 1, 1), follow)
    return mean, var


def _everywhere(sums: torch.Tensor) -> int:
    """Add up `sums` over all processes, in place; how many processes there are."""
    if not distributed.is_initialized():
        return 1
    distributed.all_reduce(sums)
    return distributed.get_world_size()


class _NormFire(torch.autograd.Function):
    """Of y (T, B, H, W, C)."""

    @staticmethod
    def forward(ctx, y, gamma, beta, added, mean, var, eps, trained, fire, price):  # noqa: ANN001, ANN205
        y = y.detach()
        inverse = torch.rsqrt(var + eps)
        scale = gamma * inverse * fire.gain
        shift = beta * fire.gain - mean * scale
        out = _call(
            _forward, fire.fused, _blocks(y, fire), _blocks(added, fire), scale, shift, fire
        )
        ctx.save_for_backward(y, added, mean, inverse, scale, shift)
        ctx.trained, ctx.fire = trained, fire
        ctx.price = torch.tensor(price / out.numel(), device=y.device)  # of each output
        ticks, batch, height, width, channels = y.shape
        if fire.pool:
            height, width = height // 2, width // 2
        return out.view(ticks, batch, height, width, channels)

    @staticmethod
    def backward(ctx, grad):  # noqa: ANN001, ANN205
        y, added, mean, inverse, scale, shift = ctx.saved_tensors
        fire = ctx.fire
        blocks = _blocks(y, fire)
        outer = grad.reshape(
            len(y), *([-1, *grad.shape[3:]] if fire.pool else [-1, grad.shape[-1]])
        )
        # of the currents, and its sums over all positions: plain, and times the normalized y
        current, sums = _call(
            _backward,
            fire.fused,
            blocks,
            _blocks(added, fire),
            outer,
            ctx.price,
            scale,
            shift,
            mean,
            inverse,
            fire,
        )
        local = sums.clone()
        if ctx.trained:
            count = _everywhere(sums) * y[..., 0].numel()
            drift = sums / count
        else:
            drift = torch.zeros_like(sums)
        out = _call(_normalized, fire.fused, blocks, current, mean, inverse, scale, drift)
        of_added = None
        if added is not None:
            of_added = (current * fire.gain).view(y.shape)
        parameters = local * fire.gain
        return out.view(y.shape), parameters[1], parameters[0], of_added, *[None] * 6


def _blocks(y: torch.Tensor | None, fire: Fire) -> torch.Tensor | None:
    """Of y (T, B, H, W, C): (T, positions, C), or where it is pooled (T, rows, 2, columns, 2, C)."""
    if y is None:
        return None
    ticks, batch, height, width, channels = y.shape
    if fire.pool:
        return y.reshape(ticks, batch * height // 2, 2, width // 2, 2, channels)
    return y.reshape(ticks, -1, channels)


def _moments(y: torch.Tensor) -> torch.Tensor:
    """Sum and sum of squares of y (positions, C): (2, C), in float32."""
    wide = y.float()
    return torch.stack((wide.sum(0), (wide * wide).sum(0)))


def _potentials(
    y: torch.Tensor,
    added: torch.Tensor | None,
    scale: torch.Tensor,
    shift: torch.Tensor,
    fire: Fire,
) -> list[torch.Tensor]:
    """Of each tick, before reset, in float32."""
    result: list[torch.Tensor] = []
    kept = None
    for t in range(y.shape[0]):
        now = y[t].float() * scale + shift
        if added is not None:
            now = now + added[t].float() * fire.gain
        if fire.output is Output.SPIKE:
            if kept is not None:
                now = now + kept * fire.neuron.factor
                if fire.neuron.reset_to == "late":
                    now = now - fire.neuron.owed(kept, THRESHOLD, THRESHOLD)
            elif fire.neuron.start == "half":
                now = now + fire.first
            kept = torch.where(now >= THRESHOLD, fire.neuron.reset(now, THRESHOLD), now)
        result.append(now)
    return result


def _forward(
    y: torch.Tensor,
    added: torch.Tensor | None,
    scale: torch.Tensor,
    shift: torch.Tensor,
    fire: Fire,
) -> torch.Tensor:
    """The output of blocks y, pooled."""
    result = []
    for v in _potentials(y, added, scale, shift, fire):
        top = v.amax((1, 3)) if fire.pool else v
        if fire.output is Output.SPIKE:
            top = top >= THRESHOLD
        elif fire.output is Output.CLIP:
            top = top.clamp(0, 1)
        result.append(top.to(y.dtype))
    return torch.stack(result)


def _slope(v: torch.Tensor, fire: Fire) -> torch.Tensor:
    """Derivative of the output by the potential."""
    if fire.output is Output.SPIKE:
        distance = (v - THRESHOLD) * torch.pi
        return 1 / (1 + distance * distance)
    if fire.output is Output.CLIP:
        return ((v > 0) & (v < 1)).float()
    return torch.ones_like(v)


def _backward(
    y: torch.Tensor,
    added: torch.Tensor | None,
    grad: torch.Tensor,
    price: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    mean: torch.Tensor,
    inverse: torch.Tensor,
    fire: Fire,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient by gain times the current, of y's shape; its sums (2, C): plain, times normalized y."""
    potentials = _potentials(y, added, scale, shift, fire)
    result: list[torch.Tensor] = []
    carried = None
    for t in reversed(range(len(potentials))):
        v = potentials[t]
        by_output = grad[t].float() + price
        if fire.pool:
            wide = by_output[:, None, :, None, :]
            by_output = torch.where(v == v.amax((1, 3), keepdim=True), wide, torch.zeros_like(wide))
        by_potential = by_output * _slope(v, fire)
        if carried is not None:
            by_potential = by_potential + carried
        if t and fire.output is Output.SPIKE:
            fired = potentials[t - 1] >= THRESHOLD
            slope = torch.where(fired, float(fire.neuron.reset_slope), 1.0)
            carried = by_potential * fire.neuron.factor * slope
        result.append(by_potential.to(y.dtype))
    current = torch.stack(result[::-1])
    flat = current.float().flatten(0, -2)
    normalized = (y.float().flatten(0, -2) - mean) * inverse
    return current, torch.stack((flat.sum(0), (flat * normalized).sum(0)))


def _normalized(
    y: torch.Tensor,
    current: torch.Tensor,
    mean: torch.Tensor,
    inverse: torch.Tensor,
    scale: torch.Tensor,
    drift: torch.Tensor,
) -> torch.Tensor:
    """Gradient by y through the normalization. drift: the means of `current`'s sums, (2, C)."""
    normalized = (y.float() - mean) * inverse
    return ((current.float() - drift[0] - normalized * drift[1]) * scale).to(y.dtype)


@functools.cache
def _compiled(function: Callable) -> Callable:
    # One version serves layers of all sizes; there is one for each number of ticks and kind of output.
    return torch.compile(function, dynamic=True)


def _call(function: Callable, fused: bool, *arguments: Any) -> Any:
    if not fused:
        return function(*arguments)
    with torch._dynamo.config.patch(recompile_limit=128):
        return _compiled(function)(*arguments)


def can_fuse(device: torch.device) -> str | None:
    """Compile both passes for `device`: None, or one line on why that cannot be done there."""
    try:
        norm = nn.BatchNorm2d(4, device=device)
        y = torch.rand(2, 2, 4, 2, 2, device=device, requires_grad=True)
        norm_fire(y, norm, Fire(fused=True)).sum().backward()
    except Exception as error:  # whatever a compiler may raise
        why = getattr(error, "inner_exception", error)
        return f"{type(why).__name__}: {str(why).strip().partition(chr(10))[0]}"
    return None
