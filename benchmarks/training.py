"""Images a second of training, ours, ours pruned, and SpikingJelly's multi-step mode: python benchmarks/training.py.

Pruned: with the masks of the u-Ticket that ships, whose present weights alone are multiplied on a CPU.

VGG-16 on images of 32x32, T ticks, one batch again and again, SGD, bfloat16 autocast for both; steps
of the two take turns. Needs, beside what `make train` installs: `pip install --no-deps spikingjelly==2.0.0
loguru tqdm`.
On a CPU, images a second are per CPU second of one thread, so that other work hardly matters; on CUDA,
of wall time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import torch
from torch import nn

from sw import networks, norm_fire, sparse_convolution, ticket
from sw.devices import default_device, keep_freed_memory
from sw.masked import MaskedWeights
from sw.model import SpikingNetwork, loss
from sw.norm_fire import TRAINED

PRUNED = Path(__file__).parent.parent / "tickets" / "vgg16_cifar10" / "uticket.npz"


class SpikingJellyVGG(nn.Module):
    """The same network out of SpikingJelly's layers: tau = 4 / 3 leaks like ours, and gains 0.75."""

    def __init__(self, device: str) -> None:
        from spikingjelly.activation_based import functional, layer

        super().__init__()
        first, *rest = networks.vgg16()[:-1]
        self.encode = nn.Sequential(  # once an image, as ours does
            nn.Conv2d(first.own.channels, first.filters, 3, padding=1),
            nn.BatchNorm2d(first.filters),
        )
        modules: list[nn.Module] = [self._neurons()]
        for description in rest:
            channels = description.own.channels, description.filters
            modules += [
                layer.Conv2d(*channels, 3, padding=1),
                layer.BatchNorm2d(description.filters),
                self._neurons(),
            ]
            if description.pool:
                modules.append(layer.MaxPool2d(2, 2))
        self.body = nn.Sequential(*modules, layer.Flatten(), layer.Linear(512, 10))
        functional.set_step_mode(self.body, "m")
        if device == "cuda":
            functional.set_backend(self.body, "cupy")
        self._reset = functional.reset_net

    @staticmethod
    def _neurons() -> nn.Module:
        from spikingjelly.activation_based import neuron, surrogate

        return neuron.LIFNode(
            tau=1 / TRAINED.gain, detach_reset=True, surrogate_function=surrogate.ATan()
        )

    def forward(self, images: torch.Tensor, ticks: int) -> torch.Tensor:
        """Classifier outputs (T, B, classes)."""
        self._reset(self)
        return self.body(self.encode(images).unsqueeze(0).expand(ticks, -1, -1, -1, -1)).float()


def stepper(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor, ticks: int
) -> Callable[[], None]:
    """A training step."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    network.train()

    def step() -> None:
        with torch.autocast(images.device.type, torch.bfloat16):
            outputs = network(images, ticks)
        optimizer.zero_grad(set_to_none=True)
        loss(outputs, labels).backward()
        optimizer.step()
        if images.is_cuda:
            torch.cuda.synchronize()

    return step


@click.command()
@click.option("--device", default=default_device(), show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--ticks", default=4, show_default=True)
@click.option("--steps", default=5, show_default=True)
def main(device: str, batch: int, ticks: int, steps: int) -> None:
    """Print images a second of each, and their ratio."""
    keep_freed_memory()  # for both
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randn(batch, 3, 32, 32, device=device)
    labels = torch.randint(0, 10, (batch,), device=device)
    why_not = norm_fire.can_fuse(torch.device(device))
    print("layers compiled" if why_not is None else f"layers not compiled: {why_not}")
    ours = SpikingNetwork(networks.vgg16(), fused=why_not is None)
    ours = ours.to(device, memory_format=torch.channels_last)
    pruned = SpikingNetwork(networks.vgg16(), fused=why_not is None)
    pruned = pruned.to(device, memory_format=torch.channels_last)
    why_not = sparse_convolution.cannot()
    print("present weights alone" if why_not is None else f"pruned weights as zeros: {why_not}")
    kept = MaskedWeights(pruned, torch.device(device))
    masks = ticket.load(PRUNED).masks
    kept.masks = {name: torch.from_numpy(masks[name]).view_as(kept.masks[name]) for name in masks}
    theirs = SpikingJellyVGG(device).to(device)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    steppers = {
        "ours": stepper(ours, channels_last, labels, ticks),
        "ours, pruned": stepper(pruned, channels_last, labels, ticks),
        "SpikingJelly": stepper(theirs, images, labels, ticks),
    }
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in steppers}
    for number in range(steps + 1):
        for name, step in steppers.items():
            started = clock()
            step()
            if number:  # the first compiles and warms up
                seconds[name].append(clock() - started)
    rates = {name: batch / median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(
            f"{name}: {rates[name]:.2f} images/s, median of {steps} steps "
            f"({min(values):.2f} to {max(values):.2f} s)"
        )
    for name in ("ours", "ours, pruned"):
        print(f"{name}: {rates[name] / rates['SpikingJelly']:.2f} times SpikingJelly")


if __name__ == "__main__":
    main()
