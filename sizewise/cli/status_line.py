"""Status line on stderr: what a request waits for, in one line that goes when the answer begins; no line in a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from unicodedata import east_asian_width

from sizewise.cli.options import wants_color, wants_json
from sizewise.cli.output import printable
from sizewise.cli.stream_reader import StreamProgress

TICK_S = 1.0
"""Seconds after which the line shows how long its state has lasted, and again after each of them."""
CLEAR = "\r\x1b[K"
DIM, PLAIN = "\x1b[2m", "\x1b[0m"
DEFAULT_COLUMNS = 80


class StatusLine:
    """`shown`: whether there is a terminal to show it on. Nothing else may be printed between `show` and `clear`."""

    def __init__(self, *, shown: bool, color: bool) -> None:
        self.shown = shown
        self._color = color
        self._text = ""
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def show(self, text: str) -> None:
        """Replaces the line. Called on the event loop."""
        if not self.shown:
            return
        self.clear()
        self._text, self._since = text, time.monotonic()
        self._draw(text)
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def update(self, text: str) -> None:
        """As `show`; the same text goes on counting its seconds."""
        if text != self._text or self._timer is None:
            self.show(text)

    def clear(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            _write(CLEAR)

    def _tick(self) -> None:
        self._draw(self._text, f" · {time.monotonic() - self._since:.0f} s")
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _draw(self, text: str, end: str = "") -> None:
        line = fitted(text, _columns() - 1 - len(end)) + end
        _write(CLEAR + (f"{DIM}{line}{PLAIN}" if self._color else line))


@contextlib.contextmanager
def status_line() -> Iterator[StatusLine]:
    """For one request; the line is gone when the block ends, however it ends."""
    terminal = sys.stderr.isatty() and os.isatty(sys.stderr.fileno())
    line = StatusLine(shown=terminal and not wants_json(), color=wants_color())
    try:
        yield line
    finally:
        line.clear()


def progress_text(progress: StreamProgress) -> str:
    """What begins, in words."""
    if progress.stage == "step":
        return f"running {progress.step}"
    model, held = progress.model, ", to be judged before it is shown" if progress.held else ""
    text = {
        "attempt": f"asking {model}{held}: {progress.reason}",
        "verification": f"{model} judges the answer",
        "loading": f"loading {model} into memory",
        "queued": f"waiting for a free slot of {model}",
    }.get(progress.stage, "")
    return f"{progress.step}: {text}" if progress.step else text


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
