"""Training schedules by name: how many images, ticks and prunings a ticket gets (schedule.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sw.schedule import Output, Rank, Round, Schedule

PRUNING = 4  # rounds, so that a ticket tells its balance at as many sparsities
EPOCH = 45_000  # training images of CIFAR-10, without those of the validation


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


def _taught(
    keep: float,
    *,
    clip: float,
    prune: float,
    settle: float,
    spike: float,
    four: float,
    more: float,
    side: int = 32,
) -> Schedule:
    """A network without spikes first, pruned before it spikes; the dense one teaches what follows.

    Numbers of epochs: clip dense and without spikes, prune to `keep` in PRUNING rounds and settle there without
    spikes, spike with one tick, then with four, and once more with four at the full rate again. side: of the
    images while nothing is pruned.
    """

    def pruned(epochs_: float, **rest: Any) -> Round:
        count = round(epochs_ * EPOCH / 64) * 64
        return Round(
            **{"keep": keep, "images": count, "ticks": 1, "warm": 0.05, "batch": 64, **rest}
        )

    def spiking(epochs_: float, ticks: int) -> Round:
        return pruned(epochs_, ticks=ticks, learning_rate=0.002, optimizer="adamw", teacher=0.5)

    first = Round(
        keep=1.0,
        images=round(clip * EPOCH / 256) * 256,
        ticks=1,
        learning_rate=0.1,
        orthogonal=0.03,
        warm=0.1,
        output=Output.CLIP,
        side=side,
    )
    quiet = {"learning_rate": 0.1, "output": Output.CLIP}
    to_come = [(1 - number / PRUNING) ** 3 for number in range(1, PRUNING + 1)]
    return Schedule(
        dense=(first,),
        pruned=(
            *(
                pruned(
                    prune / PRUNING,
                    keep=keep + (1 - keep) * left,
                    prunings=6,
                    span=5 / 6,
                    final=1.0,
                    **quiet,
                )
                for left in to_come
            ),
            pruned(settle, teacher=0.5, **quiet),
            spiking(spike, 1),
            spiking(four, 4),
            spiking(more, 4),
        ),
        batch=256,
        smoothing=0.1,
        classifier_rate=0.1,
        rank=Rank.LAYER,
    )


def _rewound(schedule: Schedule, share: float) -> Schedule:
    """As many images, but each of the PRUNING rounds prunes at once and goes back to an early network.

    That of the first round, when the share `share` of it was over. The rounds without spikes are equally long.
    """
    quiet = [r for r in schedule.pruned if r.output is Output.CLIP]
    rest = schedule.pruned[len(quiet) :]
    batch = schedule.batch_of(quiet[0])
    images = sum(r.images for r in quiet) // (PRUNING * batch) * batch
    rewound = (
        replace(r, images=images, prunings=1, final=0.0, teacher=0.5) for r in quiet[:PRUNING]
    )
    at = round(schedule.dense[0].images * share / schedule.batch) * schedule.batch
    return replace(schedule, pruned=(*rewound, *rest), rewind_images=at)


_VGG = _taught(0.018, clip=5.5, prune=1.0, settle=4.5, spike=1.75, four=0.4, more=1.6)
SCHEDULES = {
    # The paper's protocol (Kim et al. 2022): 15 rounds, 25 % of the remaining weights each.
    "paper": _lottery(200, prunings=14, per_round=0.25),
    # Hours on a CPU core: docs/training.md has what each ingredient brings.
    "vgg": _VGG,
    "resnet": _taught(0.016, clip=5.5, prune=1.0, settle=4.5, spike=1.75, four=0.4, more=1.6),
    # Rewound as the paper's protocol is, to a tenth of the dense round: to compare with.
    "rewind": _rewound(_VGG, 0.1),
    # Spikes and all ticks from the first step on: event frames, and neurons that remember for long.
    "direct": Schedule(
        dense=(Round(keep=1.0, images=10 * EPOCH, ticks=4, learning_rate=0.1, final=0.2),),
        pruned=(
            Round(
                keep=0.02,
                images=5 * EPOCH,
                ticks=4,
                learning_rate=0.05,
                prunings=24,
                span=1.0,
                final=1.0,
            ),
            Round(keep=0.02, images=5 * EPOCH, ticks=4, learning_rate=0.05),
        ),
        batch=50,
        classifier_rate=0.1,
        mixed_precision=False,  # small maps are faster in float32
    ),
    # A few batches, to see that everything works.
    "smoke": Schedule(
        dense=(
            Round(keep=1.0, images=32, ticks=1, learning_rate=0.05, output=Output.CLIP),
            Round(keep=1.0, images=32, ticks=1, learning_rate=0.05, teacher=0.5),
        ),
        pruned=(
            Round(keep=0.2, images=32, ticks=2, learning_rate=0.05),
            Round(keep=0.019, images=32, ticks=4, learning_rate=0.05, prunings=2, teacher=0.5),
        ),
        batch=16,
    ),
}


def default(*, frames: bool = False) -> str:
    """The name of the schedule where none is given. frames: of event frames."""
    return "direct" if frames else "vgg"


def named(name: str) -> Schedule:
    """The schedule NAME, or NAME:FACTOR with so many times the images.

    Raises ValueError for an unknown name, or a factor that is not a number above 0.
    """
    kind, _, factor = name.partition(":")
    if kind not in SCHEDULES:
        raise ValueError(f"unknown schedule {kind!r}; allowed: {', '.join(SCHEDULES)}")
    try:
        scale = float(factor) if factor else 1.0
    except ValueError:
        scale = 0.0
    if not 0 < scale < 1000:
        raise ValueError(
            f"schedule {name!r}: factor {factor!r}; allowed: a number above 0, as in vgg:0.5"
        )
    return SCHEDULES[kind] if scale == 1 else SCHEDULES[kind].scaled(scale)
