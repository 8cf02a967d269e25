"""Single PyTorch modules as plain operations: those of torch.nn, and of SpikingJelly, which has the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sw.importers.graph import (
    BatchNorm,
    Choice,
    Conv,
    Flatten,
    Ignored,
    Linear,
    Operation,
    Options,
    Pooling,
    Scale,
    finite,
    refuse,
)
from sw.importers.torch_neurons import NEURONS

Made = tuple[Operation, tuple[Choice, ...]]


def numbers(tensor: Any) -> np.ndarray | None:
    """A tensor's values, or None."""
    return None if tensor is None else tensor.detach().cpu().double().numpy()


def pair(value: Any) -> tuple[int, int]:
    """(down, across)."""
    down, across = value if isinstance(value, tuple | list) else (value, value)
    return int(down), int(across)


def weight(module: Any) -> np.ndarray | None:
    """float32 as trained; where torch.nn.utils.prune has been, its mask is applied."""
    tensor = module.weight
    if hasattr(module, "weight_orig"):
        tensor = module.weight_orig * module.weight_mask
    found = numbers(tensor)
    return None if found is None else found.astype(np.float32)


def convolution(name: str, module: Any) -> Conv:
    """Conv2d."""
    if module.padding_mode != "zeros":
        refuse(name, f"padding_mode = {module.padding_mode!r}; allowed: 'zeros'")
    own, bias = weight(module), numbers(module.bias)
    finite(name, weight=own, bias=bias)
    padding, dilation = module.padding, pair(module.dilation)
    if isinstance(padding, str):
        spans = [d * (k - 1) for d, k in zip(dilation, module.kernel_size, strict=True)]
        if padding == "same" and any(span % 2 for span in spans):
            refuse(name, "padding 'same' with an even kernel; allowed: numbers")
        padding = (0, 0) if padding == "valid" else tuple(span // 2 for span in spans)
    assert own is not None  # noqa: S101 - a Conv2d has weights
    return Conv(own, bias, pair(module.stride), pair(padding), dilation, module.groups)


def linear(name: str, module: Any) -> Linear:
    """Linear."""
    own, bias = weight(module), numbers(module.bias)
    finite(name, weight=own, bias=bias)
    assert own is not None  # noqa: S101 - a Linear has weights
    return Linear(own, bias)


def batch_norm(name: str, module: Any) -> BatchNorm:
    """BatchNorm2d and BatchNorm1d, as after training."""
    mean, var = numbers(module.running_mean), numbers(module.running_var)
    if mean is None or var is None:
        refuse(name, "no running statistics; allowed: track_running_stats=True")
    scale, bias = numbers(module.weight), numbers(module.bias)
    scale = np.ones_like(mean) if scale is None else scale
    bias = np.zeros_like(mean) if bias is None else bias
    finite(name, weight=scale, bias=bias, running_mean=mean, running_var=var)
    return BatchNorm(scale, bias, mean, var, float(module.eps))


def pooling(kind: str) -> Callable[[str, Any], Pooling]:
    """MaxPool2d and AvgPool2d, and SumPool2d of sinabs, which pads nothing."""

    def make(name: str, module: Any) -> Pooling:
        if module.ceil_mode:
            refuse(name, "ceil_mode = True; allowed: False")
        if getattr(module, "divisor_override", None) is not None:
            refuse(name, f"divisor_override = {module.divisor_override}; allowed: None")
        if pair(getattr(module, "dilation", 1)) != (1, 1):
            refuse(name, f"dilation = {module.dilation}; allowed: 1")
        kernel = pair(module.kernel_size)
        stride = kernel if module.stride is None else pair(module.stride)
        return Pooling(kind, kernel, stride, pair(getattr(module, "padding", 0)))

    return make


def adaptive(name: str, module: Any) -> Pooling:
    """AdaptiveAvgPool2d(1)."""
    if module.output_size not in (1, (1, 1), [1, 1]):
        refuse(name, f"output_size = {module.output_size}; allowed: 1")
    return Pooling("mean", None)


def flatten(name: str, module: Any) -> Flatten:
    """Of everything after the batch."""
    if module.start_dim not in (1, 2) or module.end_dim != -1:
        refuse(name, f"start_dim = {module.start_dim}, end_dim = {module.end_dim}; allowed: 1, -1")
    return Flatten()


def scale(name: str, module: Any) -> Scale:
    """VoltageScaler and ChannelVoltageScaler, between which ann2snn puts its neurons."""
    factor = numbers(module.scale)
    finite(name, scale=factor)
    assert factor is not None  # noqa: S101 - a buffer
    if factor.ndim and module.channel_dim != 1:
        refuse(name, f"channel_dim = {module.channel_dim}; allowed: 1")
    return Scale(factor)


def ignored(why: str) -> Callable[[str, Any], Ignored]:
    """What does nothing after training."""
    return lambda name, module: Ignored(why)


PLAIN: dict[str, Callable[[str, Any], Operation]] = {
    "AdaptiveAvgPool2d": adaptive,
    "AvgPool2d": pooling("mean"),
    "BatchNorm1d": batch_norm,
    "BatchNorm2d": batch_norm,
    "Conv2d": convolution,
    "Dropout": ignored("dropout does nothing after training"),
    "Dropout2d": ignored("dropout does nothing after training"),
    "Flatten": flatten,
    "Identity": ignored("identity"),
    "Linear": linear,
    "MaxPool2d": pooling("max"),
}
OWN: dict[tuple[str, str], Callable[[str, Any], Operation]] = {
    ("sinabs", "SumPool2d"): pooling("sum"),
    ("spikingjelly", "VoltageScaler"): scale,
    ("spikingjelly", "ChannelVoltageScaler"): scale,
}
"""Of one library, beside its neurons."""
LIBRARIES = ("torch", "spikingjelly", "snntorch", "sinabs", "norse")


def library(module: Any) -> str | None:
    """Whose class a module is of; None: the user's own."""
    root = type(module).__module__.partition(".")[0]
    return root if root in LIBRARIES else None


def operation(name: str, module: Any, options: Options) -> Made:
    """A module as an operation. Raises Refused, naming it, for one that is not known."""
    kind, root = type(module).__name__, library(module)
    if root in ("torch", "spikingjelly") and kind in PLAIN:
        return PLAIN[kind](name, module), ()
    if root is not None and (root, kind) in OWN:
        return OWN[root, kind](name, module), ()
    if root is not None and (root, kind) in NEURONS:
        return NEURONS[root, kind](name, module, options)
    known = sorted(PLAIN) + sorted(f"{root}.{kind}" for root, kind in (*NEURONS, *OWN))
    return refuse(name, f"{root or 'your'} {kind}; allowed: {', '.join(known)}")
