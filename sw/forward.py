"""How a round of training runs the network: its images, its precision, the weights that it sees."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from sw.augment import Batches
from sw.convolution import Convolution
from sw.fake_quantize import quantized
from sw.masked import MaskedWeights
from sw.model import SpikingNetwork, input_sparsity, loss, predict
from sw.schedule import Round, Schedule

PART = 250  # images at a time, where nothing is learned


@dataclass(frozen=True)
class Forward:
    """The network, and what decides what it computes in a round."""

    network: SpikingNetwork
    kept: MaskedWeights
    batches: Batches
    schedule: Schedule
    device: torch.device

    def mixed_precision(self) -> torch.autocast:
        """The context of forward passes."""
        enabled = self.schedule.mixed_precision
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    @contextmanager
    def as_loaded(self, current: Round) -> Iterator[None]:
        """Inside, the weights are those that the hardware loads, in rounds trained for that."""
        if not self.schedule.quantizes(current):
            yield
            return
        bits = self.schedule.weight_bits
        with quantized(self.network, self.kept.on_device, weight_bits=bits):
            yield

    def _prepared(self, images: np.ndarray, current: Round) -> torch.Tensor:
        channels = torch.from_numpy(images).flatten(1, -3)
        return self.batches.normalized(channels.to(self.device), current.side)

    @torch.no_grad()
    def accuracy(self, images: np.ndarray, labels: np.ndarray, current: Round) -> float:
        """Fraction of uint8 images (N, C, H, W), or frames, classified right, at a round's ticks and side."""
        self.network.eval()
        right = 0
        with self.as_loaded(current):
            for start in range(0, len(images), PART):
                prepared = self._prepared(images[start : start + PART], current)
                with self.mixed_precision():
                    outputs = self.network(prepared, current.ticks, current.output)
                chosen = predict(outputs).cpu().numpy()
                right += int((chosen == labels[start : start + PART]).sum())
        return right / len(images)

    @torch.no_grad()
    def answers(self, current: Round) -> torch.Tensor:
        """Outputs (N, sides, classes) for all training images, unmoved, summed over a round's ticks.

        sides: 2 with their mirror images, where the schedule shows those; else 1.
        """
        self.network.eval()
        result = []
        for images in self.batches.images.permute(0, 3, 1, 2).split(PART):
            sides = (images, images.flip(3)) if self.batches.mirror else (images,)
            with self.mixed_precision():
                outputs = [
                    self.network(
                        self.batches.normalized(side, current.side), current.ticks, current.output
                    )
                    for side in sides
                ]
            result.append(torch.stack([output.sum(0) for output in outputs], 1))
        return torch.cat(result)

    def input_sparsity(self, images: np.ndarray, current: Round) -> dict[str, float]:
        """Share of zeros in each array layer's input, for uint8 images or frames."""
        prepared = self._prepared(images, current)
        with self.as_loaded(current), self.mixed_precision():
            return input_sparsity(self.network, prepared, current.ticks, current.output)

    def seconds_an_image(self, current: Round) -> float:
        """Of training in a round, measured on copies: neither the network nor the run is changed.

        A round that prunes is measured with the weights that it leaves, at random places.
        """
        network = copy.deepcopy(self.network).train()
        draw = torch.Generator()
        if current.keep < 1:
            for name, weights in network.prunable.items():
                if isinstance(module := network.weights[name], Convolution):
                    module.keep_only(torch.rand(weights.shape, generator=draw) < current.keep)
        batch = self.schedule.batch_of(current)
        images, labels = self.batches.picked(*self.batches.drawn(0, batch))
        for _ in range(2):  # the first compiles and warms up
            started = time.perf_counter()
            prepared = self.batches.normalized(images, current.side)
            with self.mixed_precision():
                outputs = network(prepared, current.ticks, current.output)
            loss(outputs, labels).backward()
        return (time.perf_counter() - started) / batch

    def operations_an_image(self, current: Round) -> int:
        """Floating-point operations of training in a round, as PyTorch counts those of convolutions and products.

        A multiplication and an addition are two. Pruned weights count, as if they were multiplied.
        """
        seen = self.batches.normalized(self.batches.images[:2].permute(0, 3, 1, 2), current.side)
        with torch.device("meta"):  # shapes alone
            network = SpikingNetwork(self.network.layers, frames=self.network.frames)
            images, labels = torch.empty(seen.shape), torch.empty(2, dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            loss(network(images, current.ticks, current.output), labels).backward()
        return counter.get_total_flops() // 2
