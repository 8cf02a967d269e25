"""What a training schedule is: rounds of images, ticks and prunings. schedules.py has those with a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

FULL_SIDE = 32  # pixels, of what `Round.side` counts in


class Output(Enum):
    """What layers hand on while they train (sw/norm_fire.py)."""

    SPIKE = "spike"
    CLIP = "clip"  # their sums, cut to 0 to 1: the same network without spikes
    SUM = "sum"  # their sums: shortcut convolutions


class Rank(Enum):
    """What pruning compares weights of all layers by (sw/prune.py)."""

    MAGNITUDE = "magnitude"
    LAYER = "layer"  # their share of what is left of their layer


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round: prune to `keep`, and train on `images` images, augmented.

    The learning rate rises in a straight line for the share `warm` of the round, then falls to `final`
    of its peak. With several `prunings` the weights go gradually: the first goes before the first image,
    the last when the share `span` of the round is over, and what is left falls with the cube of what is
    still to come (Zhu and Gupta 2017). Raises ValueError for orthogonalized steps of a pruned network.
    """

    keep: float  # fraction of the weights after the first layer that is left in the end
    images: int
    ticks: int
    learning_rate: float  # peak
    optimizer: str = "sgd"  # or "adamw"
    batch: int | None = None  # images a step; None: the schedule's
    orthogonal: float = (
        0.0  # peak of the convolutions' orthogonalized steps (sw/optimizer.py); 0: SGD
    )
    side: int = FULL_SIDE  # of images of `FULL_SIDE` pixels, averaged down: a divisor of it
    warm: float = 0.2
    final: float = 0.0
    prunings: int = 1
    span: float = 0.5
    output: Output = Output.SPIKE  # CLIP: without spikes, as a start and a teacher for what follows
    teacher: float = 0.0  # share of the teacher's answers in the loss; the rest are the labels
    price: float = 0.0  # of activity, in the loss: the mean over layers of their mean output

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adamw") or (self.orthogonal and self.optimizer != "sgd"):
            raise ValueError(
                f"optimizer {self.optimizer!r} with orthogonalized steps {self.orthogonal}; allowed: "
                "'sgd' with or without, 'adamw' without"
            )
        if self.orthogonal and self.keep < 1:
            raise ValueError(
                f"orthogonalized steps at keep {self.keep}; allowed: at keep 1, "
                "since such a step moves weights that are pruned"
            )

    def rate(self, position: float) -> float:
        """Learning rate at `position`, 0 to 1, of the round."""
        if position < self.warm:
            return self.learning_rate * max(position / self.warm, 0.02)
        rest = (1 - position) / (1 - self.warm)
        return self.learning_rate * max(self.final + (1 - self.final) * rest, 0.0)

    def pruning_steps(self, before: float) -> Iterator[tuple[int, float]]:
        """(image before which, fraction kept) of each pruning. before: what the last round kept."""
        if self.keep >= before:
            return
        for step in range(1, self.prunings + 1):
            left = (1 - step / self.prunings) ** 3
            share = (step - 1) / max(self.prunings - 1, 1)
            yield round(self.images * self.span * share), self.keep + (before - self.keep) * left


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The dense rounds are shared by all methods of a model; the pruned rounds follow from them.

    rewind_images: the weights, biases and batch-norm state after that many images of the first
    round are restored after each pruning (late rewinding); None goes on from the trained ones.
    smoothing: label smoothing. classifier_rate: learning rate of the classifier as a share of the others';
    its inputs are spikes, all of one sign, and at the rate of the normalized layers it diverges.
    weight_bits: below 16, the rounds of the final sparsity train with quantized weights.
    """

    dense: tuple[Round, ...]
    pruned: tuple[Round, ...]
    rewind_images: int | None = None
    batch: int = 128
    momentum: float = 0.9
    weight_decay: float = 5e-4
    smoothing: float = 0.0
    classifier_rate: float = 1.0
    rank: Rank = Rank.MAGNITUDE
    floor: float = 0.003  # fraction of every layer's weights that pruning never removes
    mirror: bool = True
    """Every other epoch sees an image's mirror: not where left and right mean something."""
    mixed_precision: bool = True
    weight_bits: int = 16

    def batch_of(self, current: Round) -> int:
        """Images a step of a round."""
        return current.batch or self.batch

    def quantizes(self, current: Round) -> bool:
        """Whether a round trains with quantized weights (sw/fake_quantize.py)."""
        return self.weight_bits < 16 and current.keep == self.rounds[-1].keep

    @property
    def rounds(self) -> tuple[Round, ...]:
        """All rounds in order."""
        return self.dense + self.pruned

    def kept_before(self, number: int) -> float:
        """Fraction of the weights that is left when round `number` begins."""
        return self.rounds[number - 1].keep if number else 1.0

    def total(
        self, cost: Callable[[Round], float], *, done: tuple[int, int], method: bool, again: int
    ) -> float:
        """Cost of the training that is left. cost: of an image of a round, asked once for each kind.

        done: the round, and the images of it, that are behind. method: the pruned rounds too, and `again`
        times more from their start, as other methods will run them.
        """
        round_, images = done
        costs: dict[tuple, float] = {}
        total = 0.0
        for number, current in enumerate(self.rounds):
            left = float(current.images if number >= round_ else 0)
            if number == round_:
                left = max(left - images, 0)
            if number >= len(self.dense):
                left = (left + again * current.images) * method
            if left:
                kind = (
                    current.ticks,
                    current.side,
                    current.output,
                    current.keep,
                    current.batch,
                )
                if kind not in costs:
                    costs[kind] = cost(current)
                total += left * costs[kind]
        return total

    def scaled(self, factor: float) -> Schedule:
        """The same rounds with `factor` times the images, whole batches, at least one each."""

        def images(count: int, batch: int = self.batch) -> int:
            return max(round(count * factor / batch), 1) * batch

        def rounds(those: tuple[Round, ...]) -> tuple[Round, ...]:
            return tuple(replace(r, images=images(r.images, self.batch_of(r))) for r in those)

        rewind = self.rewind_images and images(self.rewind_images)
        return replace(
            self, dense=rounds(self.dense), pruned=rounds(self.pruned), rewind_images=rewind
        )

    def at_ticks(self, ticks: int, *, frames: bool = False) -> Schedule:
        """The same rounds, the last with `ticks` ticks. Rounds with one tick keep it, others their share.

        frames: every round has all ticks, since those of an event frame differ.
        """
        last = self.rounds[-1].ticks

        def share(before: int) -> int:
            if frames:
                return ticks
            return 1 if before == 1 < last else max(before * ticks // last, 1)

        def rounds(those: tuple[Round, ...]) -> tuple[Round, ...]:
            return tuple(replace(r, ticks=share(r.ticks)) for r in those)

        return replace(self, dense=rounds(self.dense), pruned=rounds(self.pruned))

    def at_sparsity(self, sparsity: float) -> Schedule:
        """The same rounds, pruned to `sparsity`, 0 to 1, of the weights after the first layer.

        A round that ends before is as far on the way there as it was. Raises ValueError for one that
        leaves less than what every layer keeps.
        """
        if 1 - sparsity < self.floor:
            raise ValueError(
                f"sparsity = {sparsity:g}; allowed: at most {1 - self.floor:g}, since a layer keeps {self.floor:g}"
            )
        stretch = sparsity / (1 - self.rounds[-1].keep)
        pruned = tuple(replace(r, keep=1 - (1 - r.keep) * stretch) for r in self.pruned)
        return replace(self, pruned=pruned)
