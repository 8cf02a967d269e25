"""A small training run in a process of its own, to be killed: python -m tests.training_worker FOLDER RUN.

Alone or under torchrun. RUN "long": prunes and balances, a checkpoint after every step; "short": two
steps in float32. Prints its process number before each step, leaves its masks and weights as rankN.pt.
"""

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from sw import history, train
from sw.datasets import Dataset
from sw.devices import Devices, connected
from sw.layers import IMAGE, Pool, conv, linear
from sw.schedule import Round, Schedule

NETWORK = (
    conv("conv1", (3, 8), IMAGE, pool=Pool.MAX2),
    conv("conv2", (8, 12), "conv1", pool=Pool.MAX2),
    conv("conv3", (12, 16), "conv2", pool=Pool.MAX2),
    linear("fc", (16, 10), "conv3"),
)
SCHEDULES = {
    "long": Schedule(
        dense=(Round(keep=1.0, images=160, ticks=1, learning_rate=0.05),),
        pruned=(
            Round(keep=0.5, images=160, ticks=2, learning_rate=0.05),
            Round(keep=0.2, images=160, ticks=2, learning_rate=0.05),
        ),
        rewind_images=80,
        batch=16,
    ),
    "short": Schedule(
        dense=(Round(keep=1.0, images=32, ticks=2, learning_rate=0.05),),
        pruned=(),
        batch=16,
        mixed_precision=False,
    ),
}
STEPS = sum(r.images for r in SCHEDULES["long"].rounds) // 16


def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (250, 3, 8, 8), np.uint8), rng.integers(0, 10, 250)
    half = (0.5,) * 3
    return Dataset("cifar10", images, labels, images[:10], labels[:10], mean=half, std=half)


def trainer(folder: Path, run: str, devices: Devices | None = None) -> train.Trainer:
    torch.set_num_threads(1)
    return train.Trainer(
        NETWORK,
        dataset(),
        SCHEDULES[run],
        policy="magnitude",
        n_pe=4,
        seed=3,
        folder=folder,
        log=lambda _: None,
        devices=devices,
    )


def gloo_threads() -> list[str]:
    """Names of this process's threads of a process group."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except OSError:  # it has just ended
            continue
    return [name for name in names if "gloo" in name]


def forked(pair: bool, folder: Path, run: str, output: Connection, errors: Path) -> None:
    """In a process forked for it: train, alone or as torchrun starts two."""
    with errors.open("w") as file:
        os.dup2(file.fileno(), 2)
    os.dup2(output.fileno(), 1)
    output.close()
    if not pair:
        main(folder, run)
        return
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="fork",
    )
    elastic_launch(launch, main)(folder, run)


def main(folder: Path, run: str) -> None:
    """Train, and leave this process's masks and weights."""
    history.VALIDATION_IMAGES, train.CHECKPOINT_SECONDS = 50, -1.0
    with connected("cpu") as devices:
        this = trainer(folder, run, devices)
        step = this._step

        def told(current: Round) -> torch.Tensor:
            # in one piece: two processes write to the same pipe
            os.write(1, f"step of {os.getpid()}\n".encode())
            return step(current)

        this._step = told
        this.run("uticket")
        assert bool(gloo_threads()) == (devices.count > 1)
        state = {"network": dict(this.network.state_dict()), "masks": this.kept.masks}
        torch.save(state, folder / f"rank{devices.rank}.pt")
    left = gloo_threads()
    assert not left, f"{left} may abort the process when Python ends"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
