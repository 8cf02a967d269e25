"""Convolutions of pruned weights, and of small maps: which products train them fastest on a CPU.

Few weights present: only those are multiplied (sw/sparse_convolution.py). Small maps: one matrix product.

oneDNN gives a row of a map to a row of the matrix unit: on a map of 4x4 twelve of its sixteen rows idle.
Here every output pixel of the batch is a row: its 3x3 window is copied beside it ("im2col"), and one
product does all.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from sw.sparse_convolution import DENSE, Present, cannot

SMALL_SIDE = 4  # maps up to it in all three products; benchmarks/training.py measures both ways
GRADIENT_SIDE = 8  # maps up to it in the gradient of the weights, where oneDNN is slowest


class Convolution(nn.Conv2d):
    """A convolution without bias, since batch norm follows; fast on small maps."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        stride: int,
        padding: int,
        *,
        groups: int = 1,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False
        )
        self.present: Present | None = None
        """Of the weights, those that are multiplied on a CPU; None: all. Its owner sees to it that the rest are 0."""

    def keep_only(self, mask: torch.Tensor) -> None:
        """Multiply the weights in mask (K, C, R, S) alone from now on, where that is faster and can be done."""
        same = self.stride == (1, 1) and all(
            side % 2 and padding == side // 2
            for side, padding in zip(self.kernel_size, self.padding, strict=True)
        )
        square = self.kernel_size[0] == self.kernel_size[1]
        few = bool(mask.float().mean() < DENSE)
        can = same and square and self.groups == 1 and cannot() is None
        self.present = Present(mask.cpu()) if can and few else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sums (B, K, H, W) of x (B, C, H, W), channels last, as `F.conv2d` but for the order of roundings."""
        if self.present is not None and x.device.type == "cpu":
            half = torch.is_autocast_enabled("cpu")
            dtype = torch.get_autocast_dtype("cpu") if half else x.dtype
            return self.present.convolve(x, self.weight, dtype)
        small = self.groups == 1 and x.device.type == "cpu" and max(x.shape[2:]) <= GRADIENT_SIDE
        if not small or (self.kernel_size, self.stride, self.padding) != ((3, 3), (1, 1), (1, 1)):
            return super().forward(x)
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight = x.to(dtype), weight.to(dtype)
        sums = _Product.apply(x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1))
        return sums.permute(0, 3, 1, 2)


def _windows(x: torch.Tensor) -> torch.Tensor:
    """The 3x3 windows of x (B, H, W, C), zeros around it: (B H W, 9 C)."""
    batch, height, width, channels = x.shape
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    image, row, column, _ = padded.stride()
    windows = padded.as_strided(
        (batch, height, width, 3, 3, channels), (image, row, column, row, column, 1)
    )
    return windows.reshape(batch * height * width, 9 * channels)


class _Product(torch.autograd.Function):
    """Of x (B, H, W, C) and weight (K, 3, 3, C). Windows are copied again rather than kept."""

    @staticmethod
    def forward(ctx, x, weight):  # noqa: ANN001, ANN205
        ctx.save_for_backward(x, weight)
        if max(x.shape[1:3]) > SMALL_SIDE:
            out = F.conv2d(x.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), padding=1)
            return out.permute(0, 2, 3, 1)
        out = _windows(x) @ weight.reshape(len(weight), -1).T
        return out.view(*x.shape[:3], -1)

    @staticmethod
    def backward(ctx, grad):  # noqa: ANN001, ANN205
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        flat = grad.view(-1, grad.shape[-1])
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(1, 2)
            if max(x.shape[1:3]) > SMALL_SIDE:
                out = F.conv2d(grad.permute(0, 3, 1, 2), turned.permute(3, 0, 1, 2), padding=1)
                of_x = out.permute(0, 2, 3, 1)
            else:
                rows = turned.permute(1, 2, 0, 3).reshape(-1, x.shape[-1])
                of_x = (_windows(grad) @ rows).view(x.shape)
        if ctx.needs_input_grad[1]:
            of_weight = (flat.T @ _windows(x)).view(weight.shape)
        return of_x, of_weight
