"""What a pruning does to the network in training: masks by rank, balanced, and weights to go on with."""

from __future__ import annotations

import copy

import numpy as np
import torch

from sw import balance, checkpoint
from sw.masked import MaskedWeights
from sw.model import SpikingNetwork
from sw.prune import Masks, global_magnitude, layer_adaptive
from sw.schedule import Rank, Schedule


class Pruner:
    """Prunes and balances a network; rewinds it afterwards where the schedule says so."""

    def __init__(
        self,
        network: SpikingNetwork,
        kept: MaskedWeights,
        schedule: Schedule,
        *,
        policy: str,
        n_pe: int,
        seed: int,
    ) -> None:
        """policy: of `balance.POLICIES`, applied after each pruning to groups of `n_pe` filters."""
        self.network, self.kept, self.schedule = network, kept, schedule
        self.policy, self.n_pe, self.seed = policy, n_pe, seed
        self.rewind_state: dict | None = None
        """The network that prunings go back to, on the CPU; part of the checkpoint."""

    def reached(self, images: int) -> None:
        """Keeps the state to rewind to, at its image of the first round."""
        at = self.schedule.rewind_images
        if self.rewind_state is None and at is not None and images >= at:
            state = copy.deepcopy(self.network.state_dict())
            self.rewind_state = checkpoint.on_cpu(state)

    def prune(self, keep: float, number: tuple[int, int]) -> None:
        """Prune, balance, then rewind or go on; the balanced mask is the one training goes on with.

        keep: fraction of all parameters. number: of the round, and of the pruning in it.
        Raises ValueError where the state to rewind to was never reached.
        """
        values = {n: w.numpy() for n, w in self.kept.last_alive.items()}
        masks = self.balanced(self.chosen(keep), values, number)
        self.kept.masks = {n: torch.from_numpy(m) for n, m in masks.items()}
        if self.schedule.rewind_images is None:
            self.kept.bring_back()
            return
        if self.rewind_state is None:
            raise ValueError("the schedule rewinds to a point that its first round never reaches")
        self.network.load_state_dict(self.rewind_state)

    def chosen(self, keep: float) -> Masks:
        """The largest weights of the present ones, as the schedule ranks them."""
        values = {n: w.numpy() for n, w in self.kept.last_alive.items()}
        masks = {n: m.numpy() for n, m in self.kept.masks.items()}
        if self.schedule.rank is Rank.LAYER:
            values = layer_adaptive(values, masks)
        return global_magnitude(values, masks, keep=keep, floor=self.schedule.floor)

    def balanced(self, masks: Masks, values: Masks, number: tuple[int, int]) -> Masks:
        """Pruned masks, balanced. values: the weights, each as it was when last in its mask."""
        rng = np.random.default_rng([self.seed, *number])
        return {
            name: balance.balance(
                mask,
                n_pe=self.n_pe,
                policy=self.policy,
                rng=rng,
                weights=values[name],
                score=values[name],
            )
            for name, mask in masks.items()
        }
