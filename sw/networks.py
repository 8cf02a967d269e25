"""Descriptions of the networks, as plain data: what PyTorch trains and what the array runs.

A network is a tuple of `Layer` in execution order. The first layer sees the float image (direct
encoding) and runs in software; every later one runs on the PE array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One weight layer followed by its LIF neurons (the classifier has none).

    `pool` is applied to the output spikes: "max2" (2x2, stride 2), "avg" (whole map) or None.
    `input` and `shortcut_input` name earlier layers; "image" is the network's input.
    `shortcut` adds a second source before the LIF: "identity", "conv" (1x1) or None.
    """

    name: str
    kind: str  # "conv" or "linear"
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    pool: str | None = None
    input: str
    shortcut: str | None = None
    shortcut_input: str | None = None

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(K, C, kh, kw) of a convolution, (K, C) of a linear layer."""
        if self.kind == "linear":
            return (self.out_channels, self.in_channels)
        return (self.out_channels, self.in_channels, self.kernel, self.kernel)

    def output_side(self, input_side: int) -> int:
        """Side of the map of neurons, before pooling, for a square input of `input_side`."""
        return (input_side + 2 * self.padding - self.kernel) // self.stride + 1

    def pooled_side(self, input_side: int) -> int:
        """Side of the map handed to the next layer."""
        side = self.output_side(input_side)
        return {None: side, "max2": side // 2, "avg": 1}[self.pool]

    def to_dict(self) -> dict:
        """The fields that `uticket unpack` lists for anyone to rebuild the network."""
        return asdict(self)


def vgg16(classes: int = 10, in_channels: int = 3) -> tuple[Layer, ...]:
    """VGG-16 for 32x32 images: 13 convolutions with batch norm, one classifier 512 -> classes."""
    layers: list[Layer] = []
    channels, previous = in_channels, "image"
    stages = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for width, depth in stages:
        for i in range(depth):
            name = f"conv{len(layers) + 1}"
            layers.append(
                Layer(
                    name=name,
                    kind="conv",
                    in_channels=channels,
                    out_channels=width,
                    kernel=3,
                    padding=1,
                    pool="max2" if i == depth - 1 else None,
                    input=previous,
                )
            )
            channels, previous = width, name
    layers.append(
        Layer(
            name="fc",
            kind="linear",
            in_channels=channels,
            out_channels=classes,
            kernel=1,
            input=previous,
        )
    )
    return tuple(layers)


NETWORKS: dict[str, Callable[..., tuple[Layer, ...]]] = {"vgg16": vgg16}


def build(network: str, *, classes: int = 10, in_channels: int = 3) -> tuple[Layer, ...]:
    """The layers of a named network. Raises ValueError for an unknown name, listing the known."""
    if network not in NETWORKS:
        raise ValueError(f"unknown network {network!r}; known: {', '.join(sorted(NETWORKS))}")
    return NETWORKS[network](classes=classes, in_channels=in_channels)
