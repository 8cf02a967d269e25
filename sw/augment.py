"""Which images a training step sees, and how they are moved and mirrored: a function of the step alone.

Every epoch sees each image once, in an order of its own. An image is moved by up to an eighth of its side, what
enters at the border is its mirror, and is mirrored left to right every other epoch ("alternating flip":
two epochs see both sides of each image). Nothing is drawn from a state, so a run that goes on, another
method, and another number of processes all see the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from sw.schedule import FULL_SIDE

SHIFT = 8  # an image is moved by up to such a part of its shorter side: 4 pixels of 32


class Batches:
    """Augmented batches of a training set.

    images: uint8 (N, C, H, W), or event frames (N, T, C, H, W), 0 or 1, all of whose ticks move together.
    labels: (N,); mean, std: per channel, in units of full scale, not used for frames. All that is
    random is drawn on the CPU from `seed`; the images lie on their device.
    """

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        seed: int,
        shift: int | None = None,
        mirror: bool = True,
    ) -> None:
        self.ticks = images.shape[1] if images.ndim == 5 else None
        """Of event frames; None for images."""
        self.images = images.flatten(1, -3).permute(0, 2, 3, 1).contiguous()
        self.labels, self.seed, self.mirror = labels, seed, mirror
        self.shift = min(images.shape[-2:]) // SHIFT if shift is None else shift
        device = images.device
        self.mean = torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self.std = torch.tensor(std, device=device).view(1, -1, 1, 1)
        self._orders: dict[int, torch.Tensor] = {}

    def drawn(self, first: int, count: int) -> tuple[torch.Tensor, ...]:
        """What is drawn for the images number `first` to `first + count - 1` of a run.

        Returns index (count,), rows (count, H) and columns (count, W) to pick of each image.
        """
        number = torch.arange(first, first + count)
        epochs = number // len(self.images)
        index = torch.cat(
            [
                self._order(int(epoch))[number[epochs == epoch] % len(self.images)]
                for epoch in epochs.unique()
            ]
        )
        rng = self._generator(0, first)
        moves = torch.randint(-self.shift, self.shift + 1, (2, count, 1), generator=rng)
        sides = self.images.shape[1:3]
        rows, columns = (_moved(move, side) for move, side in zip(moves, sides, strict=True))
        flipped = ((index * 2654435761 >> 7) + epochs) % 2 == 1
        if self.mirror:
            columns = torch.where(flipped[:, None], columns.flip(1), columns)
        return index, rows, columns

    def _generator(self, *what: int) -> torch.Generator:
        """Of the random numbers for `what`."""
        state = np.random.SeedSequence([self.seed, *what]).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))

    def _order(self, epoch: int) -> torch.Tensor:
        """Of the images in an epoch."""
        if epoch not in self._orders:
            rng = self._generator(1, epoch)
            self._orders = {
                **{e: o for e, o in self._orders.items() if e == epoch - 1},
                epoch: torch.randperm(len(self.images), generator=rng),
            }
        return self._orders[epoch]

    def picked(
        self, index: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The drawn uint8 images (B, C, H, W) and their labels (B,). Channels of frames: those of all ticks."""
        index, rows, columns = (part.to(self.images.device) for part in (index, rows, columns))
        picked = self.images[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 1, 2), self.labels[index]

    def seen(
        self, index: torch.Tensor, _: torch.Tensor, columns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Which image was drawn, and 1 where mirrored, else 0: both (count,), on the images' device."""
        mirrored = columns[:, 0] > columns[:, -1]
        return index.to(self.images.device), mirrored.long().to(self.images.device)

    def normalized(self, images: torch.Tensor, side: int) -> torch.Tensor:
        """What the network sees of uint8 images (B, C, H, W), as `picked`: floats, channels last.

        side: of an image that should have `FULL_SIDE`; others are averaged down as much. Frames become
        (T, B, C, H, W), as they are.
        """
        if self.ticks:
            frames = images.unflatten(1, (self.ticks, -1)).transpose(0, 1).float()
            flat = frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            return flat.unflatten(0, frames.shape[:2])
        scaled = (images.float() / 255 - self.mean) / self.std
        if side < FULL_SIDE:
            scaled = F.avg_pool2d(scaled, FULL_SIDE // side)
        return scaled.contiguous(memory_format=torch.channels_last)


def _moved(move: torch.Tensor, side: int) -> torch.Tensor:
    """The rows or columns 0 to side - 1 of images moved by `move` (count, 1), reflected at the borders."""
    position = (move.clamp(1 - side, side - 1) + torch.arange(side)).abs()
    return torch.where(position > side - 1, 2 * (side - 1) - position, position)
