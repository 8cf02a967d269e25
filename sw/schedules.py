"""Training schedules: how many images, ticks and prunings a ticket gets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round: prune to `keep`, then train on `images` images (with repetition, augmented)."""

    keep: float  # fraction of the weights after the first layer that is left
    images: int
    ticks: int
    learning_rate: float  # peak of the one-cycle
    side: int = 32  # of the images, in pixels, averaged down: a divisor of 32


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The dense rounds are shared by all methods of a model; the pruned rounds follow from them.

    rewind_images: the weights, biases and batch-norm state after that many images of the first
    round are restored after each pruning (late rewinding); None goes on from the trained ones.
    weight_bits: below 16, the rounds of the final sparsity train with quantized weights.
    """

    dense: tuple[Round, ...]
    pruned: tuple[Round, ...]
    rewind_images: int | None = None
    batch: int = 128
    optimizer: str = "sgd"  # or "adamw", which gets further in few steps
    momentum: float = 0.9
    weight_decay: float = 5e-4
    floor: float = 0.003  # fraction of every layer's weights that pruning never removes
    mixed_precision: bool = True
    weight_bits: int = 16

    def quantizes(self, current: Round) -> bool:
        """Whether a round trains with quantized weights (sw/fake_quantize.py)."""
        return self.weight_bits < 16 and current.keep == self.rounds[-1].keep

    @property
    def rounds(self) -> tuple[Round, ...]:
        """All rounds in order."""
        return self.dense + self.pruned


def _lottery(epochs: int, *, prunings: int, per_round: float) -> Schedule:
    """Iterative pruning of `per_round` of what remains, every round rewound to epoch 20."""
    images, rate = epochs * 50_000, 0.1
    return Schedule(
        dense=(Round(keep=1.0, images=images, ticks=4, learning_rate=rate),),
        pruned=tuple(
            Round(keep=(1 - per_round) ** r, images=images, ticks=4, learning_rate=rate)
            for r in range(1, prunings + 1)
        ),
        rewind_images=20 * 50_000,
    )


SCHEDULES = {
    # The paper's protocol (Kim et al. 2022): 15 rounds, 25 % of the remaining weights each.
    "paper": _lottery(200, prunings=14, per_round=0.25),
    # An hour and a half on a CPU core: ticks grow from one to four, pruning is gradual, and nothing
    # is rewound.
    "cpu": Schedule(
        dense=(Round(keep=1.0, images=150_000, ticks=1, learning_rate=2e-3),),
        pruned=(
            Round(keep=0.30, images=20_000, ticks=1, learning_rate=2e-3),
            Round(keep=0.12, images=20_000, ticks=1, learning_rate=2e-3),
            Round(keep=0.05, images=20_000, ticks=1, learning_rate=2e-3),
            Round(keep=0.018, images=20_000, ticks=1, learning_rate=2e-3),
            Round(keep=0.018, images=8_000, ticks=2, learning_rate=1e-3),
            Round(keep=0.018, images=4_000, ticks=4, learning_rate=5e-4),
        ),
        batch=64,
        optimizer="adamw",
        weight_decay=0.02,
    ),
    # Progressive resizing: most rounds see 16x16 images, at a third of the cost. For networks that
    # average over whatever map is left, as ResNet-19 does; VGG-16 pools 16x16 to nothing.
    "cpu_resized": Schedule(
        dense=(
            Round(keep=1.0, images=100_000, ticks=1, learning_rate=2e-3, side=16),
            Round(keep=1.0, images=10_000, ticks=1, learning_rate=1e-3),
        ),
        pruned=(
            Round(keep=0.30, images=12_000, ticks=1, learning_rate=2e-3, side=16),
            Round(keep=0.12, images=12_000, ticks=1, learning_rate=2e-3, side=16),
            Round(keep=0.05, images=12_000, ticks=1, learning_rate=2e-3, side=16),
            Round(keep=0.016, images=10_000, ticks=1, learning_rate=2e-3),
            Round(keep=0.016, images=5_000, ticks=2, learning_rate=1e-3),
            Round(keep=0.016, images=2_500, ticks=4, learning_rate=5e-4),
        ),
        batch=64,
        optimizer="adamw",
        weight_decay=0.02,
    ),
    # For VGG-16 on Fashion-MNIST: a quarter of the images of `cpu`.
    "cpu_short": Schedule(
        dense=(Round(keep=1.0, images=36_000, ticks=1, learning_rate=2e-3),),
        pruned=(
            Round(keep=0.30, images=8_000, ticks=1, learning_rate=2e-3),
            Round(keep=0.12, images=8_000, ticks=1, learning_rate=2e-3),
            Round(keep=0.05, images=8_000, ticks=1, learning_rate=2e-3),
            Round(keep=0.018, images=6_000, ticks=1, learning_rate=2e-3),
            Round(keep=0.018, images=3_000, ticks=2, learning_rate=1e-3),
            Round(keep=0.018, images=1_500, ticks=4, learning_rate=5e-4),
        ),
        batch=64,
        optimizer="adamw",
        weight_decay=0.02,
    ),
    # A few batches, to see that everything works.
    "smoke": Schedule(
        dense=(Round(keep=1.0, images=32, ticks=1, learning_rate=0.05),),
        pruned=(
            Round(keep=0.2, images=32, ticks=2, learning_rate=0.05),
            Round(keep=0.019, images=32, ticks=4, learning_rate=0.05),
        ),
        batch=16,
    ),
}
