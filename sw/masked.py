"""The weights of a network that is pruned while it trains: which are present, and what the others were."""

from __future__ import annotations

import torch

from sw.convolution import Convolution
from sw.model import SpikingNetwork


class MaskedWeights:
    """Masks of all prunable weights, and the last value of each weight while it was in its mask."""

    def __init__(self, network: SpikingNetwork, device: torch.device) -> None:
        self.network, self.device = network, device
        weights = {n: w.detach().cpu() for n, w in network.prunable.items()}
        self.masks = {n: torch.ones_like(w).bool() for n, w in weights.items()}
        self.last_alive = {n: w.clone() for n, w in weights.items()}

    @property
    def masks(self) -> dict[str, torch.Tensor]:
        """Boolean, by source, on the CPU; setting them moves copies to the device."""
        return self._masks

    @masks.setter
    def masks(self, masks: dict[str, torch.Tensor]) -> None:
        self._masks = masks
        weights = self.network.prunable  # whose order in memory the copies follow
        self.on_device = {
            n: torch.empty_like(weights[n], dtype=torch.bool).copy_(m) for n, m in masks.items()
        }
        for name, mask in masks.items():
            if isinstance(module := self.network.weights[name], Convolution):
                module.keep_only(mask)

    @torch.no_grad()
    def remember(self) -> None:
        """Keep the values of the weights in their masks, for those that balancing brings back."""
        for name, w in self.network.prunable.items():
            self.last_alive[name] = torch.where(
                self.masks[name], w.detach().cpu(), self.last_alive[name]
            )

    @torch.no_grad()
    def bring_back(self) -> None:
        """Every weight goes on where it was when last in its mask."""
        for name, w in self.network.prunable.items():
            w.copy_(self.last_alive[name])

    @torch.no_grad()
    def clear(self, optimizer: torch.optim.Optimizer) -> None:
        """Zero the weights outside their masks, and what the optimizer remembers of them."""
        for name, w in self.network.prunable.items():
            mask = self.on_device[name]
            w.mul_(mask)
            for value in optimizer.state.get(w, {}).values():
                if isinstance(value, torch.Tensor) and value.shape == w.shape:
                    value.mul_(mask)

    @torch.no_grad()
    def clear_gradients(self) -> None:
        """Zero the gradients of the weights outside their masks, so that a step leaves them at zero."""
        for name, w in self.network.prunable.items():
            w.grad.mul_(self.on_device[name])
