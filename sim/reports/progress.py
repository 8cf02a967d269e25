"""Progress bars on a terminal: the steps of a command, the rounds of a training; otherwise, lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.progress import ProgressColumn, TaskID


class _Bar:
    """A context manager: a bar of rich on a terminal, where it is to be shown; elsewhere nothing."""

    def __init__(self, *columns: ProgressColumn, shown: bool = True) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(highlight=False)
        self.shown = shown and console.is_terminal
        self._progress = Progress(*columns, console=console, transient=True, disable=not self.shown)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


class Steps(_Bar):
    """A context manager; `step` starts the next of `count` steps, which may have parts."""

    def __init__(self, count: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self.count = count
        self.number = 0
        self._task = self._progress.add_task("")

    def step(self, text: str, parts: int = 1) -> None:
        """Start the next step; `part` is called as often as it has parts."""
        self.number += 1
        line = f"step {self.number}/{self.count} {text}"
        self._progress.reset(self._task, description=line, total=parts)
        if not self.shown:
            click.echo(line)

    def part(self) -> None:
        """A part of the step is done."""
        self._progress.advance(self._task)


class TrainingBar(_Bar):
    """A context manager: a bar of the round's images on a terminal, and lines that scroll above it."""

    def __init__(self, first: bool = True) -> None:
        """first: whether this is the process that shows anything."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images, {task.fields[state]}", markup=False),
            TimeRemainingColumn(),
            shown=first,
        )
        self._task: TaskID | None = None

    def log(self, line: str) -> None:
        """A line that stays."""
        if self.shown:
            self._progress.console.print(line, markup=False)
        else:
            click.echo(line)

    def start(self, text: str, total: int) -> None:
        """A round of `total` images begins, or goes on."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(text, total=total, state="")

    def update(self, done: int, text: str) -> None:
        """Images of the round trained on, and how it goes."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, state=text)
