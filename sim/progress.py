"""Steps of a command: a progress bar on a terminal, a line a step otherwise."""

from __future__ import annotations

from types import TracebackType

import click


class Steps:
    """A context manager; `step` starts the next of `count` steps, which may have parts."""

    def __init__(self, count: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self.count = count
        self.number = 0
        console = Console(highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("")

    def __enter__(self) -> Steps:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def step(self, text: str, parts: int = 1) -> None:
        """Start the next step; `part` is called as often as it has parts."""
        self.number += 1
        line = f"step {self.number}/{self.count} {text}"
        self._progress.reset(self._task, description=line, total=parts)
        if self._progress.disable:
            click.echo(line)

    def part(self) -> None:
        """A part of the step is done."""
        self._progress.advance(self._task)
