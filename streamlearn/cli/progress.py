"""Progress for people: a bar on a terminal, a plain line now and then elsewhere; all on stderr."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

Show = Callable[[int, str], None]
"""Called with how much is done, and a note such as the running error."""

_PLAIN_EVERY_S: Final = 5.0


@contextmanager
def progress(title: str, total: int, unit: str = "rows") -> Iterator[Show]:
    """Show how far something is.

    Parameters
    ----------
    title
        What is going on.
    total
        When it is done.
    unit
        What is counted.

    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(title, total, unit)
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(16, complete_style="cyan", finished_style="green"),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", style="dim"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total, rate="", note="")
        rate = _Rate()

        def show(done: int, note: str = "") -> None:
            bar.update(task, completed=done, rate=rate(done), note=note)

        yield show


class _Lines:
    """A line at the end, and every few seconds until then."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._rate = _Rate()
        self._last = time.monotonic()

    def __call__(self, done: int, note: str = "") -> None:
        now, rate = time.monotonic(), self._rate(done)
        if done < self._total and now - self._last < _PLAIN_EVERY_S:
            return
        self._last = now
        parts = [f"{done:,} of {self._total:,} {self._unit}"]
        parts += [part for part in (rate, note) if part]
        click.echo(f"{self._title}: {', '.join(parts)}", err=True)


class _Rate:
    """How much is done a second, from the first time that something is: starting takes longer."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def __call__(self, done: int) -> str:
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        began, before = self._first
        return f"{(done - before) / (now - began):,.0f}/s" if done > before else ""


class DownloadBar:
    """Progress of one file that is downloaded, with the methods that pooch calls."""

    def __init__(self, file: str) -> None:
        self.total = 0
        self._file, self._done = file, 0
        self._open = ExitStack()
        self._show: Show | None = None

    def update(self, n: int) -> None:
        """Count more bytes."""
        if self._show is None:
            self._show = self._open.enter_context(progress(self._file, self.total, "bytes"))
        self._done += n
        self._show(self._done, "")

    def reset(self) -> None:
        """Forget what was counted; pooch does so before it reports the whole."""
        self._done = 0

    def close(self) -> None:
        """End the bar."""
        self._open.close()
