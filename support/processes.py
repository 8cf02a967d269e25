"""Processes that share a task: fresh ones, which end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def processes(
    jobs: int, start: Callable[..., None] | None = None, *arguments: Any
) -> Iterator[ProcessPoolExecutor]:
    """A pool of `jobs` processes, in each of which start(*arguments) has run; one thread of BLAS each.

    They start afresh: a fork would share the threads of BLAS and of the progress bar. What was not
    begun when the block ends is dropped.
    """
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process a core
    spawn = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(
            jobs, mp_context=spawn, initializer=_start, initargs=(start, arguments)
        ) as pool:
            try:
                yield pool
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        if before is None:
            del os.environ["OPENBLAS_NUM_THREADS"]


def _start(start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    end_with_parent()
    if start is not None:
        start(*arguments)


def end_with_parent() -> None:
    """End this process as soon as the one that started it is gone, killed without a word or not.

    A worker would wait for its next task for good: it holds both ends of the pipe that brings it.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("this process was not started by multiprocessing")

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def run_tool(
    command: Sequence[str], *, log: Path | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """A tool's output and status, stderr with stdout; interrupted, we take all that it started along.

    log: a file that gets the output while the tool runs. options: of subprocess.Popen. Raises OSError where
    it cannot start, or the log cannot be written.
    """
    tool = None
    with nullcontext(subprocess.PIPE) if log is None else log.open("w") as out:
        try:
            with _held_signals():  # else the tool could run before we know its number
                tool = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                    **options,
                )
            said, _ = tool.communicate()
        except BaseException:
            if tool is not None:
                with suppress(ProcessLookupError):
                    os.killpg(tool.pid, signal.SIGKILL)
                tool.communicate()
            raise
    if log is not None:
        said = log.read_text(errors="replace")
    return subprocess.CompletedProcess(command, tool.returncode, said)


@contextmanager
def _held_signals() -> Iterator[None]:
    """What would end this process waits until the block has ended. In other threads signals do not arrive."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for each in came:
            signal.raise_signal(each)
