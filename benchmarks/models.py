"""CPU time of the cycle model on a VGG-16 of 98 %, and of a sweep's points: `benchmarks/models.py`.

CPU seconds of one thread, so that other work on the machine hardly matters.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sim.explore import evaluate as sweep
from sim.explore.spec import load_spec
from sim.models.cycles import layout, predict, walk

SPEC = Path(__file__).with_name("sweep.yaml")


def best(work: Callable[[], object], runs: int) -> float:
    """The least CPU time of several runs, in milliseconds."""
    times = []
    for _ in range(runs):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return 1e3 * min(times)


def main() -> None:
    """Print both."""
    spec = load_spec(SPEC)
    draws = sweep.Draws(spec.seed, spec.spread, spec.spike_sparsity)
    point = next(p for p in spec.points if (p.sparsity, p.policy, p.n_pe) == (0.98, "random", 16))
    program = sweep.program_of(point.masks, point.on(), draws)
    plan = layout(program)
    print(f"cycle model: {best(lambda: predict(program), 20):.1f} ms")
    print(f"  of which the walk in C++: {best(lambda: walk(plan), 20):.1f} ms")
    tasks = sweep.batches(spec.points)
    sample = tasks[:: len(tasks) // 8]
    started = time.process_time()
    for task in sample:
        sweep.evaluate_batch(task, draws)
    each = (time.process_time() - started) / sum(map(len, sample))
    print(f"sweep: {1e3 * each:.0f} ms a point, of {len(sample)} of {len(tasks)} tasks")
    print(f"  {1000 * each / 2:.0f} s for 1,000 points on two cores")


if __name__ == "__main__":
    main()
