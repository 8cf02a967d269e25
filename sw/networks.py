"""The networks that we train, by name: layers for images of 32x32 (sw/layers.py).

The first layer sees the float image (direct encoding) and runs in software; every later one runs on
the PE array.
"""

from __future__ import annotations

from collections.abc import Callable

from sw.datasets import SIDE, STATISTICS
from sw.layers import (
    IMAGE,
    Encoding,
    Input,
    Layer,
    Pool,
    Reduce,
    Source,
    conv,
    identity,
    linear,
)


def vgg16(classes: int = 10, in_channels: int = 3) -> tuple[Layer, ...]:
    """VGG-16 for 32x32 images: 13 convolutions with batch norm, one classifier 512 -> classes."""
    layers: list[Layer] = []
    channels, previous = in_channels, IMAGE
    stages = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for width, depth in stages:
        for i in range(depth):
            name = f"conv{len(layers) + 1}"
            pool = Pool.MAX2 if i == depth - 1 else None
            layers.append(conv(name, (channels, width), previous, pool=pool))
            channels, previous = width, name
    layers.append(linear("fc", (channels, classes), previous))
    return tuple(layers)


def resnet19(classes: int = 10, in_channels: int = 3) -> tuple[Layer, ...]:
    """ResNet-19 for 32x32 images (Zheng et al. 2021), as the paper's authors have it.

    A stem of 64 channels; stages of 3, 3 and 2 blocks of two convolutions with 128, 256 and 512
    channels, each stage starting with stride 2 and a 1x1 shortcut; average pool, 512 -> 256, 256 ->
    classes. The average pool is the 512 -> 256 layer's: sums over the 4x4 map, weights / 16. Unlike
    theirs, that layer has batch norm: averages are small, and without it its neurons hardly fire.
    """
    layers = [conv("conv1", (in_channels, 64), IMAGE)]
    number, channels, before = 1, 64, "conv1"
    for width, depth in ((128, 3), (256, 3), (512, 2)):
        for block in range(depth):
            first, second = f"conv{number + 1}", f"conv{number + 2}"
            stride = 2 if block == 0 else 1
            layers.append(conv(first, (channels, width), before, stride=stride))
            shortcut = identity(f"{second}_identity", before, width)
            if block == 0:
                shortcut = Source(
                    name=f"{second}_shortcut",
                    map=before,
                    channels=channels,
                    kernel=(1, 1),
                    stride=stride,
                )
            layers.append(conv(second, (width, width), first, more=(shortcut,)))
            number, channels, before = number + 2, width, second
    layers.append(conv("fc1", (channels, 256), before, kernel=1, reduce=Reduce.MEAN))
    layers.append(linear("fc2", (256, classes), "fc1"))
    return tuple(layers)


NETWORKS: dict[str, Callable[..., tuple[Layer, ...]]] = {"vgg16": vgg16, "resnet19": resnet19}


def build(network: str, *, classes: int = 10, in_channels: int = 3) -> tuple[Layer, ...]:
    """The layers of a named network. Raises ValueError for an unknown name, listing the known."""
    if network not in NETWORKS:
        raise ValueError(f"unknown network {network!r}; known: {', '.join(sorted(NETWORKS))}")
    return NETWORKS[network](classes=classes, in_channels=in_channels)


def images(dataset: str) -> Input:
    """What a network sees of a data set: images of 32x32, normalized by its statistics."""
    mean, std = STATISTICS[dataset]
    return Input(shape=(len(mean), SIDE, SIDE), encoding=Encoding.IMAGE, mean=mean, std=std)
