"""Time of analysis and balancing, in process, on one thread, for VGG-16-sized boolean masks.

    python benchmarks/balance.py [--repeats 20]

Masks: the 12 convolutions after the first and the classifier, every weight present with the same
probability ("even") or with one that varies log-normally over channels, sigma 0.25 ("uneven").
For comparison, the authors' released code (RuokaiYin/u-Ticket at ff2dccd) took 0.23 s to check
utilization and 0.64 s to balance a random mask of this size on one core; it is not run here.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from sim.models.workload import layer_workload, totals
from sw.balance import balance, filter_nnz, targets

CHANNELS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
SHAPES = [(k, c, 3, 3) for c, k in pairwise(CHANNELS)] + [(10, 512)]
SIDES = (32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2, 1)
N_PE, TICKS = 16, 4
REFERENCE_MS = {"analyze": 230.0, "balance": 640.0}
SPARSITIES = (0.982, 0.9, 0.75, 0.5)


def make_masks(sparsity: float, sigma: float, seed: int = 0) -> list[np.ndarray]:
    """Random boolean masks; `sigma` is the log-normal spread of density over output channels."""
    rng = np.random.default_rng(seed)
    masks = []
    for shape in SHAPES:
        spread = np.exp(rng.normal(0, sigma, (shape[0],) + (1,) * (len(shape) - 1)))
        masks.append(rng.random(shape, dtype=np.float32) < (1 - sparsity) * spread)
    return masks


def analyze(masks: list[np.ndarray]) -> None:
    """Every definition of section 2 for every layer, and the totals."""
    totals(
        layer_workload(
            f"layer{i}",
            filter_nnz(mask),
            parameters=mask.size,
            positions=side**2,
            ticks=TICKS,
            n_pe=N_PE,
        )
        for i, (mask, side) in enumerate(zip(masks, SIDES, strict=True))
    )


def balance_all(masks: list[np.ndarray]) -> None:
    """Policy `random` on every layer."""
    rng = np.random.default_rng(0)
    for mask in masks:
        balance(mask, n_pe=N_PE, policy="random", rng=rng)


def moved(masks: list[np.ndarray]) -> int:
    """Weights that balancing sets or clears."""
    total = 0
    for mask in masks:
        nnz = filter_nnz(mask)
        total += int(np.abs(targets(nnz, parameters=mask[0].size, n_pe=N_PE) - nnz).sum())
    return total


def measure_ms(
    function: Callable[[list[np.ndarray]], None], masks: list[np.ndarray], repeats: int
) -> tuple[float, float]:
    """Best and median time of `repeats` runs, in ms."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(masks)
        times.append(1e3 * (time.perf_counter() - start))
    return min(times), statistics.median(times)


def main() -> None:
    """Print a line a mask and task."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    print(f"{sum(map(np.prod, SHAPES)):,} weights, {repeats} repeats, times in ms")
    print("masks   sparsity  moved      task     best  median  reference / best")
    for kind, sigma in (("even", 0.0), ("uneven", 0.25)):
        for sparsity in SPARSITIES:
            masks = make_masks(sparsity, sigma)
            count = moved(masks)
            for task, function in (("analyze", analyze), ("balance", balance_all)):
                best, median = measure_ms(function, masks, repeats)
                print(
                    f"{kind:6}  {sparsity:8.3f}  {count:9,}  {task}  {best:5.1f}  {median:6.1f}"
                    f"  {REFERENCE_MS[task] / best:5.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
