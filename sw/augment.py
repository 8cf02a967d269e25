"""Which images a training step sees, and how they are moved and mirrored: a function of the step alone.

Every epoch sees each image once, in an order of its own. An image is moved by up to `shift` pixels, what
enters at the border is its mirror, and is mirrored left to right every other epoch ("alternating flip":
two epochs see both sides of each image). Nothing is drawn from a state, so a run that goes on, another
method, and another number of processes all see the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

SHIFT = 4  # pixels, in each direction


class Batches:
    """Augmented batches of a training set.

    images: uint8 (N, C, H, W); labels: (N,); mean, std: per channel, in units of full scale. All that is
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
        shift: int = SHIFT,
        mirror: bool = True,
    ) -> None:
        self.images = images.permute(0, 2, 3, 1).contiguous()
        self.labels, self.seed, self.shift, self.mirror = labels, seed, shift, mirror
        device = images.device
        self.mean = torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self.std = torch.tensor(std, device=device).view(1, -1, 1, 1)
        self._orders: dict[int, torch.Tensor] = {}

    def drawn(self, first: int, count: int) -> tuple[torch.Tensor, ...]:
        """What is drawn for the images number `first` to `first + count - 1` of a run.

        Returns index (count,), rows and columns (count, side) to pick of each image.
        """
        number = torch.arange(first, first + count)
        epochs = number // len(self.images)
        index = torch.cat(
            [
                self._order(int(epoch))[number[epochs == epoch] % len(self.images)]
                for epoch in epochs.unique()
            ]
        )
        side = self.images.shape[1]
        rng = self._generator(0, first)
        moves = torch.randint(-self.shift, self.shift + 1, (2, count, 1), generator=rng)
        rows, columns = (_mirrored(move + torch.arange(side), side) for move in moves)
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
        """The drawn uint8 images (B, C, H, W) and their labels (B,)."""
        index, rows, columns = (part.to(self.images.device) for part in (index, rows, columns))
        picked = self.images[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 1, 2), self.labels[index]

    def normalized(self, images: torch.Tensor, side: int) -> torch.Tensor:
        """Floats (B, C, side, side), channels last, of uint8 images (B, C, H, W)."""
        scaled = (images.float() / 255 - self.mean) / self.std
        if side < scaled.shape[-1]:
            scaled = F.avg_pool2d(scaled, scaled.shape[-1] // side)
        return scaled.contiguous(memory_format=torch.channels_last)


def _mirrored(position: torch.Tensor, side: int) -> torch.Tensor:
    """Positions outside 0 to side - 1, reflected at the border pixels."""
    position = position.abs()
    return torch.where(position > side - 1, 2 * (side - 1) - position, position)
