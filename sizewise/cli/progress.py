"""Progress bar of counted steps on stderr, if it is a terminal and nobody asked for JSON. Knows no work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sizewise.cli.options import wants_json


class ProgressCallback(Protocol):
    def __call__(self, done: int, total: int | None) -> None:
        """`total`: None if it is not known."""


@contextmanager
def progress_bar(verb: str, what: str) -> Iterator[ProgressCallback]:
    """On stderr, if it is a terminal."""
    console = Console(stderr=True)
    if wants_json() or not console.is_terminal:
        yield lambda done, whole: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)
