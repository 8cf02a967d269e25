"""The optimizer of a round: SGD, for convolutions with orthogonalized steps (Muon) where a round says so.

A step of Muon moves a convolution's weights, taken as a matrix of a row for each filter, by the
orthogonal matrix nearest to the momentum: all its singular values are 1, so that what few images agree
on counts as much as what all do. Batch norm follows, so that a weight matrix has no scale of its own:
it is kept at the norm sqrt(filters), and the learning rate is a step's share of it.
Source: K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks" (2024), and its
recipe for CIFAR-10. `torch.optim.Muon` takes matrices alone.
"""

from __future__ import annotations

import torch

from sw.model import SpikingNetwork
from sw.schedule import Round, Schedule

ITERATIONS = 3  # of Newton and Schulz
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of x, x^3, x^5: fast towards 1, not exactly 1
MOMENTUM = 0.95  # of orthogonalized steps


def orthogonalized(matrix: torch.Tensor) -> torch.Tensor:
    """About the orthogonal matrix nearest to `matrix` (rows, columns), in bfloat16, of its shape."""
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    one, three, five = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = one * x + (three * square + five * square @ square) @ x
    return x.T if tall else x


class Muon(torch.optim.SGD):
    """SGD whose groups with `orthogonal` take orthogonalized steps, and keep their weights' norms."""

    @torch.no_grad()
    def step(self) -> None:
        """One step of every parameter that has a gradient."""
        orthogonal = [g for g in self.param_groups if g["orthogonal"]]
        for group in orthogonal:
            for weights in group["params"]:
                if weights.grad is not None:
                    self._move(weights, group["lr"])
        moved = [(w, w.grad) for g in orthogonal for w in g["params"]]
        for weights, _ in moved:
            weights.grad = None  # so that SGD leaves them
        super().step()
        for weights, gradient in moved:
            weights.grad = gradient

    def _move(self, weights: torch.Tensor, rate: float) -> None:
        state = self.state[weights]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = torch.zeros_like(weights)
        momentum = state["momentum_buffer"].mul_(MOMENTUM).add_(weights.grad)
        ahead = weights.grad.add(momentum, alpha=MOMENTUM)  # Nesterov
        rows = ahead.movedim(1, -1)  # as they lie in memory; the order of columns means nothing
        step = orthogonalized(rows.flatten(1)).to(weights.dtype).view_as(rows).movedim(-1, 1)
        weights.mul_(len(weights) ** 0.5 / weights.norm()).add_(step, alpha=-rate)


def new(network: SpikingNetwork, schedule: Schedule, current: Round) -> torch.optim.Optimizer:
    """The optimizer that a round starts with. Its groups' `share` is that of the round's learning rate.

    Weights decay, norms and biases do not. With `Round.orthogonal` the convolutions that the array runs
    take orthogonalized steps.
    """
    first, last = (network.weights[layer.name] for layer in (network.layers[0], network.layers[-1]))
    own = {id(p): schedule.classifier_rate for p in last.parameters()}
    groups: dict[tuple, list] = {}
    for parameter in network.parameters():
        orthogonal = (
            current.orthogonal > 0 and parameter.ndim == 4 and parameter is not first.weight
        )
        share = current.orthogonal / current.learning_rate if orthogonal else 1.0
        decay = schedule.weight_decay if parameter.ndim > 1 else 0.0
        key = (decay, own.get(id(parameter), share), orthogonal)
        groups.setdefault(key, []).append(parameter)
    described = [
        {"params": parameters, "weight_decay": decay, "share": share, "orthogonal": orthogonal}
        for (decay, share, orthogonal), parameters in groups.items()
    ]
    if current.optimizer == "adamw":
        return torch.optim.AdamW(described, lr=1e-3, fused=True)
    return Muon(described, lr=0.1, momentum=schedule.momentum, nesterov=True, fused=True)
