"""Descriptions of the networks, as plain data: what PyTorch trains and what the array runs.

A network is a tuple of `Layer` in execution order. The first layer sees the float image (direct
encoding) and runs in software; every later one runs on the PE array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One weight layer followed by its LIF neurons; the classifier and shortcut convolutions have none.

    `pool`: "max2" pools the output spikes (2x2, stride 2); "avg" averages the layer's sums over the
    whole map before its neurons, so that one neuron a filter is left; or None.
    `input` and `shortcut_input` name earlier layers; "image" is the network's input.
    `shortcut` says what is added before the neurons: "identity", the spikes of `shortcut_input`;
    "conv", the sums of the layer `shortcut_input`, a 1x1 convolution of its own; or None.
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


def resnet19(classes: int = 10, in_channels: int = 3) -> tuple[Layer, ...]:
    """ResNet-19 for 32x32 images (Zheng et al. 2021), as the paper's authors have it.

    A stem of 64 channels; stages of 3, 3 and 2 blocks of two convolutions with 128, 256 and 512
    channels, each stage starting with stride 2 and a 1x1 shortcut; average pool, 512 -> 256, 256 ->
    classes. The average pool is the 512 -> 256 layer's: sums over the 4x4 map, weights / 16. Unlike
    theirs, that layer has batch norm: averages are small, and without it its neurons hardly fire.
    """
    layers = [
        Layer(
            name="conv1",
            kind="conv",
            in_channels=in_channels,
            out_channels=64,
            kernel=3,
            padding=1,
            input="image",
        )
    ]
    number, channels, block_input = 1, 64, "conv1"
    for width, depth in ((128, 3), (256, 3), (512, 2)):
        for block in range(depth):
            first, second = f"conv{number + 1}", f"conv{number + 2}"
            stride = 2 if block == 0 else 1
            layers.append(
                Layer(
                    name=first,
                    kind="conv",
                    in_channels=channels,
                    out_channels=width,
                    kernel=3,
                    stride=stride,
                    padding=1,
                    input=block_input,
                )
            )
            shortcut = block_input
            if block == 0:
                shortcut = f"{second}_shortcut"
                layers.append(
                    Layer(
                        name=shortcut,
                        kind="conv",
                        in_channels=channels,
                        out_channels=width,
                        kernel=1,
                        stride=stride,
                        input=block_input,
                    )
                )
            layers.append(
                Layer(
                    name=second,
                    kind="conv",
                    in_channels=width,
                    out_channels=width,
                    kernel=3,
                    padding=1,
                    input=first,
                    shortcut="conv" if block == 0 else "identity",
                    shortcut_input=shortcut,
                )
            )
            number, channels, block_input = number + 2, width, second
    layers.append(
        Layer(
            name="fc1",
            kind="conv",
            in_channels=channels,
            out_channels=256,
            kernel=1,
            pool="avg",
            input=block_input,
        )
    )
    layers.append(
        Layer(
            name="fc2", kind="linear", in_channels=256, out_channels=classes, kernel=1, input="fc1"
        )
    )
    return tuple(layers)


def shortcut_convolutions(layers: Iterable[Layer]) -> dict[str, Layer]:
    """Layers whose sums another layer adds before its neurons: name -> that other layer."""
    return {
        layer.shortcut_input: layer
        for layer in layers
        if layer.shortcut == "conv" and layer.shortcut_input is not None
    }


def sides(layers: Iterable[Layer], image_side: int) -> dict[str, int]:
    """Side of the map that each layer hands on, pooled or averaged; of "image" too."""
    result = {"image": image_side}
    for layer in layers:
        result[layer.name] = layer.pooled_side(result[layer.input])
    return result


NETWORKS: dict[str, Callable[..., tuple[Layer, ...]]] = {"vgg16": vgg16, "resnet19": resnet19}


def build(network: str, *, classes: int = 10, in_channels: int = 3) -> tuple[Layer, ...]:
    """The layers of a named network. Raises ValueError for an unknown name, listing the known."""
    if network not in NETWORKS:
        raise ValueError(f"unknown network {network!r}; known: {', '.join(sorted(NETWORKS))}")
    return NETWORKS[network](classes=classes, in_channels=in_channels)
