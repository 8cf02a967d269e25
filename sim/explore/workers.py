"""Who evaluates points: this process, several, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import contextmanager

from sim.explore.evaluate import Draws, Row, evaluate_batch
from sim.explore.spec import Point
from support.errors import BadInput
from support.processes import processes

Found = Iterator[tuple[list[Point], list[Row]]]
Submit = Callable[[Sequence[list[Point]], Draws], Found]

CONNECT_S = 10  # to wait for a scheduler


@contextmanager
def workers(jobs: int, scheduler: str | None) -> Iterator[Submit]:
    """Something that evaluates tasks in any order: this process, several, or a Dask cluster."""
    if jobs == 1 and scheduler is None:
        yield lambda tasks, draws: ((task, evaluate_batch(task, draws)) for task in tasks)
        return
    with processes(jobs) if scheduler is None else _dask(scheduler) as pool:

        def spread(tasks: Sequence[list[Point]], draws: Draws) -> Found:
            futures = {pool.submit(evaluate_batch, task, draws): task for task in tasks}
            for future in as_completed(futures):
                yield futures[future], future.result()

        yield spread


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        import distributed
    except ImportError:
        raise BadInput(
            "--scheduler needs Dask: `.venv/bin/pip install -e '.[sweep]'`, as `make sweep` does"
        ) from None
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"--scheduler {address}: {' '.join(str(error).split())}") from None
    with client, client.as_current():
        if not client.scheduler_info()["workers"]:
            raise BadInput(f"--scheduler {address}: it has no workers; allowed: one or more")
        yield client.get_executor(pure=False)
