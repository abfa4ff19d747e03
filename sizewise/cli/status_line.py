"""Status line on stderr: what a request waits for, in one line that goes when the answer begins; no line in a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

from sizewise.cli.options import wants_color, wants_json
from sizewise.cli.printable import printable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

TICK_S = 1.0
"""Seconds after which the line shows how long its state has lasted, and again after each of them."""
CLEAR = "\r\x1b[K"
DIM, PLAIN = "\x1b[2m", "\x1b[0m"
DEFAULT_COLUMNS = 80


class StatusLine:
    """`shown`: whether there is a terminal to show it on. Nothing else may be printed between `show` and `clear`."""

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self._text = ""  # empty: there is no line
        self._since = 0.0
        self._loop: AbstractEventLoop | None = None
        self._timer: TimerHandle | None = None

    def count_seconds(self, loop: AbstractEventLoop) -> None:
        """From now on, while this loop runs, the line shows how long its state has lasted."""
        self._loop = loop
        if self._timer is not None:  # of a loop that has ended
            self._timer.cancel()
        self._schedule()

    def show(self, text: str) -> None:
        """Replaces the line, also before there is an event loop: the first line comes before asyncio is imported."""
        if not self.shown:
            return
        self.clear()
        self._text, self._since = text, time.monotonic()
        self._draw(text)
        self._schedule()

    def update(self, text: str) -> None:
        """As `show`; the same text goes on counting its seconds."""
        if text != self._text:
            self.show(text)

    def clear(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._text:
            self._text = ""
            _write(CLEAR)

    def _schedule(self) -> None:
        if self._loop is not None and self._text:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._draw(self._text, f" · {time.monotonic() - self._since:.0f} s")
        self._schedule()

    def _draw(self, text: str, end: str = "") -> None:
        line = fitted(text, _columns() - 1 - len(end)) + end
        _write(CLEAR + (f"{DIM}{line}{PLAIN}" if wants_color() else line))


@contextlib.contextmanager
def status_line() -> Iterator[StatusLine]:
    """For one request; the line is gone when the block ends, however it ends."""
    line = StatusLine(shown=sys.stderr.isatty() and os.isatty(sys.stderr.fileno()) and not wants_json())
    try:
        yield line
    finally:
        line.clear()


def fitted(text: str, columns: int) -> str:
    """One printable line that is at most `columns` wide, cut if it is longer."""
    line, width = "", 0
    for char in printable(text):
        width += 2 if east_asian_width(char) in "WF" else 1
        if width > columns:
            return line[:-1] + "…" if line else ""
        line += char
    return line


def _write(text: str) -> None:
    """As it is: click's echo would take the cursor's movements for colors."""
    sys.stderr.write(text)
    sys.stderr.flush()


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or DEFAULT_COLUMNS
    except OSError:
        return DEFAULT_COLUMNS
