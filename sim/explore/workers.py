"""Who evaluates points: this process, several, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import as_completed as processes_completed
from contextlib import contextmanager

from sim.errors import BadInput
from sim.explore.evaluate import Draws, Row, evaluate_batch
from sim.explore.spec import Point
from sim.processes import processes

Submit = Callable[[Sequence[list[Point]], Draws], Iterator[tuple[list[Point], list[Row]]]]


@contextmanager
def workers(jobs: int, scheduler: str | None) -> Iterator[Submit]:
    """Something that evaluates tasks in any order: this process, several, or a Dask cluster."""
    if scheduler is not None:
        with _dask(scheduler) as submit:
            yield submit
        return
    if jobs == 1:

        def here(
            tasks: Sequence[list[Point]], draws: Draws
        ) -> Iterator[tuple[list[Point], list[Row]]]:
            for task in tasks:
                yield task, evaluate_batch(task, draws)

        yield here
        return
    with processes(jobs) as pool:

        def spread(
            tasks: Sequence[list[Point]], draws: Draws
        ) -> Iterator[tuple[list[Point], list[Row]]]:
            futures: dict[Future[list[Row]], list[Point]] = {
                pool.submit(evaluate_batch, task, draws): task for task in tasks
            }
            for future in processes_completed(futures):
                yield futures[future], future.result()

        yield spread


@contextmanager
def _dask(address: str) -> Iterator[Submit]:
    try:
        import distributed
    except ImportError:
        raise BadInput(
            "--scheduler needs Dask: `pip install -e .[sweep]`, as `make sweep` does"
        ) from None
    try:
        client = distributed.Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"--scheduler {address}: {' '.join(str(error).split())}") from None
    with client, client.as_current():
        if not client.scheduler_info()["workers"]:
            raise BadInput(f"--scheduler {address}: it has no workers; allowed: one or more")

        def submit(
            tasks: Sequence[list[Point]], draws: Draws
        ) -> Iterator[tuple[list[Point], list[Row]]]:
            futures = {
                client.submit(evaluate_batch, task, draws, pure=False): task for task in tasks
            }
            for future in distributed.as_completed(futures):
                yield futures[future], future.result()

        yield submit
